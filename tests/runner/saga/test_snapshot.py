"""Snapshots: long loops keep their journals short, and a compacted journal tells what the whole one told."""

from collections.abc import Sequence
from typing import Any

import pytest

from runner.saga.advance import RunState, advance
from runner.saga.budget import MOST_RECORDS, WINDOW, WINDOW_RECORDS
from runner.saga.command import Attempt
from runner.saga.definition import Program
from runner.saga.journal import (
    CATCH,
    UNDO,
    Begun,
    Done,
    Ended,
    Record,
    Snapshot,
    Started,
    Turned,
    Unknown,
    encode,
    pack,
    unpack,
)
from runner.saga.snapshot import compact, since_last, snapshot
from tests.support.builders import RUN, begun, call, done, made, refused, saga, undone
from tests.support.folding import Folding, Rule, folding, succeeds
from tests.support.playing import picture

ITEMS = list(range(2_500))


def loop(*steps: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"name": "all", "for": {"each": "item", "in": "input", "steps": list(steps), **keys}}


def stored(records: Sequence[Record], program: Program) -> list[Record]:
    """The journal as a store keeps it: each snapshot filled with what it stands in for."""
    state = RunState(program, RUN)
    kept: list[bytes] = []
    for record in records:
        state.apply(record)
        [body], blobs = pack([record])
        assert not blobs
        if isinstance(record, Snapshot):
            stretch = since_last(kept)
            kept[len(kept) - len(stretch) :] = [snapshot(stretch, record.t, exact=state.exact)]
        else:
            kept.append(body)
    return unpack(kept, {})


def same(program: Program, some: Sequence[Record], others: Sequence[Record]) -> None:
    """Both journals tell the same."""
    one, other = advance(program, RUN, some), advance(program, RUN, others)
    assert picture(one) == picture(other)
    assert (one.stored, one.mark, one.exact) == (other.stored, other.mark, other.exact)


#: A loop, how many items it has, and how many snapshots come of that.
LOOPS = {
    "one after the other": (loop(undone("a")), 2_500, 2),
    "side by side": (loop(undone("a"), undone("b"), parallel=64), 2_500, 2),
    "until": ({"name": "all", "for": {"max": 5_000, "until": "index == `2499`", "steps": [undone("a")]}}, 1, 2),
    "reads": (loop({"name": "r", "call": {"service": "one", "method": "GET", "path": "/r"}}), 2_500, 2),
    "many records a turn": (loop(*(undone(name) for name in "abcdefgh")), 1_100, 4),
    "in each other": (
        loop({"name": "inner", "for": {"each": "x", "in": [1, 2, 3, 4], "steps": [undone("a")]}}, parallel=3),
        1_100,
        2,
    ),
}
LOOP = pytest.mark.parametrize(("steps", "items", "snapshots"), LOOPS.values(), ids=LOOPS)


@LOOP
def test_a_long_loop_keeps_its_journal_short(steps: dict[str, Any], items: int, snapshots: int) -> None:
    program = made(saga(steps))
    at = folding(program, list(range(items)))
    at.play()
    assert at.state.ended is not None
    assert at.state.ended.status == "completed"
    kept = stored(at.records, program)
    assert sum(isinstance(record, Snapshot) for record in kept) == snapshots
    assert at.state.stored == len(kept) - 1, "the budget counts what is stored, but for the end"
    most, since = 0, 0
    for record in at.records:
        since = 0 if isinstance(record, Snapshot) else since + 1
        most = max(most, since)
    assert most <= WINDOW_RECORDS + 2 * 64
    same(program, at.records, kept)


def test_ten_thousand_items_with_a_call_each_fit_into_the_budget() -> None:
    program = made(saga(loop(undone("a"))))
    at = folding(program, list(range(10_000)))
    at.play()
    assert at.state.ended is not None
    assert at.state.ended.status == "completed"
    assert len([record for record in at.records if isinstance(record, Done)]) == 10_000
    assert len(stored(at.records, program)) == 1 + 10 + 1


def test_a_loop_of_a_thousand_items_has_no_snapshot() -> None:
    at = folding(made(saga(loop(undone("a")))), list(range(WINDOW)))
    at.play()
    assert not any(isinstance(record, Snapshot) for record in at.records)


def test_a_long_loop_whose_single_turn_is_over_the_budget_is_refused_beforehand() -> None:
    inner = {"name": "inner", "for": {"each": "x", "in": list(range(1_000)), "steps": [undone(n) for n in "abcdef"]}}
    at = folding(made(saga(loop(inner))), ITEMS)
    at.play()
    assert [type(record) for record in at.records] == [Started, Turned, Ended]
    assert at.records[1].fault.detail.startswith("the 2500 items of all need 14500 at least")  # type: ignore[union-attr]


