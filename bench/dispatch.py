"""Choosing a saga and taking a message in, with 10 definitions and with 10 000; and how long reading them takes.

    python -m bench.dispatch [--pairs 7]

A process of its own reads 10 000 definitions (files of one saga each) and is then asked for ten of them, in turn with a
dispatcher that has just these ten: seven interleaved pairs. 1 000 are read by `saga check`, three times.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import machine, sample
from runner.app import refused_by_reach
from runner.definitions.bundle import program
from runner.definitions.catalog import Catalog
from runner.definitions.load import Loaded, load
from runner.engine.dispatch import Dispatcher, Limits
from runner.engine.intake import take_in, with_extra
from runner.saga.definition import Program, Saga
from runner.saga.message import Message

FEW, MANY, CHECKED = 10, 10_000, 1_000
#: Requests of one measurement.
_REQUESTS = 5_000


def definition(number: int) -> str:
    """Definition `number`: the measured saga under a path of its own, with what definitions have besides."""
    text = sample.DEFINITION.replace("path: /order", f"path: /shop-{number % 97}/order-{number}")
    head = f"name: order {number}\ndomain: shop-{number % 97}\ndescription: Takes an order, ships it, charges it.\n"
    return head + text.replace("steps:", 'labels: {orderId: "${ input.orderId }"}\nsteps:', 1)


def written(folder: Path, count: int) -> Path:
    """A folder of so many definitions."""
    folder.mkdir()
    for number in range(count):
        (folder / f"order-{number}.yaml").write_text(definition(number))
    return folder


def reading(folder: Path) -> tuple[Loaded, float]:
    """The definitions of a folder, and the seconds that took. Raises RuntimeError where one has an error."""
    began = time.perf_counter()
    loaded = load([folder])
    took = time.perf_counter() - began
    if loaded.errors:
        raise RuntimeError(f"a measured definition has an error: {loaded.findings[0]}")
    return loaded, took


class Door:
    """A dispatcher with these definitions, as far as the beginning of a run."""

    def __init__(self, catalog: Catalog, paths: list[str]) -> None:
        self._dispatcher = Dispatcher(
            driver=None,  # type: ignore[arg-type]  # no run is driven here
            journals=None,  # type: ignore[arg-type]  # nor recorded
            runner="shop",
            limits=Limits(),
            variables={},
            refused=refused_by_reach,
        )
        self._dispatcher.serve(catalog)
        self._messages = []
        self._programs: dict[str, Program] = {}
        for path in paths:
            self._messages.append(
                Message(stream="http", path=path, method="POST", input=sample.ORDER, headers={}, time=1)
            )
            saga = self._choose(path)
            self._programs[saga.ref] = program(catalog, saga, {})

    def _choose(self, path: str) -> Saga:
        saga = self._dispatcher.choose(stream="http", path=path, method="POST", version=None)
        if not isinstance(saga, Saga):
            raise RuntimeError(f"{path} is not served: {saga}")
        return saga

    def measured(self) -> float:
        """Microseconds of CPU to choose and take in one message."""
        messages = self._messages
        rounds = _REQUESTS // len(messages)
        began = time.process_time()
        for _ in range(rounds):
            for message in messages:
                saga = self._choose(message.path)
                take_in(self._programs[saga.ref], message, with_extra(saga, message.input), 1_700_000_000_000)
        return (time.process_time() - began) / (rounds * len(messages)) * 1e6


def helper(few: Path, many: Path, pairs: int) -> dict[str, Any]:
    """What the process of its own finds out."""
    loaded, took = reading(many)
    small, _ = reading(few)
    paths = [saga.path for saga in small.catalog if saga.path is not None]
    doors = Door(small.catalog, paths), Door(loaded.catalog, paths)
    for door in doors:
        door.measured()
    figures = [(doors[0].measured(), doors[1].measured()) for _ in range(pairs)]
    return {"seconds": took, "few": [f for f, _ in figures], "many": [m for _, m in figures]}


def checking(folder: Path) -> float:
    """Seconds that `saga check` takes, from start to exit."""
    began = time.perf_counter()
    command = [str(Path(sys.executable).with_name("saga")), "check", str(folder)]
    subprocess.run(command, cwd=folder.parent, check=True, stdout=subprocess.DEVNULL, timeout=120)
    return time.perf_counter() - began


def main() -> None:
    """Measure, print, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--helper", nargs=2, type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.helper:
        few, many = options.helper
        print(json.dumps(helper(few, many, options.pairs)))
        return

    with tempfile.TemporaryDirectory() as place:
        few, many = written(Path(place) / "few", FEW), written(Path(place) / "many", MANY)
        command = [sys.executable, "-m", "bench.dispatch", "--pairs", str(options.pairs), "--helper"]
        done = subprocess.run(
            [*command, str(few), str(many)], cwd=machine.ROOT, check=True, stdout=subprocess.PIPE, timeout=180
        )
        found = json.loads(done.stdout)
        checked = written(Path(place) / "checked", CHECKED)
        checks = [checking(checked) for _ in range(3)]

    about = machine.machine(("pyyaml", "jmespath", "msgspec"))
    machine.show(about)
    print(f"medians of {options.pairs} interleaved pairs; µs of CPU to choose a saga and take a message in\n")
    rows = [
        [f"{FEW} definitions", f"{statistics.median(found['few']):.1f}"],
        [f"{MANY} definitions", f"{statistics.median(found['many']):.1f}"],
    ]
    machine.table(["definitions", "µs"], rows)
    print()
    ratio = statistics.median(m / f for f, m in zip(found["few"], found["many"], strict=True))
    goals = [
        machine.goal(f"cost with {MANY} definitions as a multiple of that with {FEW}", round(ratio, 2), most=1.25),
        machine.goal(f"seconds to read {MANY} definitions", round(found["seconds"], 1), most=20),
        machine.goal(f"seconds of `saga check` over {CHECKED}", round(statistics.median(checks), 2), most=2),
    ]
    machine.write("dispatch", about, pairs=options.pairs, goals=goals, results=found | {"check_seconds": checks})


if __name__ == "__main__":
    main()
