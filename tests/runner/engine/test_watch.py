"""Watching a run: what has happened, what happens, how it ends, and how little a reader can make the runner hold."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from runner.adapters.stores.memory import MemoryJournals
from runner.engine import watch as watching
from runner.engine.watch import MOST_BEHIND, MOST_WATCHERS, TooManyWatchers, Watch, Watchers
from runner.ports import Hold, NewRun, Note, RunRow, Stored
from runner.saga.happening import Event
from runner.saga.journal import Begun, Done, Ended, Record, Started, encode
from tests.runner.engine.door import door, said
from tests.support.virtual_loop import VirtualClock, run_virtually

SAGA = """
id: a
path: /a
methods: [POST]
respond: accepted
steps:
  - name: one
    call: {service: backend, path: /one, body: 1}
    compensate: {call: {service: backend, method: DELETE, path: /one}}
"""
LISTENS = SAGA + "  - name: word\n    listen: {signal: word}\n"
BORN = Started(t=1, bundle="b", saga="a@1", input={}, event={"id": "e"})
RUNNING = Note(status="running")


def sent(number: int) -> Begun:
    return Begun(t=1, path="one", dir="f", attempt=number, digest="d")


def names(batch: tuple[Event, ...] | list[Event]) -> list[str]:
    return [event.name for event in batch]


async def whole(watch: Watch) -> list[Event]:
    return [event async for batch in watch.events() for event in batch]


async def until(events: AsyncIterator[tuple[Event, ...]], name: str) -> list[Event]:
    """All up to the first batch that has this one."""
    out: list[Event] = []
    async for batch in events:
        out += batch
        if name in names(batch):
            return out
    raise AssertionError(f"it ended without {name}: {names(out)}")


async def born(journals: MemoryJournals, *records: Record) -> Hold:
    await journals.open("other#1")
    await journals.put_bundle("b", b"")
    new = NewRun(
        id="r",
        fingerprint="",
        saga="a",
        version=1,
        bundle="b",
        labels={},
        started_at=1,
        records=tuple(encode(record) for record in (BORN, *records)),
    )
    created = await journals.create(new, RUNNING)
    assert created.hold is not None
    return created.hold


async def watched(watchers: Watchers, after: int = 0, run: str = "r") -> Watch:
    watch = await watchers.watch(run, after)
    assert watch is not None
    return watch


@pytest.mark.anyio
async def test_what_has_happened_is_told_first_then_what_happens_then_the_end() -> None:
    async with door(SAGA, closed=True) as at:
        run = (await at.ask()).headers["x-saga-run"]
        await at.service.asked.wait()
        watch = await watched(at.driver.watchers, run=run)
        events = watch.events()
        so_far = await anext(events)
        assert [(event.seq, event.name) for event in so_far] == [(1, "started"), (2, "sent"), (None, "status")]
        at.service.gate.set()
        assert [(event.seq, event.name) for event in await until(events, "ended")] == [(3, "done"), (4, "ended")]
        assert [batch async for batch in events] == []


@pytest.mark.anyio
async def test_a_watch_goes_on_behind_the_number_it_is_given_and_always_tells_the_end() -> None:
    async with door(SAGA) as at:
        run = (await at.ask()).headers["x-saga-run"]
        await at.ended(run, "completed")
        for after, told in ((0, [1, 2, 3, 4]), (2, [3, 4]), (4, [4]), (99, [4])):
            got = await whole(await watched(at.driver.watchers, after, run))
            assert [event.seq for event in got] == told
            assert got[-1].name == "ended"


@pytest.mark.anyio
async def test_a_run_that_turns_tells_its_undo() -> None:
    failing = SAGA + "  - name: two\n    call: {service: backend, path: /two, body: 1}\n    compensate: none\n"
    async with door(failing, answers={"POST /two": said(409)}) as at:
        run = (await at.ask()).headers["x-saga-run"]
        got = await whole(await watched(at.driver.watchers, run=run))
        told = [(event.name, json.loads(event.data).get("direction")) for event in got if event.name != "status"]
        assert told[-5:] == [
            ("refused", "forward"),
            ("turned", None),
            ("sent", "undo"),
            ("done", "undo"),
            ("ended", None),
        ]
        assert json.loads(got[-1].data)["status"] == "compensated"


@pytest.mark.anyio
async def test_a_run_that_waits_and_one_that_parks_say_how_they_stand() -> None:
    parks = LISTENS.replace("path: /one}}", "path: /one}, retry: {attempts: 1}}")
    async with door(parks, answers={"DELETE /one": said(403)}) as at:
        run = (await at.ask()).headers["x-saga-run"]
        await at.ended(run, "waiting")
        events = (await watched(at.driver.watchers, run=run)).events()
        assert json.loads((await anext(events))[-1].data) == {
            "status": "waiting",
            "reason": "word waits for signal word",
        }
        await at.operator.cancel(run, subject="", reason="enough")
        told: list[Event] = []
        while not told or b"parked" not in told[-1].data:
            told += await until(events, "status")
        assert told[0].name == "signalled"
        assert json.loads(told[0].data)["reason"] == "enough"


@pytest.mark.anyio
async def test_of_a_run_that_is_not_there_nothing_is_kept() -> None:
    async with door(SAGA) as at:
        assert await at.driver.watchers.watch("nobody", 0) is None
        assert at.driver.watchers.watched == {}


@pytest.mark.anyio
async def test_a_journal_that_is_away_leaves_nothing_behind() -> None:
    async with door(SAGA, keeping=False) as at:
        await at.journals.close()
        with pytest.raises(watching.StoreError):
            await at.driver.watchers.watch("nobody", 0)
        assert at.driver.watchers.watched == {}
        await at.journals.open("again")


def test_a_journal_that_nobody_can_read_leaves_nothing_behind() -> None:
    async def main(clock: VirtualClock) -> None:
        journals = MemoryJournals(clock, name="shop")
        hold = await born(journals)
        await journals.append(hold, [b'["?"]'], RUNNING)
        watchers = Watchers(journals, ())
        with pytest.raises(msgspec.ValidationError):
            await watchers.watch("r", 0)
        assert watchers.watched == {}

    run_virtually(main)


def test_who_takes_nothing_is_closed_and_can_go_on_where_he_was() -> None:
    async def main(clock: VirtualClock) -> None:
        journals = MemoryJournals(clock, name="shop")
        hold = await born(journals)
        watchers = Watchers(journals, {"r"})
        watch = await watched(watchers)
        events = watch.events()
        assert names(await anext(events)) == ["started", "status"]
        for number in range(1, 2 * MOST_BEHIND):
            await journals.append(hold, [encode(sent(number))], RUNNING)
            watchers.tell("r", hold.length, [sent(number)], RUNNING)
        got = [event async for batch in events for event in batch]
        assert len(got) <= MOST_BEHIND
        assert json.loads(got[-1].data) == {"reason": "slow"}
        last = got[-2].seq
        assert last is not None
        assert [event.seq for event in got[:-1]] == list(range(2, last + 1))
        again = (await watched(watchers, last)).events()
        assert [event.seq for event in await anext(again)][:2] == [last + 1, last + 2]

    run_virtually(main)


def test_a_run_in_other_hands_is_looked_for_in_the_store() -> None:
    async def main(clock: VirtualClock) -> None:
        journals = MemoryJournals(clock, name="shop")
        hold = await born(journals)
        events = (await watched(Watchers(journals, ()))).events()
        await anext(events)
        await journals.append(hold, [encode(sent(1))], RUNNING)
        assert [event.seq for event in await anext(events)] == [2]
        assert await anext(events) == (), "nothing new is a sign of life"
        end = Ended(t=1, status="completed")
        await journals.append(hold, [encode(end)], Note(status="completed", ended=True))
        assert names(await until(events, "ended")) == ["ended"]
        assert clock.now() - 1_700_000_000 <= 4 * watching.LOOK

    run_virtually(main)


def test_a_run_in_our_hands_is_not_asked_of_the_store_and_quiet_gives_a_sign_of_life() -> None:
    async def main(clock: VirtualClock) -> None:
        journals = MemoryJournals(clock, name="shop")
        hold = await born(journals)
        events = (await watched(Watchers(journals, {"r"}))).events()
        await anext(events)
        await journals.append(hold, [encode(sent(1))], RUNNING)
        assert await anext(events) == ()
        assert clock.monotonic() == watching.BEAT

    run_virtually(main)


def test_what_another_runner_appended_meanwhile_is_fetched_before_what_is_told() -> None:
    async def main(clock: VirtualClock) -> None:
        journals = MemoryJournals(clock, name="shop")
        hold = await born(journals)
        watchers = Watchers(journals, {"r"})
        events = (await watched(watchers)).events()
        await anext(events)
        await journals.append(hold, [encode(sent(1))], RUNNING)  # theirs: nobody tells of it
        done = Done(t=1, path="one", dir="f", output=None)
        await journals.append(hold, [encode(done)], RUNNING)
        watchers.tell("r", hold.length, [done], RUNNING)
        assert [(event.seq, event.name) for event in await anext(events)] == [(2, "sent"), (3, "done")]

    run_virtually(main)


def test_a_run_that_is_forgotten_or_a_journal_that_goes_away_ends_the_watch() -> None:
    async def main(clock: VirtualClock) -> list[Any]:
        journals = MemoryJournals(clock, name="shop")
        hold = await born(journals)
        watchers = Watchers(journals, ())
        reasons = []
        first, second = (await watched(watchers)).events(), (await watched(watchers)).events()
        await anext(first)
        await anext(second)
        await journals.append(hold, [encode(Ended(t=1, status="completed"))], Note(status="completed", ended=True))
        await journals.sweep(int(clock.now() * 1000) + 1, 10)
        reasons.append(json.loads((await until(first, "closed"))[-1].data)["reason"])
        await journals.close()
        reasons.append(json.loads((await until(second, "closed"))[-1].data)["reason"])
        return reasons

    assert run_virtually(main) == ["gone", "store-away"]


@pytest.mark.anyio
async def test_a_stop_ends_every_watch_and_those_that_begin_later() -> None:
    async with door(LISTENS) as at:
        run = (await at.ask()).headers["x-saga-run"]
        await at.ended(run, "waiting")
        events = (await watched(at.driver.watchers, run=run)).events()
        await anext(events)
        waiting = asyncio.ensure_future(until(events, "closed"))
        await at.driver.stop(0)
        for told in (await waiting, await until((await watched(at.driver.watchers, run=run)).events(), "closed")):
            assert json.loads(told[-1].data) == {"reason": "stopping"}


def test_there_are_only_so_many_watchers_and_who_leaves_makes_room() -> None:
    async def main(clock: VirtualClock) -> None:
        journals = MemoryJournals(clock, name="shop")
        await born(journals)
        watchers = Watchers(journals, {"r"})
        watches = [await watched(watchers) for _ in range(MOST_WATCHERS)]
        with pytest.raises(TooManyWatchers):
            await watchers.watch("r", 0)
        watchers.leave(watches[0])
        watchers.leave(watches[0])
        await watched(watchers)
        with pytest.raises(TooManyWatchers):
            await watchers.watch("r", 0)

    run_virtually(main)


def test_a_journal_with_a_stretch_written_anew_tells_no_number_twice() -> None:
    """Of twelve records the first, one that tells nothing new, and the last two are stored."""

    async def main(clock: VirtualClock) -> None:
        journals = MemoryJournals(clock, name="shop")
        row = RunRow(
            id="r", saga="a", version=1, status="running", reason="", labels={}, bundle="b", fingerprint="",
            started_at=1, ended_at=None, owner="o", epoch=1, length=12,
        )  # fmt: skip
        stored = Stored(row=row, records=tuple(encode(one) for one in (BORN, sent(1), sent(2), sent(3))), blobs={})
        for after, told in ((0, [1, 10, 11, 12]), (5, [10, 11, 12]), (11, [12]), (12, [])):
            watch = Watch("r", journals, {"r"})
            watch.begin(stored, after)
            assert [event.seq for event in await anext(watch.events()) if event.seq] == told

    run_virtually(main)
