"""What follows an attempt that did not succeed, as tables: one row, one sentence of the language."""

from typing import Any

import pytest

from runner.saga.attempts import Again, Decision, Fail, Park, Resend, decide
from runner.saga.journal import CANCEL, Record, Refused, Signalled, Turned, Unknown
from tests.support.builders import (
    RUN,
    begun,
    call,
    done,
    folded,
    made,
    open_spot,
    refused,
    saga,
    undone,
    unknown,
)

REFUSALS = ("unreachable", "serviceNotFound", "circuitOpen", "400", "404", "409", "410", "422", "429")
UNKNOWNS = ("timeout", "unreachable", "500", "503", "408", "425", "unexpected", "redirect")


def told(decision: Decision) -> str:
    """A decision in a word."""
    match decision:
        case Resend():
            return "resend"
        case Again():
            return "again"
        case Park(reason):
            return f"park {reason}"
        case Fail(fault, settled):
            return f"fail {fault.kind}" + (" settled" if settled else "")
    return "done"


def after(step: dict[str, Any], record: Refused | Unknown, *earlier: Record, **header: Any) -> str:
    """What `decide` says of a record about the step `a`."""
    spot = open_spot(made(saga(step, **header)), record.path, *earlier, begun("a"))
    spot.attempts = record.attempt
    spot.unknown = spot.unknown or isinstance(record, Unknown)
    return told(decide(spot, record, run=RUN, now=0))


@pytest.mark.parametrize("kind", REFUSALS)
def test_without_a_retry_a_refusal_fails_the_step(kind: str) -> None:
    assert after(call("a"), refused("a", kind)) == f"fail {kind}"


@pytest.mark.parametrize("kind", UNKNOWNS)
def test_without_a_retry_an_unknown_outcome_fails_the_step(kind: str) -> None:
    assert after(call("a"), unknown("a", kind)) == f"fail {kind}"


@pytest.mark.parametrize("kind", [*REFUSALS, *UNKNOWNS])
def test_the_default_retry_takes_what_may_pass(kind: str) -> None:
    make = unknown if kind in UNKNOWNS and kind not in REFUSALS else refused
    expected = "again" if kind in ("unreachable", "timeout", "429", "500", "503") else f"fail {kind}"
    assert after(call("a", retry={}), make("a", kind)) == expected


def test_the_last_try_fails() -> None:
    assert after(call("a", retry={"attempts": 2}), unknown("a", "503", attempt=1)) == "again"
    assert after(call("a", retry={"attempts": 2}), unknown("a", "503", attempt=2)) == "fail 503"


def test_a_crash_is_resent_whatever_the_retry_says() -> None:
    assert after(call("a"), unknown("a", "timeout", crash=True)) == "resend"
    assert after(call("a", retry={"attempts": 1}), unknown("a", "timeout", crash=True, attempt=9)) == "resend"


def test_what_is_not_idempotent_is_never_sent_again() -> None:
    step = call("a", idempotent=False, retry={"errors": ["any"]})
    assert after(step, unknown("a", "timeout", crash=True)) == "fail timeout"
    assert after(step, unknown("a", "unreachable")) == "fail timeout"
    assert after(step, unknown("a", "503")) == "fail 503"
    assert after(step, refused("a", "429")) == "again"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (unknown("a", "timeout"), "again"),
        (unknown("a", "503"), "again"),
        (unknown("a", "redirect"), "again"),
        (unknown("a", "timeout", crash=True), "resend"),
        (unknown("a", "unexpected"), "park pivot-unknown"),
        (unknown("a", "graphql"), "park pivot-unknown"),
        (refused("a", "402"), "fail 402"),
        (refused("a", "409"), "fail 409"),
    ],
)
def test_a_pivot_is_resent_until_it_is_known(record: Refused | Unknown, expected: str) -> None:
    step = {key: value for key, value in call("a", pivot=True).items() if key != "compensate"}
    assert after(step, record) == expected


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("written", [None, True])
def test_a_refusal_settles_an_unknown_pivot_only_where_idempotent_is_written(kind: str, written: bool | None) -> None:
    step = call("a", pivot=True) | ({} if written is None else {"idempotent": written})
    del step["compensate"]
    busy = kind in ("unreachable", "serviceNotFound", "circuitOpen", "409", "429")
    spot = open_spot(made(saga(step)), "a", begun("a"), unknown("a", "timeout", crash=True), begun("a"))
    spot.attempts = 1
    found = told(decide(spot, refused("a", kind), run=RUN, now=0))
    assert found == ("again" if busy else f"fail {kind} settled" if written else "park pivot-unknown")


