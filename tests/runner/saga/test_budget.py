"""The record budget: what has no room in the journal fails before its first effect, and what undoes always has room."""

from typing import Any

import pytest

from runner.saga.budget import MOST_RECORDS
from runner.saga.command import Attempt
from runner.saga.journal import UNDO, Begun, Record, ScopeTurned, Signalled, Turned
from runner.saga.state import PIVOT_SENT
from tests.support.builders import call, made, saga, undone, unknown
from tests.support.folding import Folding, folding, succeeds

NEVER_COUNTED = (Signalled, ScopeTurned, Turned)


def counted(at: Folding) -> int:
    """Records that count against the budget."""
    ends = 1 if at.state.ended is not None else 0
    return (
        sum(not isinstance(record, NEVER_COUNTED) and getattr(record, "dir", "") != UNDO for record in at.records)
        - ends
    )


def loop(*steps: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"name": "all", "for": {"each": "item", "in": "input", "steps": list(steps), **keys}}


def maybe(*steps: dict[str, Any]) -> dict[str, Any]:
    """Steps that a look beforehand does not count."""
    return {"name": "maybe", "switch": [{"otherwise": list(steps)}]}


FIVE = tuple(undone(name) for name in "abcde")


def ended(at: Folding) -> tuple[str, str]:
    assert at.state.ended is not None
    error = at.state.ended.error
    return at.state.ended.status, "" if error is None else error.kind


def test_a_loop_that_fits_runs_and_one_item_more_is_refused_before_its_first_turn() -> None:
    program = made(saga(loop(*FIVE)))
    fits = folding(program, list(range(999)))
    fits.play()
    assert ended(fits) == ("completed", "")
    assert counted(fits) == 1 + 999 * 5 * 2
    over = folding(program, list(range(1000)))
    over.play()
    assert ended(over) == ("failed", "exhausted")
    assert not any(isinstance(record, Begun) for record in over.records)
    assert isinstance(over.records[1], Turned)
    assert over.records[1].fault.detail.startswith(
        "the 1000 items of all need 10000 at least, and of the 10000 records"
    )


def refused_beforehand(at: Folding) -> bool:
    return (Turned, "") in at.state.owed


@pytest.mark.parametrize(
    "steps",
    [
        [{"name": f"r{n}", "call": {"service": "one", "method": "GET", "path": "/r"}} for n in range(10)],
        [{"name": f"w{n}", "wait": "1s"} for n in range(5)],
        [
            {"name": "f", "fork": {"branches": {"x": [call("x1"), call("x2")], "y": [call("y1"), call("y2")]}}},
            call("z"),
        ],
        [{"name": "c", "run": {"saga": "child"}}],
    ],
    ids=["reads", "waits", "branches", "a saga"],
)
def test_what_a_turn_needs_at_least_is_known_beforehand(steps: list[dict[str, Any]]) -> None:
    program = made(saga(loop(*steps)), {"id": "child", "steps": list(FIVE)})
    assert not refused_beforehand(folding(program, list(range(999))))
    assert refused_beforehand(folding(program, list(range(1000))))


@pytest.mark.parametrize(
    "steps",
    [
        (*FIVE[1:], call("f", when="item < `0`")),
        (maybe(*FIVE),),
        (maybe({"return": 1}), *FIVE),
        (*FIVE[1:], call("f", catch=[{"errors": ["any"], "steps": [{"raise": {"type": "enough"}}]}])),
    ],
    ids=["when", "switch", "return", "raise"],
)
def test_what_may_need_less_is_not_refused_beforehand(steps: tuple[dict[str, Any], ...]) -> None:
    assert not refused_beforehand(folding(made(saga(loop(*steps))), list(range(1000))))


def test_a_loop_that_may_stop_early_is_not_refused_beforehand() -> None:
    at = folding(made(saga(loop(*FIVE, until="index == `2`"))), list(range(1000)))
    at.play()
    assert ended(at) == ("completed", "")


@pytest.mark.parametrize("parallel", [1, 7, 1000])
def test_a_step_without_room_fails_and_all_is_undone(parallel: int) -> None:
    at = folding(made(saga(loop(maybe(*FIVE, undone("f")), parallel=parallel))), list(range(1000)))
    at.play()
    assert ended(at) == ("compensated", "exhausted")
    assert MOST_RECORDS - 2 * parallel - 2 <= counted(at) <= MOST_RECORDS
    assert at.state.undone == sum(isinstance(record, Begun) and record.dir != UNDO for record in at.records)
    assert len(at.records) > MOST_RECORDS, "what undoes is not counted"
    [turned] = [record for record in at.records if isinstance(record, Turned)]
    assert "needs 2 more, and of the 10000 records that a run may have" in turned.fault.detail


def test_past_the_pivot_a_step_without_room_parks() -> None:
    pivot = {"name": "p", "pivot": True, "call": {"service": "one", "path": "/p", "body": {}}}
    steps = [call(name, compensate=None) for name in "abcdef"]
    for step in steps:
        del step["compensate"]
    at = folding(made(saga(pivot, loop(maybe(*steps)))), list(range(1000)))
    at.play()
    assert at.state.status == "parked"
    assert at.state.reason.startswith("failed-after-pivot: all/")
    assert counted(at) <= MOST_RECORDS


def lost(wish: Attempt) -> Record:
    return unknown(wish.path, "503", attempt=wish.number, way=wish.dir)


ENDLESS = {"maxDuration": "7d", "delay": "1s", "backoff": "constant", "jitter": "none", "errors": ["any"]}


def test_a_step_that_is_tried_for_ever_fails_where_the_budget_ends() -> None:
    retried = call("a", retry=ENDLESS, compensate="none")
    at = folding(made(saga(retried)), rule=lost)
    at.play()
    assert ended(at) == ("failed", "exhausted")
    assert MOST_RECORDS - 3 <= counted(at) <= MOST_RECORDS


def test_a_pivot_that_is_tried_for_ever_parks_where_the_budget_ends() -> None:
    pivot = {"name": "p", "pivot": True, "retry": ENDLESS, "call": {"service": "one", "path": "/p", "body": {}}}
    at = folding(made(saga(pivot)), rule=lost)
    at.play()
    assert (at.state.status, at.state.reason) == ("parked", "pivot-unknown: p")
    assert at.state.pivot == PIVOT_SENT
    assert counted(at) <= MOST_RECORDS


def test_an_undo_is_tried_beyond_the_budget() -> None:
    def rule(wish: Attempt) -> Record:
        if wish.dir == UNDO and wish.number < 4_000:
            return lost(wish)
        return succeeds(wish)

    steps = (undone("a", undo={"retry": ENDLESS}), {"name": "r", "raise": {"type": "no"}})
    at = folding(made(saga(*steps)), rule=rule)
    at.play()
    assert ended(at) == ("compensated", "no")
    assert len(at.records) > MOST_RECORDS
    assert counted(at) == 3


def test_a_caught_shortage_goes_on_without_records() -> None:
    steps = [call(name, catch="continue") for name in "abcdef"]
    at = folding(made(saga(loop(maybe(*steps)), output="done")), list(range(1000)))
    at.play()
    assert ended(at) == ("completed", "")
    assert counted(at) <= MOST_RECORDS
