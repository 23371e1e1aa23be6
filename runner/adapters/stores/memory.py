"""Journals in plain dicts: for tests, trials, and runs that may die with the process.

The same rules as the durable stores, without a thread and without a wait: an operation is done when its
coroutine first runs. `sibling` gives another handle on the same runs, as a second runner would have one.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import Self

from registry.base.clock import Clock
from runner.adapters.stores import entry as rules
from runner.adapters.stores.entry import Entry
from runner.ports import (
    NO_BLOBS,
    Blobs,
    Claimed,
    Compaction,
    Created,
    Filter,
    Hold,
    NewRun,
    Note,
    Page,
    RunRow,
    Signal,
    Stored,
    StoreUnavailable,
    Unread,
)


class _Run:
    """One run: its entry, its records and blobs, its inbox."""

    __slots__ = ("blobs", "entry", "inbox", "records", "seen")

    def __init__(self, entry: Entry, new: NewRun) -> None:
        self.entry = entry
        #: By sequence number, ascending.
        self.records = rules.kept(0, new.records, None)
        self.blobs = dict(new.blobs)
        #: `(number, encoded signal)`, those not yet taken.
        self.inbox: list[tuple[int, bytes]] = []
        self.seen: set[str] = set()

    def unread(self) -> tuple[Unread, ...]:
        return tuple(
            Unread(run=self.entry.id, number=number, signal=rules.decode_signal(body)) for number, body in self.inbox
        )


class _Shelf:
    """What runners of one name share."""

    def __init__(self) -> None:
        self.runs: dict[str, _Run] = {}
        #: `(started_at, key, id)`, ascending.
        self.order: list[tuple[int, int, str]] = []
        #: `(due_at, key, id)` of unowned runs with a due time, ascending.
        self.due: list[tuple[int, int, str]] = []
        #: Owner to the runs it owns.
        self.owned: dict[str, dict[str, _Run]] = {}
        #: Digest to the bundle, every incarnation that put it, and when one last did (milliseconds).
        self.bundles: dict[str, tuple[bytes, frozenset[str], int]] = {}
        self.last_key = 0

    def file(self, run: _Run) -> None:
        """Enter the run where its owner and due time say."""
        entry = run.entry
        if entry.owner:
            self.owned.setdefault(entry.owner, {})[entry.id] = run
        elif entry.due_at is not None:
            insort(self.due, (entry.due_at, entry.key, entry.id))

    def unfile(self, run: _Run) -> None:
        """Undo `file`; to be called before the entry changes."""
        entry = run.entry
        if entry.owner:
            held = self.owned[entry.owner]
            del held[entry.id]
            if not held:
                del self.owned[entry.owner]
        elif entry.due_at is not None:
            del self.due[bisect_left(self.due, (entry.due_at, entry.key, entry.id))]


class _World:
    """All shelves, and who is alive."""

    def __init__(self) -> None:
        self.shelves: dict[str, _Shelf] = {}
        self.alive: set[str] = set()


class MemoryJournals:
    """`Journals` in this process's memory, for runners called `name`."""

    def __init__(self, clock: Clock, *, name: str = "") -> None:
        self._clock = clock
        self._name = name
        self._world = _World()
        self._shelf = self._world.shelves.setdefault(name, _Shelf())
        self._owner = ""

    def sibling(self, *, name: str | None = None) -> Self:
        """Another handle on the same runs (or those of runners called `name`), for another owner to open."""
        other = type(self)(self._clock, name=self._name if name is None else name)
        other._world = self._world
        other._shelf = self._world.shelves.setdefault(other._name, _Shelf())
        return other

    def _now(self) -> int:
        return self._clock.millis()

    def _open_owner(self) -> str:
        if not self._owner:
            raise StoreUnavailable("The journal in memory is not open: open it first, and use it before it is closed.")
        return self._owner

    async def open(self, owner: str) -> None:
        """Raises `ValueError` where `owner` is or has been an owner, `StoreUnavailable` when already open."""
        if self._owner:
            raise StoreUnavailable("The journal in memory is already open: close it first, or use a sibling.")
        if not owner or owner in self._world.alive or owner in self._shelf.owned:
            raise ValueError(f"{owner!r} cannot be an owner: each incarnation needs a name that no other has.")
        self._world.alive.add(owner)
        self._owner = owner

    async def close(self) -> None:
        """The owner is dead from now on; closing twice does nothing."""
        self._world.alive.discard(self._owner)
        self._owner = ""

    async def ping(self) -> None:
        self._open_owner()

    async def put_bundle(self, digest: str, body: bytes) -> None:
        owner = self._open_owner()
        _, putters, _ = self._shelf.bundles.get(digest, (b"", frozenset(), 0))
        self._shelf.bundles[digest] = (bytes(body), putters | {owner}, self._now())

    async def get_bundle(self, digest: str) -> bytes | None:
        self._open_owner()
        found = self._shelf.bundles.get(digest)
        return None if found is None else found[0]

    async def create(self, new: NewRun, note: Note, *, start: bool = True) -> Created:
        owner = self._open_owner()
        run = self._shelf.runs.get(new.id)
        if run is not None:
            if run.entry.repeats(new, owner) and list(run.records.values()) == list(new.records):
                return Created(hold=run.entry.hold(owner), existing=None)
            return Created(hold=None, existing=run.entry.row())
        run = self._bear(new, note, start=start)
        return Created(hold=run.entry.hold(owner) if start else None, existing=None)

    def _bear(self, new: NewRun, note: Note, *, start: bool) -> _Run:
        shelf = self._shelf
        shelf.last_key += 1
        run = _Run(rules.born(shelf.last_key, new, note, self._owner, self._now(), start=start), new)
        shelf.runs[new.id] = run
        insort(shelf.order, (new.started_at, shelf.last_key, new.id))
        shelf.file(run)
        return run

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
        self._open_owner()
        run = self._shelf.runs.get(hold.run)
        if run is None:
            raise rules.forgotten(hold)
        stored = rules.kept(hold.length, records, compaction)
        if run.entry.admits(hold, len(records), note):
            self._shelf.unfile(run)
            if compaction is not None:
                run.records = {seq: body for seq, body in run.records.items() if seq < compaction.since}
            run.records |= stored
            run.blobs = {**blobs, **run.blobs}
            run.entry.extend(records, note, taken, self._now())
            run.inbox = [item for item in run.inbox if item[0] > run.entry.taken]
            self._shelf.file(run)
            for new, first in spawn:
                if new.id not in self._shelf.runs:
                    self._bear(new, first, start=False)
        elif {seq: body for seq, body in run.records.items() if seq >= hold.length} != stored:
            raise run.entry.fenced(hold)
        hold.length += len(records)
        return run.unread()

    async def claim(self, run: str) -> Claimed | None:
        owner = self._open_owner()
        found = self._shelf.runs.get(run)
        if found is None:
            return None
        self._shelf.unfile(found)
        had = found.entry.claim(owner, dead=found.entry.owner not in self._world.alive)
        self._shelf.file(found)
        if not had:
            return None
        return Claimed(
            hold=found.entry.hold(owner),
            row=found.entry.row(),
            records=tuple(found.records.values()),
            blobs=dict(found.blobs),
            unread=found.unread(),
            takeovers=found.entry.claims,
        )

    async def due(self, now: int, limit: int) -> tuple[str, ...]:
        self._open_owner()
        found: list[str] = []
        for due_at, _, run in self._shelf.due:
            if due_at > now or len(found) >= limit:
                break
            found.append(run)
        return tuple(found)

    async def next_due(self) -> int | None:
        self._open_owner()
        return self._shelf.due[0][0] if self._shelf.due else None

    async def orphans(self, limit: int) -> tuple[str, ...]:
        self._open_owner()
        dead = [runs for owner, runs in self._shelf.owned.items() if owner not in self._world.alive]
        return tuple(run for runs in dead for run in runs)[: max(limit, 0)]

    async def signal(self, run: str, signal: Signal) -> str:
        self._open_owner()
        found = self._shelf.runs.get(run)
        if found is None:
            return "unknown"
        self._shelf.unfile(found)
        try:
            verdict = found.entry.take_signal(seen=signal.id in found.seen, now=self._now())
        finally:
            self._shelf.file(found)
        if verdict == "taken":
            found.seen.add(signal.id)
            found.inbox.append((found.entry.signals, rules.encode_signal(signal)))
        return verdict

    async def heartbeat(self) -> tuple[Unread, ...]:
        held = self._shelf.owned.get(self._open_owner(), {})
        return tuple(unread for run in held.values() if run.inbox for unread in run.unread())

    async def read(self, run: str) -> Stored | None:
        self._open_owner()
        found = self._shelf.runs.get(run)
        if found is None:
            return None
        return Stored(row=found.entry.row(), records=tuple(found.records.values()), blobs=dict(found.blobs))

    async def list(self, wanted: Filter) -> Page:
        """Raises `ValueError` where the cursor is none of a list."""
        self._open_owner()
        size = rules.page_size(wanted)
        rows: list[RunRow] = []
        last: Entry | None = None
        for entry in self._newest_first(wanted):
            if len(rows) == size:
                assert last is not None
                return Page(rows=tuple(rows), next=rules.cursor(last.started_at, last.key))
            rows.append(entry.row())
            last = entry
        return Page(rows=tuple(rows), next=None)

    def _newest_first(self, wanted: Filter) -> Iterator[Entry]:
        order = self._shelf.order
        end = len(order) if wanted.cursor is None else bisect_left(order, (*rules.place(wanted.cursor), ""))
        for at in range(end - 1, -1, -1):
            started_at, _, run = order[at]
            if wanted.since is not None and started_at < wanted.since:
                return
            entry = self._shelf.runs[run].entry
            if (
                (wanted.saga is None or entry.saga == wanted.saga)
                and (wanted.status is None or entry.status == wanted.status)
                and (wanted.label is None or entry.labels.get(wanted.label[0]) == wanted.label[1])
            ):
                yield entry

    async def sweep(self, ended_before: int, limit: int) -> int:
        self._open_owner()
        shelf = self._shelf
        ended = sorted(
            (run.entry.ended_at, run.entry.key, run.entry)
            for run in shelf.runs.values()
            if run.entry.ended_at is not None and run.entry.ended_at < ended_before
        )[: max(limit, 0)]
        for _, _, entry in ended:
            del shelf.runs[entry.id]
            del shelf.order[bisect_left(shelf.order, (entry.started_at, entry.key, entry.id))]
        named = {run.entry.bundle for run in shelf.runs.values()}
        for digest, (_, putters, put_at) in list(shelf.bundles.items()):
            # One that is taken for dead may only have slept, and may be about to name what it put.
            if digest not in named and putters.isdisjoint(self._world.alive) and put_at < ended_before:
                del shelf.bundles[digest]
        return len(ended)
