"""The durable store and the one in memory give the same answers to any sequence of operations.

Both share their rules (`runner.adapters.stores.entry`); what is compared is all that each does by itself:
what it keeps, finds, orders, batches, rolls back and forgets.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from registry.base.clock import ManualClock
from runner.adapters.stores.memory import MemoryJournals
from runner.adapters.stores.sqlite import SqliteJournals
from runner.ports import Claimed, Compaction, Created, Filter, Hold, Journals, Note, StoreError
from tests.contracts.journal_worlds import begun, copy_of, done, new_run, signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One operation; a hold is named by its place among those given out so far."""

    method: str
    arguments: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()
    hold: int | None = None


def compaction(records: Sequence[bytes], place: tuple[int, int] | None) -> Compaction | None:
    """Of an append of these records: the place as far as it fits."""
    if place is None or not records:
        return None
    return Compaction(at=min(place[0], len(records) - 1), since=place[1])


RUNS = st.sampled_from(["r1", "r2", "r3", "r4"])
RECORDS = st.lists(st.sampled_from([begun(), done(), b'["U",1,"a"]', b"", b"\x00\xff"]), max_size=3)
TIMES = st.none() | st.integers(1_699_999_999_000, 1_700_000_030_000)
NOTES = st.builds(
    Note,
    status=st.sampled_from(["running", "waiting", "completed"]),
    reason=st.sampled_from(["", "poison"]),
    release=st.booleans(),
    due_at=TIMES,
    ended=st.integers(0, 5).map(lambda number: number == 0),
)
BLOBS = st.dictionaries(st.sampled_from(["d1", "d2"]), st.sampled_from([b"", b"one", b"two"]), max_size=2)
PLACES = st.tuples(st.integers(0, 2), st.integers(0, 6))
LABELS = st.sampled_from([{}, {"tier": "gold"}, {"tier": "tin", "shop": "west"}])
CREATIONS = st.builds(
    lambda run, print_, labels, at, records, note, start, bundle, blobs: Call(
        method="create",
        arguments=(
            new_run(run, fingerprint=print_, labels=labels, started_at=at, records=records, bundle=bundle, blobs=blobs),
            note,
        ),
        keywords=(("start", start),),
    ),
    RUNS,
    st.sampled_from(["", "aa", "bb"]),
    LABELS,
    st.integers(1, 3),
    RECORDS,
    NOTES,
    st.booleans(),
    st.sampled_from(["b1", "b2"]),
    BLOBS,
)
APPENDS = st.builds(
    lambda hold, records, note, blobs, place, taken, born: Call(
        method="append",
        arguments=(records, note),
        keywords=(
            ("blobs", blobs),
            ("compaction", compaction(records, place)),
            ("taken", taken),
            ("spawn", [call.arguments for call in born]),
        ),
        hold=hold,
    ),
    st.integers(0, 50),
    RECORDS,
    NOTES,
    BLOBS,
    st.none() | PLACES,
    st.integers(0, 4),
    st.just([]) | st.lists(CREATIONS, max_size=2),
)
CLAIMS = RUNS.map(lambda run: Call(method="claim", arguments=(run,)))
SIGNALS = st.builds(lambda run, number: Call(method="signal", arguments=(run, signal(number))), RUNS, st.integers(1, 5))
PUTS = st.sampled_from(["b1", "b2"]).map(lambda name: Call(method="put_bundle", arguments=(name, b"body")))
WRITES = CREATIONS | APPENDS | CLAIMS | SIGNALS | PUTS
FILTERS = st.builds(
    Filter,
    saga=st.sampled_from([None, "checkout"]),
    status=st.sampled_from([None, "running", "waiting", "completed"]),
    label=st.sampled_from([None, ("tier", "gold"), ("shop", "west")]),
    since=st.sampled_from([None, 2]),
    cursor=st.sampled_from([None, "2.3", "3.1"]),
    limit=st.integers(1, 3),
)


