"""What a record tells those who watch a run: one event with a stable name, without inputs, outputs and bodies.

A record's number is its place in the run, from 1. A stored journal may be shorter than its run is long, because a
stretch of it was written anew as a snapshot; so numbers are counted back from the length, and only the first is 1.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from registry.base.clock import iso
from registry.base.values import Json
from runner.saga.journal import (
    Begun,
    Done,
    Ended,
    Record,
    Refused,
    RetryPlanned,
    ScopeTurned,
    Signalled,
    Snapshot,
    Started,
    Turned,
    Unknown,
    Waiting,
)
from runner.saga.view import DIRECTIONS, fault_view, leftover_view, undo_error_view

#: Every name of an event and what it says.
NAMES: Final[dict[str, str]] = {
    "started": "the run was born",
    "sent": "a request is about to leave; GET and HEAD have none",
    "done": "a step is done",
    "refused": "an attempt definitely had no effect",
    "unknown": "an attempt may have had its effect",
    "retry": "the next attempt is planned, for `due`",
    "waiting": "a branch waits, until `until`, for the signal `signal`, or for whichever is first",
    "signalled": "a signal was taken from the inbox: a person's, an operator's action, `$cancel` or `$timeout`",
    "scope-turned": "a caught step or a failed child undoes the steps in `undo`; the run may go on forward",
    "folded": "a stretch of a long loop, `records` of it, is folded away: the run itself shows its steps",
    "turned": "the run turns and undoes the steps in `undo`: `cause` is `error`, `timeout` or `cancel`",
    "ended": "the end, always the last: `status`, `error`, `leftovers`, `undoErrors`",
    "status": "how the run stands now: `status` and `reason`; it is no record, so it has no number",
    "closed": "the stream ends before the run does: `slow`, `stopping`, `store-away` or `gone`; it has no number",
}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    #: Number of the record; None: it is none, and nobody can go on from here.
    seq: int | None
    #: One of `NAMES`.
    name: str
    #: JSON.
    data: bytes


def event(name: str, said: dict[str, Json], seq: int | None = None) -> Event:
    return Event(seq=seq, name=name, data=msgspec.json.encode(said))


def numbered(records: Sequence[bytes], length: int) -> Iterator[tuple[int, bytes]]:
    """Stored records with their numbers, in a run that is `length` records long."""
    before = length - len(records)
    for at, body in enumerate(records, 1):
        yield (before + at if at > 1 else 1), body


def event_of(seq: int, record: Record) -> Event | None:
    """What a record tells; None where that is nothing new, as of a snapshot of what had happened before."""
    told = _told(record)
    if told is None:
        return None
    name, said = told
    return event(name, {"time": iso(record.t / 1000), **said}, seq)


def _told(record: Record) -> tuple[str, dict[str, Json]] | None:
    match record:
        case Started():
            return "started", {"saga": record.saga, "labels": record.labels}
        case Begun():
            return "sent", _place(record)
        case Done():
            return "done", {**_place(record), "outcome": "done", "status": record.status or None}
        case Refused():
            return "refused", {**_place(record), "outcome": "refused", "error": fault_view(record.fault)}
        case Unknown():
            return "unknown", {**_place(record), "outcome": "unknown", "error": fault_view(record.fault)}
        case RetryPlanned():
            return "retry", {**_place(record), "due": iso(record.at / 1000)}
        case Waiting():
            until = None if record.until is None else iso(record.until / 1000)
            direction = DIRECTIONS.get(record.dir, record.dir)
            return "waiting", {"step": record.path, "direction": direction, "until": until, "signal": record.signal}
        case Signalled():
            return "signalled", {"name": record.name, "reason": record.reason or None}
        case ScopeTurned():
            return "scope-turned", {
                "step": record.path,
                "error": fault_view(record.fault),
                "undo": list(record.undo),
            }
        case Snapshot():  # empty where each record in it has been told
            return ("folded", {"records": len(record.records)}) if record.records else None
        case Turned():
            return "turned", {
                "cause": record.cause,
                "error": fault_view(record.fault),
                "undo": list(record.undo),
            }
        case Ended():
            return "ended", {
                "status": record.status,
                "error": fault_view(record.error),
                "leftovers": [leftover_view(item) for item in record.leftovers],
                "undoErrors": [undo_error_view(item) for item in record.undo_errors],
            }


def _place(record: Begun | Done | Refused | Unknown | RetryPlanned) -> dict[str, Json]:
    return {
        "step": record.path,
        "direction": DIRECTIONS.get(record.dir, record.dir),
        "attempt": record.attempt,
    }
