"""What follows an attempt that did not succeed: the same again, later, an undo's end, a person, or the step's failure.

Every rule about retries, pivots and undos that depends on one attempt's outcome is here, in one page.
"""

from typing import Final, TypeAlias

import msgspec

from runner.saga.definition import Retry
from runner.saga.fault import Fault, named
from runner.saga.journal import FORWARD, UNDO, Refused, Unknown
from runner.saga.retry import delay, spent
from runner.saga.tree import Spot


class Resend(msgspec.Struct, frozen=True):
    """The same attempt at once: its runner died, which counts as no attempt."""


class Again(msgspec.Struct, frozen=True):
    """The next attempt, at this time (milliseconds)."""

    at: int


class Park(msgspec.Struct, frozen=True):
    """A person is needed."""

    reason: str


class Fail(msgspec.Struct, frozen=True):
    """The step has failed. `settled`: an unknown outcome is known to be none by this."""

    fault: Fault
    settled: bool = False


#: None: done all the same (an undo that finds nothing to undo).
Decision: TypeAlias = Resend | Again | Park | Fail | None

#: What time may mend, past the pivot.
MENDABLE: Final = frozenset(
    {"unreachable", "timeout", "unexpected", "circuitOpen", "serviceNotFound", "408", "409", "425", "429"}
)
#: Answers to a pivot's resend that settle nothing.
UNSETTLING: Final = frozenset({"unreachable", "timeout", "circuitOpen", "serviceNotFound", "408", "409", "425", "429"})
#: Refusals of an undo that time may mend.
BUSY: Final = frozenset({"408", "409", "425", "429"})
#: Tries of an undo that is refused.
REFUSED_TRIES: Final = 3


def decide(spot: Spot, record: Refused | Unknown, *, run: str, now: int) -> Decision:
    """What follows `record`, which the spot has already taken in."""
    step, fault = spot.step, record.fault
    crashed = isinstance(record, Unknown) and record.crash
    if step.verb.KEY == "listen":
        return Fail(fault)
    if fault.kind == "render-changed":
        return Park("render-changed")
    never_again = step.idempotent is False and spot.unknown
    if spot.block.dir == UNDO:
        return _of_undo(spot, record, crashed, never_again, run, now)
    if step.pivot and spot.block.dir == FORWARD and spot.unknown:
        return _of_unknown_pivot(spot, record, crashed, run, now)
    if never_again:
        return Fail(_of_one_shot(fault))
    if crashed:
        return Resend()
    if step.retry is not None and named(step.retry.errors, fault):
        at = _next(step.retry, spot, record, run, now)
        if at is not None:
            return Again(at)
    if spot.frame.forward_only and not _is_caught(spot, fault) and _may_mend(spot, fault):
        at = _next(spot.frame.saga.compensation.retry, spot, record, run, now)
        if at is not None:
            return Again(at)
    return Fail(fault)


def _of_undo(spot: Spot, record: Refused | Unknown, crashed: bool, never_again: bool, run: str, now: int) -> Decision:
    fault, own = record.fault, spot.step.retry
    if never_again:
        return Fail(_of_one_shot(fault))
    if crashed:
        return Resend()
    if any(fault.kind in entry.errors for entry in spot.step.catch or ()):
        return Fail(fault)
    if fault.kind in ("404", "410"):
        return None
    if fault.kind in ("expression", "validation"):
        return Fail(fault)
    policy = own or spot.frame.saga.compensation.retry
    if not named(policy.errors, fault):
        return Fail(fault)
    refused = fault.kind.startswith("4") and fault.kind not in BUSY
    if refused and own is None and spot.attempts >= REFUSED_TRIES:
        return Fail(fault)
    at = _next(policy, spot, record, run, now)
    return Fail(fault) if at is None else Again(at)


def _of_unknown_pivot(spot: Spot, record: Refused | Unknown, crashed: bool, run: str, now: int) -> Decision:
    step, fault = spot.step, record.fault
    if step.idempotent is False:
        return Park("pivot-unknown")
    if crashed:
        return Resend()
    if isinstance(record, Refused) and fault.kind not in UNSETTLING:
        return Fail(fault, settled=True) if step.idempotent and fault.kind != "expression" else Park("pivot-unknown")
    if step.retry is not None and named(step.retry.errors, fault):
        at = _next(step.retry, spot, record, run, now)
        if at is not None:
            return Again(at)
    if fault.kind in ("unexpected", "graphql", "expression"):
        return Park("pivot-unknown")
    at = _next(spot.frame.saga.compensation.retry, spot, record, run, now)
    return Park("pivot-unknown") if at is None else Again(at)


def _next(policy: Retry, spot: Spot, record: Refused | Unknown, run: str, now: int) -> int | None:
    """When the policy allows the next attempt; None: never."""
    at = now + delay(policy, spot.attempts, f"{run}/{spot.path}", record.after)
    first = spot.since if spot.since is not None else now
    return None if spent(policy, spot.attempts, first, at) else at


def _is_caught(spot: Spot, fault: Fault) -> bool:
    return any(named(entry.errors, fault) for entry in spot.step.catch or ())


def _may_mend(spot: Spot, fault: Fault) -> bool:
    own = spot.step.retry
    return (
        fault.kind in MENDABLE
        or (fault.kind.startswith("5") and not fault.raised)
        or (own is not None and named(own.errors, fault))
    )


def _of_one_shot(fault: Fault) -> Fault:
    """What is never sent again has failed with `timeout`, an answer with its own status."""
    return fault if fault.status else msgspec.structs.replace(fault, kind="timeout")
