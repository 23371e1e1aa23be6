"""CPU of one durable saga by part: each part of the runner alone,
in a loop, on what one run of the measured saga needs.

    python -m bench.parts [--rounds 5]

The parts of the engine are called by themselves; the driver is what a whole run in the engine costs above them (tasks,
futures, the event loop). The server, the client and the store are measured as they work, at 50 connections. Below the
sum is the runner's whole process: what it costs above the sum is the price of being together (two threads and one
interpreter lock, colder caches). Rounds are interleaved, medians count.
"""

import argparse
import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import uvloop

from bench import machine, sample
from bench.load import Load, load
from bench.sagas import PACKAGES, measured
from bench.serving import Served, prepare, runner
from bench.target import target
from registry.base.clock import SystemClock
from registry.base.guest import Guest, listening, url_of
from registry.chooser import Chooser, Picked
from registry.directories.memory import MemoryDirectory
from runner.adapters.stores.sqlite import SqliteJournals
from runner.adapters.streams.http import HttpSink
from runner.adapters.streams.http.source import HttpSource
from runner.definitions.bundle import program
from runner.engine.intake import take_in, with_extra
from runner.ports import NewRun
from runner.saga.advance import RunState
from runner.saga.exchange import Answer, Request
from runner.saga.journal import Begun, decode, encode
from runner.saga.message import Message, Reply, Wishes
from runner.saga.tree import Spot
from runner.steps.call import Call

#: One measurement of one part; the microseconds of CPU that it costs one saga.
Part: TypeAlias = Callable[[], Awaitable[float]]
AT_ONCE = 50
_SAGAS = 1_500
_RUN = "0" * 26


async def at_once(count: int, work: Callable[[int], Awaitable[object]]) -> float:
    """Microseconds of CPU, of all threads, for each of `count` pieces of work, 50 at once."""
    left = count

    async def some() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await work(left)

    began = time.process_time()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return (time.process_time() - began) / count * 1e6


def looped(work: Callable[[], object]) -> Part:
    """A part that is a plain call."""

    async def part() -> float:
        began = time.process_time()
        for _ in range(_SAGAS):
            work()
        return (time.process_time() - began) / _SAGAS * 1e6

    return part


class Pieces:
    """The parts of the engine, each on one run of the measured saga."""

    def __init__(self, records: list[bytes]) -> None:
        catalog = sample.catalog()
        self.saga = next(iter(catalog))
        self.program = program(catalog, self.saga, {})
        self.bodies = records
        self.records = [decode(body) for body in records]
        self.answer = Answer(status=200, headers=sample.FIELDS, body=sample.ANSWER)
        self.clock = SystemClock()
        self.state = RunState(self.program, _RUN)
        #: The spots of the three calls, completed, so that whatever reads them finds them as at the end.
        self.spots: list[Spot] = []
        for record in self.records:
            self.state.apply(record)
            self.spots += [spot for spot in self.state.open.values() if spot not in self.spots]
            self.state.take()
        self.requests = [self._verb(spot).render(self.state, spot, 1) for spot in self.spots]
        urls = dict.fromkeys(sample.SERVICES, "http://127.0.0.1:1")
        self.chooser = Chooser(MemoryDirectory(self.clock), self.clock, fallback=urls)
        self.message = sample.message()

    @staticmethod
    def _verb(spot: Spot) -> Call:
        assert isinstance(spot.step.verb, Call)
        return spot.step.verb

    def fold(self) -> None:
        """Every record applied, every wish taken; with the output mapping, which the fold evaluates."""
        state = RunState(self.program, _RUN)
        for record in self.records:
            state.apply(record)
            state.take()

    def render(self) -> None:
        """Three requests with their expressions, keys and digests."""
        for spot in self.spots:
            self._verb(spot).render(self.state, spot, 1).digest()

    def expressions(self) -> None:
        """The expressions alone: three bodies and the output."""
        for spot in self.spots:
            body = self._verb(spot).body
            assert body is not None
            body(spot.scope)
        assert self.program.saga.output is not None
        self.program.saga.output(self.state.root.block.scope)

    def judge(self) -> None:
        """Three answers become records."""
        for spot in self.spots:
            self._verb(spot).judge(self.state, spot, self.answer, 1, 1)

    def written(self) -> None:
        """The records that nobody else makes (three intents), and the bytes of all."""
        for spot in self.spots:
            Begun(t=1, path=spot.path, dir="f", attempt=1, digest=_RUN)
        for record in self.records:
            encode(record)

    def choosing(self) -> None:
        """An instance for each of three calls, and what became of it."""
        for name in sample.SERVICES:
            picked = self.chooser.pick(name)
            assert isinstance(picked, Picked)
            picked.settle(True)

    def intake(self) -> None:
        """The message becomes a run."""
        take_in(self.program, self.message, with_extra(self.saga, self.message.input), 1_700_000_000_000)