class Agreement(RuleBasedStateMachine):
    """Two stores under the same hand."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.model: Journals = MemoryJournals(self.clock, name="shop")
        self.store: Journals = SqliteJournals(Path(self.folder.name) / "journal.db", self.clock, name="shop")
        self.owners = 0
        #: As the model gave them, in order.
        self.holds: list[Hold] = []

    @initialize()
    def open(self) -> None:
        self.owners += 1
        for journals in (self.model, self.store):
            self.runner.run(journals.open(f"owner {self.owners}"))

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    @rule(call=WRITES)
    def write(self, call: Call) -> None:
        self.compare([call])

    @rule(calls=st.lists(WRITES, min_size=2, max_size=8))
    def write_together(self, calls: list[Call]) -> None:
        self.compare(calls)

    @rule(call=APPENDS)
    def append_twice(self, call: Call) -> None:
        self.compare([call, call])

    @rule()
    def crash(self) -> None:
        for journals in (self.model, self.store):
            self.runner.run(journals.close())
        self.open()

    @rule(seconds=st.floats(0.001, 20))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(before=TIMES.map(lambda time: time or 0), limit=st.integers(0, 3))
    def sweep(self, before: int, limit: int) -> None:
        self.compare([Call(method="sweep", arguments=(before, limit))])

    @rule(wanted=FILTERS)
    def list(self, wanted: Filter) -> None:
        self.compare([Call(method="list", arguments=(wanted,))])

    @rule(now=TIMES.map(lambda time: time or 0), limit=st.integers(0, 4))
    def due(self, now: int, limit: int) -> None:
        self.compare([Call(method="due", arguments=(now, limit))])

    @invariant()
    def both_tell_the_same(self) -> None:
        if not self.owners:
            return
        for call in (
            *(Call(method="read", arguments=(run,)) for run in ("r1", "r2", "r3", "r4")),
            *(Call(method="get_bundle", arguments=(digest,)) for digest in ("b1", "b2")),
            Call(method="next_due"),
            Call(method="heartbeat"),
            Call(method="orphans", arguments=(10,)),
        ):
            self.compare([call])

    def compare(self, calls: Sequence[Call]) -> None:
        """Send `calls` to both at once, in this order; what each answered must be the same."""
        said = self.runner.run(self.ask(self.model, calls))
        assert self.runner.run(self.ask(self.store, calls)) == said
        for answer, hold in said:
            if isinstance(answer, Created | Claimed) and answer.hold is not None:
                self.holds.append(copy_of(answer.hold))
            elif hold is not None and hold not in self.holds:
                self.holds.append(hold)

    async def ask(self, journals: Journals, calls: Sequence[Call]) -> Sequence[tuple[object, Hold | None]]:
        return await asyncio.gather(*(self.answer(journals, call) for call in calls))

    async def answer(self, journals: Journals, call: Call) -> tuple[object, Hold | None]:
        hold: Hold | None = None
        arguments = call.arguments
        if call.hold is not None:
            # The newest first, for old ones are but fenced.
            hold = copy_of(self.holds[-1 - call.hold % len(self.holds)]) if self.holds else nobodys_hold()
            arguments = (hold, *arguments)
        try:
            answer = await getattr(journals, call.method)(*arguments, **dict(call.keywords))
        except StoreError as refusal:
            return (type(refusal), str(refusal)), hold
        if call.method in ("orphans", "heartbeat"):
            answer = sorted(answer, key=repr)  # in no order that was promised
        return answer, hold


def nobodys_hold() -> Hold:
    return Hold(run="r1", owner="nobody", epoch=1, length=0)


def test_both_stores_give_the_same_answers_to_any_history() -> None:
    run_state_machine_as_test(Agreement, settings=settings(max_examples=15, stateful_step_count=20, deadline=None))


@pytest.mark.slow
def test_both_stores_give_the_same_answers_to_many_histories() -> None:
    run_state_machine_as_test(Agreement, settings=settings(max_examples=120, stateful_step_count=30, deadline=None))
