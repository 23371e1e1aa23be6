"""What one event costs the fold, by how long the run is: steps one after the other, and loops over items.

    python -m bench.fold [--rounds 7]

An event is one record applied, with its wishes taken: two a call (about to be sent, done). A run of 10 000 must cost as
much per event as one of 10, or long runs would slow down as they go. The cost is that of the whole run, from `S` to
`Z`, through its events; the sizes take turns, and short runs are repeated until each size has seen as many events.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench import machine
from runner.definitions.bundle import program
from runner.definitions.load import load_texts
from runner.saga.advance import RunState
from runner.saga.command import Attempt, Write
from runner.saga.definition import Program
from runner.saga.journal import Begun, Done, Started

SIZES = (10, 1_000, 10_000)
#: Steps in a row that a run has records for.
MOST_STEPS = 4_900
#: Events that each size sees in one round.
_EVENTS = 20_000
_STEP = "call: {service: stock, path: /goods, body: {sku: tea}}\n"
_OUTPUT = {"id": "c-1", "status": "done"}
_DIGEST = "0" * 32
#: Items of the parallel loop that are under way at once.
WINDOW = 8


def _program(text: str) -> Program:
    loaded = load_texts([("long.yaml", text.encode())])
    if loaded.errors:
        raise RuntimeError(f"the measured saga has errors: {loaded.findings}")
    return program(loaded.catalog, next(iter(loaded.catalog)), {})


def steps(size: int) -> Program:
    """`size` steps, one after the other. More than a document may hold, so a step is repeated under other names."""
    one = _program(f"path: /long\noutput: 1\nsteps:\n  - name: s\n    {_STEP}    compensate: none\n")
    first = one.saga.steps[0]
    many = tuple(
        replace(first, name=name, segment=name, place=name, trail=(name,))
        for name in (f"s{number}" for number in range(size))
    )
    return replace(one, saga=replace(one.saga, steps=many))


def items(_size: int) -> Program:
    """A loop over the input's items, one after the other."""
    return _program(_loop("        parallel: 1\n"))


def window(_size: int) -> Program:
    """A loop over the input's items, some at once."""
    return _program(_loop(f"        parallel: {WINDOW}\n"))


def _loop(more: str) -> str:
    return (
        "path: /long\noutput: 1\nsteps:\n  - name: all\n    for:\n        each: item\n        in: input.items\n"
        f"{more}        steps:\n          - name: one\n            {_STEP}            compensate: none\n"
    )


SHAPES: dict[str, Callable[[int], Program]] = {
    "steps in a row": steps,
    "for, one after the other": items,
    f"for, {WINDOW} at once": window,
}


def sizes(shape: str) -> tuple[int, int, int]:
    """The sizes that a shape is measured at."""
    few, some, many = SIZES
    return few, some, min(many, MOST_STEPS) if SHAPES[shape] is steps else many


def one_run(whole: Program, size: int) -> int:
    """A run from its beginning to its end; how many records it took."""
    state = RunState(whole, "run")
    now = 1_700_000_000_000
    state.apply(Started(t=now, bundle="", saga=whole.saga.ref, input={"items": list(range(size))}, event={"id": "e"}))
    count = 1
    wishes: list[Any] = state.take()
    while state.ended is None:
        coming: list[Any] = []
        for wish in wishes:
            if isinstance(wish, Attempt):
                now += 1
                state.apply(Begun(t=now, path=wish.path, dir=wish.dir, attempt=wish.number, digest=_DIGEST))
                coming += state.take()
                state.apply(Done(t=now, path=wish.path, dir=wish.dir, output=_OUTPUT, status=200))
                count += 2
            elif isinstance(wish, Write):
                state.apply(wish.record)
                count += 1
            coming += state.take()
        wishes = coming
    if state.ended.status != "completed":
        raise RuntimeError(f"the measured run came to {state.ended}")
    return count


def measured(whole: Program, size: int) -> float:
    """Microseconds of CPU for one event."""
    gc.collect()
    events = 0
    began = time.process_time()
    while events < _EVENTS:
        events += one_run(whole, size)
    return (time.process_time() - began) / events * 1e6


def main() -> None:
    """Measure, print a table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()

    programs = {(shape, size): make(size) for shape, make in SHAPES.items() for size in sizes(shape)}
    rounds: dict[tuple[str, int], list[float]] = {key: [] for key in programs}
    for _ in range(options.rounds):
        for key, whole in programs.items():
            rounds[key].append(measured(whole, key[1]))

    about = machine.machine(("msgspec", "jmespath"))
    machine.show(about)
    print(f"medians of {options.rounds} interleaved rounds; µs of CPU for one event\n")
    rows = []
    for shape in SHAPES:
        costs = [statistics.median(rounds[shape, size]) for size in sizes(shape)]
        rows.append([shape, *(f"{cost:.2f}" for cost in costs)])
    machine.table(["run", *(f"{size}" for size in SIZES)], rows)
    print(f"(steps in a row: {MOST_STEPS} at most)")
    print()
    goals = []
    for shape in SHAPES:
        few, _, many = sizes(shape)
        pairs = zip(rounds[shape, many], rounds[shape, few], strict=True)
        ratio = statistics.median(long / short for long, short in pairs)
        goals.append(machine.goal(f"{shape}: cost at {many} as a multiple of that at {few}", round(ratio, 2), most=1.5))
    results = [
        {
            "run": shape,
            "size": size,
            "us": round(statistics.median(costs), 2),
            "us_rounds": [round(c, 2) for c in costs],
        }
        for (shape, size), costs in rounds.items()
    ]
    machine.write("fold", about, rounds=options.rounds, goals=goals, results=results)


if __name__ == "__main__":
    main()