class _Answered:
    """A dispatcher that answers at once, so that what is in front of it is measured alone."""

    def __init__(self, engine: sample.Engine, reply: Reply) -> None:
        self.choose = engine.dispatcher.choose
        self._reply = reply

    async def handle(self, saga: object, message: Message, wishes: Wishes, early: object, *, address: str) -> Reply:
        return self._reply


async def _no_management(*_: object) -> None:
    raise RuntimeError("only the saga's path is asked for")


def served(engine: sample.Engine, reply: Reply, generator: Load) -> Part:
    """uvicorn and the HTTP source, up to the dispatcher's door; with the choice of the saga."""
    source = HttpSource(
        dispatcher=_Answered(engine, reply),  # type: ignore[arg-type]  # as much of it as the source uses
        management=_no_management,
        streams={"http": ""},
        clock=SystemClock(),
    )

    async def part() -> float:
        with listening("127.0.0.1", 0, "the source") as listener:
            guest = Guest(source, listener, grace=1)
            await guest.open()
            asked = {
                "url": url_of("127.0.0.1", guest.port),
                "path": sample.PATH,
                "connections": AT_ONCE,
                "body": sample.BODY.decode(),
                "headers": {"content-type": "application/json"},
            }
            await asyncio.to_thread(generator.round, **asked, count=500)
            began = time.process_time()
            came = await asyncio.to_thread(generator.round, **asked, count=2 * _SAGAS)
            cpu = time.process_time() - began
            await guest.close()
            if came["statuses"] != {"200": came["done"]}:
                raise RuntimeError(f"the source answered {came['statuses']}")
            return cpu / float(came["done"]) * 1e6

    return part