def test_a_long_loop_behind_many_records_has_room_as_its_first_snapshot_takes_them_in() -> None:
    before = loop(undone("a"), undone("b"), undone("c"), undone("d"), **{"in": "input[:1000]"})
    program = made(saga({**before, "name": "before"}, loop(undone("e"))))
    at = folding(program, ITEMS)
    at.play()
    assert at.state.ended is not None
    assert at.state.ended.status == "completed"
    same(program, at.records, stored(at.records, program))


def refuses(path: str) -> Rule:
    def rule(wish: Attempt) -> Record:
        return refused(wish.path, "409") if wish.path == path else succeeds(wish)

    return rule


@pytest.mark.slow
@LOOP
def test_a_run_goes_on_from_around_each_snapshot_as_if_it_had_never_stopped(
    steps: dict[str, Any], items: int, snapshots: int
) -> None:
    program = made(saga(steps))
    whole = folding(program, list(range(items)))
    whole.play()
    positions = [at for at, record in enumerate(whole.records) if isinstance(record, Snapshot)]
    assert len(positions) == snapshots
    for distance in (-1, 0, 1, 2):
        cut = whole.records[: positions[-1] + distance]
        kept = stored(cut, program)
        same(program, cut, kept)
        again = Folding(advance(program, RUN, kept))
        for record in again.state.interrupted():
            again.add(record)
        again.play()
        assert again.state.ended == whole.state.ended


def test_a_completed_window_is_undone_by_falling_index_and_reads_what_its_items_had() -> None:
    undo = {"call": {"service": "one", "path": "/undo", "body": {"was": "${ steps.a.output.of }", "of": "${ item }"}}}
    program = made(saga(loop(call("a", compensate=undo)), undone("last")))
    at = folding(program, ITEMS, refuses("last"))
    at.play(records=6_000)
    kept = stored(at.records, program)
    again = Folding(advance(program, RUN, kept), refuses("last"), kept)
    again.play()
    assert again.state.ended is not None
    assert again.state.ended.status == "compensated"
    undone_paths = [record.path for record in again.records if isinstance(record, Begun) and record.dir == UNDO]
    assert undone_paths == [f"all/{index}/a/$undo/0" for index in reversed(ITEMS)]
    state = advance(program, RUN, kept[:3])
    assert isinstance(kept[1], Snapshot), "the first window"
    items = state.root.block.spots[0].blocks
    assert [block.spots[0].output for block in items[:WINDOW]] == [{"of": f"all/{index}/a"} for index in range(WINDOW)]


def test_an_attempt_whose_end_a_halt_waited_for_stays_begun() -> None:
    branches = {"x": [call("x"), {"name": "boom", "set": "${ div(`1`, `0`) }"}], "y": [call("y")]}
    fork = {
        "name": "f",
        "fork": {"branches": branches, "failFast": True},
        "catch": [{"errors": ["any", "expression"], "output": 1}],
    }
    program = made(saga(loop(fork)))

    def order(path: str) -> int:
        return 0 if path.endswith("/x") else 1

    at = folding(program, ITEMS)
    state = at.state
    while state.ended is None and at.state.snapshots == 0:
        for wish in sorted(state.take(), key=lambda one: order(getattr(one, "path", ""))):
            if isinstance(wish, Attempt):
                at.add(begun(wish.path))
        for path in sorted(state.open, key=order):
            if path in state.open:
                at.add(done(path))
        for write in list(state.owed.values()):
            at.add(write.record)
    assert state.exact
    same(program, at.records, stored(at.records, program))


def test_what_lies_between_a_begun_attempt_and_its_end_keeps_it() -> None:
    records: list[Record] = [
        begun("a"),
        begun("b"),
        done("b"),
        done("a"),
        begun("c"),
        Unknown(t=0, path="d", dir=CATCH, fault=refused("d", "409").fault),
        done("c"),
        begun("e"),
    ]
    kept = compact([encode(record) for record in records])
    assert unpack(kept, {}) == [records[at] for at in (2, 3, 4, 5, 6, 7)]


def test_a_run_without_room_for_a_turn_fails_behind_its_snapshots() -> None:
    maybe = {
        "name": "m",
        "switch": [
            {
                "otherwise": [
                    {
                        "name": "i",
                        "for": {
                            "each": "x",
                            "in": "input[:900]",
                            "steps": [{"name": "n", "switch": [{"otherwise": [undone(name) for name in "abcdef"]}]}],
                        },
                    }
                ]
            }
        ],
    }
    program = made(saga(loop(undone("first"), {**maybe, "when": "item == `1200`", "catch": "continue"})))
    at = folding(program, ITEMS)
    at.play()
    assert at.state.ended is not None
    assert at.state.exact, "the budget was spent in the turn of item 1200"
    kept = stored(at.records, program)
    same(program, at.records, kept)
    assert at.state.snapshots >= 2
    assert at.state.stored <= MOST_RECORDS