def in_undo(record: Refused | Unknown, *, undo: dict[str, Any] | None = None, attempts: int = 1) -> str:
    """What `decide` says of a record about the undo of `a`."""
    program = made(saga(undone("a", undo=undo or {}), call("b")))
    state = folded(program, begun("a"), done("a"), begun("b"), refused("b", "400"))
    wish = next(iter(state.outstanding()))
    state.apply(wish.record)  # type: ignore[union-attr]
    spot = state.live["a/$undo/0"]
    spot.attempts = attempts
    spot.unknown = isinstance(record, Unknown)
    return told(decide(spot, record, run=RUN, now=0))


@pytest.mark.parametrize(
    ("kind", "attempts", "expected"),
    [
        ("404", 1, "done"),
        ("410", 1, "done"),
        ("403", 1, "again"),
        ("403", 2, "again"),
        ("403", 3, "fail 403"),
        ("409", 30, "again"),
        ("425", 30, "again"),
        ("429", 30, "again"),
        ("serviceNotFound", 30, "again"),
        ("expression", 1, "fail expression"),
    ],
)
def test_a_refused_undo(kind: str, attempts: int, expected: str) -> None:
    record = refused("a/$undo/0", kind, attempt=attempts, way="u")
    assert in_undo(record, attempts=attempts) == expected


@pytest.mark.parametrize("kind", UNKNOWNS)
def test_an_undo_of_unknown_outcome_is_tried_again(kind: str) -> None:
    assert in_undo(unknown("a/$undo/0", kind, way="u"), attempts=30) == "again"


def test_a_catch_of_an_undo_takes_what_it_names_but_not_a_crash() -> None:
    undo = {"catch": [{"errors": ["timeout", "404"], "output": None}]}
    assert in_undo(unknown("a/$undo/0", "timeout", way="u"), undo=undo) == "fail timeout"
    assert in_undo(refused("a/$undo/0", "404", way="u"), undo=undo) == "fail 404"
    assert in_undo(unknown("a/$undo/0", "timeout", way="u", crash=True), undo=undo) == "resend"


def test_an_undo_that_a_class_is_caught_of_is_tried_again_first() -> None:
    undo = {"catch": [{"errors": ["5xx"], "output": None}]}
    assert in_undo(unknown("a/$undo/0", "503", way="u"), undo=undo) == "again"


def test_an_undo_own_retry_replaces_the_policy() -> None:
    undo = {"retry": {"attempts": 2, "errors": ["403"]}}
    assert in_undo(refused("a/$undo/0", "403", way="u"), undo=undo) == "again"
    assert in_undo(refused("a/$undo/0", "403", way="u", attempt=2), undo=undo, attempts=2) == "fail 403"
    assert in_undo(unknown("a/$undo/0", "503", way="u"), undo=undo) == "fail 503"


@pytest.mark.parametrize("kind", [*REFUSALS, *UNKNOWNS])
def test_past_the_pivot_time_mends_what_it_can(kind: str) -> None:
    pivot = {"name": "p", "pivot": True, "call": {"service": "one", "path": "/p", "body": {}}}
    later = {"name": "a", "call": {"service": "one", "path": "/a", "body": {}}}
    spot = open_spot(made(saga(pivot, later)), "a", begun("p"), done("p"), begun("a"))
    spot.attempts = 1
    make = unknown if kind in UNKNOWNS and kind not in REFUSALS else refused
    mended = kind not in ("400", "404", "410", "422", "redirect")
    assert told(decide(spot, make("a", kind), run=RUN, now=0)) == ("again" if mended else f"fail {kind}")


def test_a_cancel_in_the_middle_is_told_as_the_cause() -> None:
    program = made(saga(undone("a"), {"name": "w", "wait": "1h"}))
    state = folded(program, begun("a"), done("a"))
    [wish] = [one for one in state.outstanding() if hasattr(one, "record")]
    state.apply(wish.record)
    state.apply(Signalled(t=5, id="1", name=CANCEL, reason="no need"))
    [turn] = [one.record for one in state.take() if hasattr(one, "record")]
    assert isinstance(turn, Turned)
    assert (turn.cause, turn.undo, turn.fault.detail) == ("cancel", ("a",), "no need")
