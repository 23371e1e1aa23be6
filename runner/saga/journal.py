"""The records that say what happened: append-only, one writer per run, keyed by path.

A record is a fact with its time (`t`, wall time in whole milliseconds). Paths name a place in the tree of a run:
`reserve`, `lines/3/charge`, `ship/$catch.0/notify`, `reserve/$undo/0`. Directions are `f` forward, `c` inside a
`catch` entry, `u` inside an undo.

Encoded as JSON arrays whose first element is the letter, so that a person can read a journal with any tool.
"""

from typing import Final, TypeAlias

import msgspec

from registry.base.values import Json
from runner.saga.fault import Fault

#: Version of the record format, written into every `S`.
FORMAT: Final = 1

FORWARD, CATCH, UNDO = "f", "c", "u"

#: Name of the signal that asks a run to turn.
CANCEL: Final = "$cancel"
#: Name of the signal that a saga's own timeout is; its body is the path of the saga that ran out of time.
TIMEOUT: Final = "$timeout"


class _Record(msgspec.Struct, array_like=True, frozen=True, kw_only=True, gc=False):
    t: int


class Started(_Record, frozen=True, tag="S"):
    """The run was born; the bundle pins its definition."""

    bundle: str
    #: `id@version` of the entry.
    saga: str
    input: Json
    #: What expressions see as `event`; only what the saga reads, and always `id`.
    event: dict[str, Json]
    labels: dict[str, str] = {}
    #: Wall time at which the run turns; None: never.
    deadline: int | None = None
    format: int = FORMAT


class Begun(_Record, frozen=True, tag="B"):
    """About to send: durable before the first byte leaves. One per attempt."""

    path: str
    dir: str
    attempt: int
    digest: str


class Done(_Record, frozen=True, tag="D"):
    """A step is done."""

    path: str
    dir: str
    output: Json
    status: int = 0
    #: Answer headers, lower case with `_`; only where the saga reads them.
    headers: dict[str, str] = {}
    attempt: int = 1


class Refused(_Record, frozen=True, tag="F"):
    """An attempt definitely had no effect."""

    path: str
    dir: str
    fault: Fault
    attempt: int = 1
    #: The service asked to wait so many milliseconds (`Retry-After`).
    after: int | None = None


class Unknown(_Record, frozen=True, tag="U"):
    """An attempt may have had its effect; sticks to the step for ever."""

    path: str
    dir: str
    fault: Fault
    attempt: int = 1
    after: int | None = None
    #: The runner died while it was open: resent, counting no attempt.
    crash: bool = False


class RetryPlanned(_Record, frozen=True, tag="R"):
    """The next attempt is due at `at`."""

    path: str
    dir: str
    attempt: int
    at: int


class Waiting(_Record, frozen=True, tag="W"):
    """A branch waits for a time, a signal, or whichever is first."""

    path: str
    dir: str
    until: int | None = None
    signal: str | None = None


class Signalled(_Record, frozen=True, tag="G"):
    """A signal was merged from the inbox."""

    id: str
    name: str
    body: Json = None
    subject: str = ""
    roles: tuple[str, ...] = ()
    reason: str = ""


class ScopeTurned(_Record, frozen=True, tag="Y"):
    """A caught step or a failed child undoes what is below it; forward records may follow."""

    path: str
    fault: Fault
    undo: tuple[str, ...]


class Turned(_Record, frozen=True, tag="X"):
    """The run turns; no forward record may follow."""

    #: `error`, `timeout` or `cancel`.
    cause: str
    fault: Fault
    undo: tuple[str, ...]


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that is still there, or may be."""

    step: str
    #: `done` or `unknown`.
    outcome: str


class UndoError(msgspec.Struct, frozen=True, kw_only=True):
    """An undo that did not succeed."""

    step: str
    kind: str
    status: int = 0
    detail: str = ""


class Ended(_Record, frozen=True, tag="Z"):
    """The end: nothing may follow."""

    #: `completed`, `compensated`, `failed` or `cancelled`.
    status: str
    output: Json = None
    error: Fault | None = None
    #: Headers of the reply, as rendered.
    headers: dict[str, str] = {}
    leftovers: tuple[Leftover, ...] = ()
    undo_errors: tuple[UndoError, ...] = ()


Record: TypeAlias = (
    Started | Begun | Done | Refused | Unknown | RetryPlanned | Waiting | Signalled | ScopeTurned | Turned | Ended
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """One record as a JSON array."""
    return _encoder.encode(record)


def decode(data: bytes) -> Record:
    """The record again. Raises `msgspec.MsgspecError` where `data` is none."""
    return _decoder.decode(data)
