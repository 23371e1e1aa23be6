"""Every seam of the runner on one page: what the engine asks of the world, and what each part owes it.

Exceptions that we must live with, in one tree::

    RunnerError
    ├── StoreError
    │   ├── Fenced            the run is somebody else's now: stop driving it, at once and without a reply
    │   ├── Conflict          the run id exists with another fingerprint
    │   ├── TooManySignals    the run's inbox is full
    │   └── StoreUnavailable  nobody knows whether it was done: send the very same again
    └── StreamUnavailable     a record could not be put on its stream now

What a saga must live with is never an exception: see `runner.saga.fault`.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

import msgspec

from registry.base.values import Json
from registry.chooser import NotFound, Picked
from runner.saga.exchange import Exchange, Request


class RunnerError(Exception):
    """The runner could not do its part."""


class StoreError(RunnerError):
    """The journal did not take it."""


class Fenced(StoreError):
    """Another owner has taken this run."""


class Conflict(StoreError):
    """A run of this id exists, started by another payload."""


class TooManySignals(StoreError):
    """The run already has as many unread signals as it may have."""


class StoreUnavailable(StoreError):
    """The journal is out of reach; whether the last write was done is not known."""


class StreamUnavailable(RunnerError):
    """The stream does not take records now."""


#: What lies beside a run's records, by digest: outputs that are too large to stand in them.
Blobs: TypeAlias = Mapping[str, bytes]

NO_BLOBS: Final[Blobs] = MappingProxyType({})


class Compaction(msgspec.Struct, frozen=True, kw_only=True):
    """The record at index `at` of an append stands in for all before it, from sequence number `since` on."""

    at: int
    since: int


class Hold(msgspec.Struct, kw_only=True):
    """The right to append to one run: owner, epoch and length are the fence. The engine moves `length` on."""

    run: str
    owner: str
    epoch: int
    length: int


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """All that `create` writes in one go."""

    #: The run id, which is its dedup key.
    id: str
    #: Digest of the payload; empty: repeats are not compared.
    fingerprint: str
    #: `id` and version of the entry saga.
    saga: str
    version: int
    #: Digest under which the bundle was put.
    bundle: str
    labels: Mapping[str, str]
    #: Milliseconds.
    started_at: int
    records: tuple[bytes, ...]
    #: Those that the records name.
    blobs: Blobs = NO_BLOBS


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What an append says about the run as a whole."""

    #: running, waiting, compensating, completed, compensated, failed, parked, cancelled.
    status: str
    #: Why it is parked or what it waits for; empty otherwise.
    reason: str = ""
    #: Give the run back: it is nobody's until `due_at` (milliseconds; None: until a signal).
    release: bool = False
    due_at: int | None = None
    #: Signals that are unread already do not make the released run due; only a new one does.
    deaf: bool = False
    #: Nothing may follow.
    ended: bool = False


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A message to a run: from a person, a record, or an operator (`$cancel`)."""

    id: str
    name: str
    body: Json = None
    subject: str = ""
    roles: tuple[str, ...] = ()
    reason: str = ""


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """A signal in a run's inbox, with its number there."""

    run: str
    number: int
    signal: Signal


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run as lists show it. Times in milliseconds."""

    id: str
    saga: str
    version: int
    status: str
    reason: str
    labels: dict[str, str]
    bundle: str
    fingerprint: str
    started_at: int
    ended_at: int | None
    owner: str
    epoch: int
    length: int


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its journal."""

    row: RunRow
    records: tuple[bytes, ...]
    blobs: Blobs


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `create`: ours and new (`hold`), or there already (`existing`)."""

    hold: Hold | None
    existing: RunRow | None


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A run taken over, with everything needed to go on."""

    hold: Hold
    row: RunRow
    records: tuple[bytes, ...]
    blobs: Blobs
    unread: tuple[Unread, ...]
    #: Takeovers in a row with nothing appended between but `B` and `U`, this one included.
    takeovers: int


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs a list shows; newest first."""

    saga: str | None = None
    status: str | None = None
    #: `(name, value)`.
    label: tuple[str, str] | None = None
    #: Started at or after, milliseconds.
    since: int | None = None
    cursor: str | None = None
    limit: int = 100


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list and the cursor of the next, None on the last."""

    rows: tuple[RunRow, ...]
    next: str | None