def called(requests: list[Request], url: str) -> Part:
    """The sink: three calls to the target."""
    extra = (("x-saga-run", _RUN), ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"))

    async def part() -> float:
        sink = HttpSink()

        async def one(_: int) -> None:
            for request in requests:
                await sink.send(request, base_url=url, extra_headers=extra, timeout=10)

        await at_once(200, one)
        cost = await at_once(_SAGAS, one)
        await sink.close()
        return cost

    return part


def stored(made: list[tuple[tuple[bytes, ...], Any]], folder: Path) -> Part:
    """The store: one creation and three appends, durable; CPU of its threads and of the loop."""
    first, *others = made

    async def part() -> float:
        journals = SqliteJournals(folder / f"{time.monotonic_ns()}.db", SystemClock(), name="shop")
        await journals.open("shop#parts")

        async def one(number: int) -> None:
            new = NewRun(
                id=f"{number:026d}",
                fingerprint="",
                saga="order",
                version=1,
                bundle="d" * 64,
                labels={},
                started_at=1,
                records=first[0],
            )
            hold = (await journals.create(new, first[1])).hold
            assert hold is not None
            for records, note in others:
                await journals.append(hold, records, note)

        cost = await at_once(_SAGAS, one)
        await journals.close()
        return cost

    return part


async def collected(rounds: int, folder: Path, url: str, whole: Served, generator: Load) -> dict[str, list[float]]:
    """Every part, once in each round; microseconds."""
    made = await sample.appends()
    pieces = Pieces([body for records, _ in made for body in records])
    journals = sample.Forgetful()
    await journals.open("bench")
    engine = sample.Engine(sample.Answering(), journals)
    reply = await engine.order()

    async def ordered(_: int) -> None:
        await engine.order()

    def chosen() -> None:
        sample.message()
        engine.dispatcher.choose(stream="http", path=sample.PATH, method="POST", version=None)

    async def uncollected() -> float:
        gc.disable()
        try:
            return await at_once(_SAGAS, ordered)
        finally:
            gc.enable()
            gc.collect()

    async def process() -> float:
        figures = await asyncio.to_thread(measured, whole, generator, AT_ONCE, 1.2)
        return figures["cpu_us"]

    parts: dict[str, Part] = {
        "fold": looped(pieces.fold),
        "expressions": looped(pieces.expressions),
        "render": looped(pieces.render),
        "judge": looped(pieces.judge),
        "records": looped(pieces.written),
        "choosing": looped(pieces.choosing),
        "intake": looped(pieces.intake),
        "chosen": looped(chosen),
        "engine": lambda: at_once(_SAGAS, ordered),
        "uncollected": uncollected,
        "source": served(engine, reply, generator),
        "sink": called(pieces.requests, url),
        "store": stored(made, folder),
        "process": process,
    }
    found: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            found[name].append(await part())
    return found


def shown(medians: dict[str, float]) -> list[tuple[str, float]]:
    """The table: parts that add up to the sum, then the process."""
    m = medians
    # The choice of the saga, and the message, are part of the source's figure.
    engine_parts = m["chosen"] + m["fold"] + m["render"] + m["judge"] + m["records"] + m["choosing"] + m["intake"]
    rows = [
        ("fold: 8 records applied (without expressions)", m["fold"] - m["expressions"] / 4),
        ("expressions: 3 bodies, 1 output", m["expressions"]),
        ("rendering: 3 requests, keys and digests", m["render"] - m["expressions"] * 3 / 4),
        ("judging: 3 answers", m["judge"]),
        ("records: 3 intents made, 8 written as bytes", m["records"]),
        ("choosing: 3 instances", m["choosing"]),
        ("intake: message to run", m["intake"]),
        ("driver: the rest of a whole run in the engine", m["uncollected"] - engine_parts),
        ("the garbage collector, for a whole run in the engine", m["engine"] - m["uncollected"]),
        ("HTTP in: server, source, choice of the saga", m["source"]),
        ("HTTP out: 3 calls", m["sink"]),
        ("store: 4 appends", m["store"]),
    ]
    total = sum(cost for _, cost in rows)
    return [*rows, ("sum", total), ("the runner's process", m["process"]), ("above the sum", m["process"] - total)]


def main() -> None:
    """Measure, print a table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as place, target() as url, load() as generator:
        folder = Path(place)
        prepare(folder, {sample.NAME: sample.DEFINITION}, sample.settings(url))
        with runner(folder) as whole, asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            found = loop.run(collected(options.rounds, folder, url, whole, generator))

    about = machine.machine(PACKAGES)
    machine.show(about)
    print(f"medians of {options.rounds} interleaved rounds; µs of CPU for one saga\n")
    rows = shown({name: statistics.median(costs) for name, costs in found.items()})
    machine.table(["part", "µs"], [[name, f"{cost:.1f}"] for name, cost in rows])
    machine.write(
        "parts",
        about,
        rounds=options.rounds,
        results=[{"part": name, "us": round(cost, 1)} for name, cost in rows],
        measured={name: [round(cost, 1) for cost in costs] for name, costs in found.items()},
    )


if __name__ == "__main__":
    main()
