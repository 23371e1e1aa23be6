"""The records that say what happened: append-only, one writer per run, keyed by path.

A record is a fact with its time (`t`, wall time in whole milliseconds). Paths name a place in the tree of a run:
`reserve`, `lines/3/charge`, `ship/$catch.0/notify`, `reserve/$undo/0`. Directions are `f` forward, `c` inside a
`catch` entry, `u` inside an undo.

Encoded as JSON arrays whose first element is the letter, so that a person can read a journal with any tool.

A large output does not stand in its record: `pack` puts it beside, as a blob under its digest, and `unpack` puts it
back. Whoever folds records sees them whole and knows of no blobs.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from registry.base.values import Json
from runner.saga.fault import Fault

#: Version of the record format, written into every `S`.
FORMAT: Final = 1

FORWARD, CATCH, UNDO = "f", "c", "u"

#: Bytes of an output that may stand in its record.
INLINE: Final = 262_144

#: Name of the signal that asks a run to turn.
CANCEL: Final = "$cancel"
#: Name of the signal that a saga's own timeout is; its body is the path of the saga that ran out of time.
TIMEOUT: Final = "$timeout"


class _Record(msgspec.Struct, array_like=True, frozen=True, kw_only=True, gc=False):
    t: int


class _WithOutput(_Record, frozen=True, kw_only=True):
    #: Digest of the blob that holds `output`; empty: it is here. Empty in every record that is folded.
    blob: str = ""


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


class Done(_WithOutput, frozen=True, tag="D"):
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


class Snapshot(_Record, frozen=True, tag="K"):
    """A window of a long loop is over. What has been appended since the last one (or since `S`) stands in it, and
    nowhere else, so that the journal stays short; empty: that stands before it as it was appended."""

    records: "tuple[Record, ...]" = ()


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


class Ended(_WithOutput, frozen=True, tag="Z"):
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
    Started
    | Begun
    | Done
    | Refused
    | Unknown
    | RetryPlanned
    | Waiting
    | Signalled
    | ScopeTurned
    | Turned
    | Snapshot
    | Ended
)

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """One record as a JSON array."""
    return _encode(record)


def decode(data: bytes) -> Record:
    """The record again, as it is stored. Raises `msgspec.MsgspecError` where `data` is none."""
    return _decoder.decode(data)


def pack(records: Sequence[Record]) -> tuple[list[bytes], dict[str, bytes]]:
    """Records as they are stored, and the blobs that they name, by digest."""
    bodies = [_encode(record) for record in records]
    blobs: dict[str, bytes] = {}
    if max(map(len, bodies), default=0) > INLINE:
        bodies = [_apart(record, body, blobs) for record, body in zip(records, bodies, strict=True)]
    return bodies, blobs


def unpack(bodies: Iterable[bytes], blobs: Mapping[str, bytes]) -> list[Record]:
    """Stored records as they were. Raises `msgspec.MsgspecError` where one is none, or its blob is not there."""
    return [_whole(_decoder.decode(body), blobs) for body in bodies]


def _apart(record: Record, body: bytes, blobs: dict[str, bytes]) -> bytes:
    """The record, already encoded as `body`, with its output among the blobs where that is too large for it."""
    if len(body) <= INLINE or not isinstance(record, Done | Ended):
        return body
    output = _encode(record.output)
    if len(output) <= INLINE:
        return body
    digest = hashlib.blake2b(output, digest_size=32).hexdigest()
    blobs[digest] = output
    return _encode(msgspec.structs.replace(record, output=None, blob=digest))


def _whole(record: Record, blobs: Mapping[str, bytes]) -> Record:
    if isinstance(record, Snapshot):
        return msgspec.structs.replace(record, records=tuple(_whole(one, blobs) for one in record.records))
    if not isinstance(record, Done | Ended) or not record.blob:
        return record
    output = blobs.get(record.blob)
    if output is None:
        raise msgspec.DecodeError(f"an output lies in the blob {record.blob}, which is not in the store")
    return msgspec.structs.replace(record, output=msgspec.json.decode(output), blob="")