class Journals(Protocol):
    """Where runs live. Namespaced by runner name: only runners of one name see each other's runs.

    - Every operation is safe to send twice; after `StoreUnavailable` the very same call is to be sent again.
    - What returned has been made durable at the store's own level.
    - Fences (owner, epoch, length) are checked inside the store's transaction, never by clocks.
    - A refused operation spoils none that shares its batch.
    """

    async def open(self, owner: str) -> None:
        """Begin as the owner incarnation `owner` (unique for each start). Former incarnations that are provably
        dead lose their runs at once: they show up in `orphans`."""
        ...

    async def close(self) -> None: ...

    async def ping(self) -> None:
        """Raise StoreUnavailable where the store does not answer."""
        ...

    async def put_bundle(self, digest: str, body: bytes) -> None:
        """Keep a bundle, content-addressed; must return before a run names it.

        It stays as long as a run names it or an incarnation that put it lives, so each one puts anew; and, for a
        living one may be taken for dead, until what ended when it was put is swept.
        """
        ...

    async def get_bundle(self, digest: str) -> bytes | None: ...

    async def create(self, new: NewRun, note: Note, *, start: bool = True) -> Created:
        """Create a run with its first records, owned by us (`start`), or by nobody and due now.

        - A run of this id that exists is returned as it is; `Conflict` where both fingerprints are set and differ.
        - Sent again by the incarnation that created it, with the same records and nothing appended since, it
          gives the hold again; where the note let the run go or ended it, it is returned as it is.
        """
        ...

    async def append(
        self,
        hold: Hold,
        records: Sequence[bytes],
        note: Note,
        *,
        blobs: Blobs = NO_BLOBS,
        compaction: Compaction | None = None,
        taken: int = 0,
        spawn: Sequence[tuple[NewRun, Note]] = (),
    ) -> tuple[Unread, ...]:
        """All records or none, exactly at `hold.length`, as owner and epoch say; else `Fenced`.

        - The same append again, already stored, is a success.
        - `blobs`: those that the records name, kept in the same transaction and for as long as the run. One whose
          digest is there already stays as it is.
        - `compaction`: in the same transaction the records that one of these stands in for are dropped, whether they
          are stored already or come before it in this append. They are counted all the same: `length`, and with it
          every sequence number, grows by all records of the append, and is not the number of stored ones.
        - `taken`: inbox numbers up to this one are merged (their `G` is in `records`) and need not be told again.
        - On success the store moves `hold.length` on and returns the signals not yet taken.
        - `note.release` with unread signals in the inbox makes the run due at once, unless it is `deaf`.
        - `spawn`: runs created in the same transaction, nobody's and due now; one that exists already is left alone.
        """
        ...

    async def claim(self, run: str) -> Claimed | None:
        """Take a run that nobody owns or whose owner is provably dead: epoch + 1. None where it is not to be had.

        Sent again by the incarnation that claimed it, with nothing appended since, it gives the same again:
        so nobody may claim a run that it is driving.
        """
        ...

    async def due(self, now: int, limit: int) -> tuple[str, ...]:
        """Unowned runs whose time has come (`due_at <= now`), the longest overdue first."""
        ...

    async def next_due(self) -> int | None:
        """The earliest `due_at` of unowned runs, in milliseconds."""
        ...

    async def orphans(self, limit: int) -> tuple[str, ...]:
        """Runs whose owner is provably dead."""
        ...

    async def signal(self, run: str, signal: Signal) -> str:
        """Put a signal into a run's inbox, once per signal id: `taken`, `again`, `ended` or `unknown`.

        - FIFO; at most 1 000 unread ones per run, else `TooManySignals`.
        - A run that nobody owns becomes due at once.
        """
        ...

    async def heartbeat(self) -> tuple[Unread, ...]:
        """Beat, and be told the unread signals of every run we own."""
        ...

    async def read(self, run: str) -> Stored | None: ...

    async def list(self, wanted: Filter) -> Page: ...

    async def sweep(self, ended_before: int, limit: int) -> int:
        """Forget at most `limit` runs that ended before this moment (milliseconds), the longest ended first,
        and bundles that nothing keeps. Count of runs."""
        ...


class Sink(Protocol):
    """Outgoing HTTP."""

    async def send(
        self, request: Request, *, base_url: str, extra_headers: Sequence[tuple[str, str]], timeout: float
    ) -> Exchange:
        """One attempt within `timeout` seconds: never sends twice, raises nothing but `asyncio.CancelledError`."""
        ...

    async def close(self) -> None: ...


class Services(Protocol):
    """Who is asked: names become instances, in memory."""

    def pick(self, service: str) -> Picked | NotFound:
        """An instance to call, to be settled once; or why there is none. Never waits."""
        ...


class Streams(Protocol):
    """Outgoing records."""

    async def put(
        self, stream: str, *, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[int, int]:
        """Put one record; its (partition, offset). Raises `StreamUnavailable`."""
        ...
