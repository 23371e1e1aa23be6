"""What the simulator found, each as small as it can be told."""

import asyncio
from random import Random

from runner.engine.intake import take_in
from runner.engine.start import Starter
from runner.ports import StoreUnavailable
from runner.saga.advance import RunState, advance
from runner.saga.command import Write
from runner.saga.journal import TIMEOUT, Record, RetryPlanned, Signalled
from runner.saga.message import Message
from tests.support.builders import RUN, begun, call, made, refused, saga, started, unknown
from tests.support.playing import picture
from tests.support.sim_chronicle import Chronicle
from tests.support.sim_definitions import made as simulated
from tests.support.sim_life import Reaper
from tests.support.sim_loop import SkewedClock, run_seeded
from tests.support.sim_runner import SimRunner
from tests.support.sim_services import Services
from tests.support.sim_shelf import MemoryShelf
from tests.support.sim_store import StoreWeather
from tests.support.virtual_loop import BEGINNING

#: When every world begins, in milliseconds.
BEGINNING_MS = int(BEGINNING * 1000)


def test_a_halt_finds_a_read_that_is_tried_again_the_same_whether_its_delay_was_over_or_not() -> None:
    read = {"name": "a", "call": {"service": "one", "method": "GET", "path": "/a"}, "retry": {"jitter": "none"}}
    program = made(saga(read, timeout="5s"))
    records: list[Record] = [
        started(program, deadline=5_000),
        refused("a", "429", t=10),
        RetryPlanned(t=10, path="a", dir="f", attempt=2, at=210),
    ]
    state = RunState(program, RUN)
    for record in records:
        state.apply(record)
    state.fire("a", 210)
    over = Signalled(t=5_000, id="timeout:", name=TIMEOUT, body="")
    state.apply(over)
    afresh = advance(program, RUN, [*records, over])
    assert picture(state) == picture(afresh)
    assert not state.open


def test_a_wish_of_a_step_that_a_halt_has_given_up_does_not_stand() -> None:
    branches = {"left": [call("a", retry={"attempts": 3})], "right": [call("b")]}
    program = made(saga({"name": "both", "fork": {"branches": branches, "failFast": True}}))
    state = RunState(program, RUN)
    for record in (started(program), begun("both/left/a"), begun("both/right/b")):
        state.apply(record)
    state.take()
    state.apply(unknown("both/left/a", "503"))
    state.apply(refused("both/right/b", "400"))
    planned = [wish for wish in state.take() if isinstance(wish, Write) and isinstance(wish.record, RetryPlanned)]
    assert len(planned) == 1
    assert not state.owes(planned[0])


def test_of_many_that_start_one_run_while_the_store_is_away_one_drives_it() -> None:
    async def play() -> tuple[list[object], int]:
        chronicle, loop = Chronicle(), asyncio.get_running_loop()
        one = simulated(0)
        weather = StoreWeather(away=True)
        services = Services(rng=Random(1), chronicle=chronicle, facts_of=one.facts.get)
        shelf = MemoryShelf(SkewedClock(loop), alone=False)
        reaper = Reaper(rng=Random(1), chronicle=chronicle, kills=0, pauses=0)
        runner = SimRunner(
            "r", shelf=shelf, weather=weather, reaper=reaper, services=services, programs=[one], rng=Random(1)
        )
        await runner.life.open()
        message = Message(stream="http", path="/main", method="POST", input={"n": 1}, headers={}, time=0, key="k")
        starter = Starter(runner.driver)

        async def start() -> object:
            intake = take_in(one.program, message, message.input, 1_700_000_000_000)
            return await starter.start(one.program, intake.new, intake.started)

        first = asyncio.create_task(start())
        await asyncio.sleep(0)
        others = [asyncio.create_task(start()) for _ in range(3)]
        first.add_done_callback(lambda done: setattr(weather, "away", False))
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        await asyncio.sleep(5)
        await starter.stop()
        appended = [event for event in chronicle.events if getattr(event, "first", None) == 0]
        return list(answers), len(appended)

    for seed in range(20):
        answers, created = run_seeded(seed, play)
        assert not [one for one in answers if isinstance(one, Exception) and not isinstance(one, StoreUnavailable)]
        assert created == 1


def test_a_bundle_outlives_a_runner_that_slept_between_putting_and_naming_it() -> None:
    async def play() -> tuple[bytes | None, bytes | None]:
        shelf = MemoryShelf(SkewedClock(asyncio.get_running_loop()), alone=False)
        sleeper, other = await shelf.open("sleeper"), await shelf.open("other")
        await sleeper.put_bundle("d1", b"body")
        shelf.lose("sleeper")
        await other.sweep(BEGINNING_MS - 1, 100)
        kept = await other.get_bundle("d1")
        await other.sweep(BEGINNING_MS + 1, 100)
        return kept, await other.get_bundle("d1")

    assert run_seeded(0, play) == (b"body", None)


def test_a_bundle_stays_while_one_of_those_who_put_it_lives() -> None:
    async def play() -> bytes | None:
        shelf = MemoryShelf(SkewedClock(asyncio.get_running_loop()), alone=False)
        first, last = await shelf.open("first"), await shelf.open("last")
        await first.put_bundle("d1", b"body")
        await last.put_bundle("d1", b"body")
        shelf.lose("last")
        await first.sweep(BEGINNING_MS + 1, 100)
        return await first.get_bundle("d1")

    assert run_seeded(0, play) == b"body"
