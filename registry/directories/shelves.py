"""Instances in memory: by name, each with its time of expiry, and a version per name.

Expiry needs no task. A heap holds one due time per name; every operation first removes what is due, so an
expired instance is never seen, and names that nobody asks for are forgotten as well.
"""

import asyncio
import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from registry.base.clock import Clock
from registry.directories.changes import Changes
from registry.directory import Change
from registry.listing import Listing, normal_url

#: Told of a name whose version moved: name, version, and the ids that expired (none: it was not for expiry).
Moved: TypeAlias = Callable[[str, int, tuple[str, ...]], None]
#: An instance, the monotonic time at which it is gone, and the same time as its store names it.
Row: TypeAlias = tuple[Listing, float, int]


@dataclass(slots=True)
class _Shelf:
    """The instances of one name. `due` is never later than the first `deadline`."""

    listings: dict[str, Listing] = field(default_factory=dict)
    #: Monotonic seconds per id at which the instance is gone.
    deadlines: dict[str, float] = field(default_factory=dict)
    #: The same moment per id as the store names it, where there is a store: what the version is to be then.
    stamps: dict[str, int] = field(default_factory=dict)
    #: Normalised URL to the ids that live there (a dict as an ordered set), for registrations without an id.
    addresses: dict[str, dict[str, None]] = field(default_factory=dict)
    due: float = math.inf
    version: int = 0
    #: The answer of `snapshot`; None after any write.
    snapshot: tuple[Listing, ...] | None = None


class Shelves:
    """Live instances on a `Clock`; `moved` is called whenever the version of a name has moved."""

    def __init__(self, clock: Clock, moved: Moved) -> None:
        self._clock = clock
        self._moved = moved
        self._shelves: dict[str, _Shelf] = {}
        self._heap: list[tuple[float, str]] = []
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        #: No version that was ever given is above it, so a name that was forgotten comes back with a new one.
        self._highest = 0
        self.instances = 0
        #: Nothing expires meanwhile.
        self.frozen = False

    def __len__(self) -> int:
        self.expire()
        return len(self._shelves)

    def names(self) -> tuple[str, ...]:
        """All names with a live instance, sorted."""
        self.expire()
        return tuple(sorted(self._shelves))

    def snapshot(self, name: str) -> tuple[Listing, ...]:
        """The live instances of a name."""
        if self._heap and self._heap[0][0] <= self._clock.monotonic():
            self.expire()
        shelf = self._shelves.get(name)
        if shelf is None:
            return ()
        if shelf.snapshot is None:
            shelf.snapshot = tuple(sorted(shelf.listings.values(), key=_first_seen))
        return shelf.snapshot

    def version(self, name: str) -> int:
        """The version of a name; 0 while it has no instance."""
        if self._heap and self._heap[0][0] <= self._clock.monotonic():
            self.expire()
        shelf = self._shelves.get(name)
        return shelf.version if shelf is not None else 0

    def find(self, name: str, service_id: str) -> Listing | None:
        """One live instance."""
        self.expire()
        shelf = self._shelves.get(name)
        return shelf.listings.get(service_id) if shelf is not None else None

    def at(self, name: str, url: str) -> Listing | None:
        """The live instance at this URL that came first."""
        self.expire()
        shelf = self._shelves.get(name)
        ids = shelf.addresses.get(normal_url(url)) if shelf is not None else None
        return shelf.listings[next(iter(ids))] if shelf is not None and ids else None

    def put(self, listing: Listing, deadline: float, *, moves: bool, stamp: int = 0) -> None:
        """List an instance, or list it anew, until the monotonic `deadline`. `moves`: its name's version moves."""
        shelf = self._put(listing, deadline, stamp)
        if moves:
            self._move(listing.service_name, shelf, None)

    def replace(
        self, name: str, rows: Iterable[Row], *, version: int | None, only: Iterable[str] | None = None
    ) -> None:
        """A name's instances, or `only` those of these ids, are exactly `rows`, as its store said at `version`.

        None: the store's version of what is known now is not known, so it moves a little if anything did.
        """
        shelf = self._shelves.get(name)
        known = dict(shelf.listings) if shelf is not None else {}
        scope = known.keys() if only is None else set(only)
        differs = False
        found = set()
        for listing, deadline, stamp in rows:
            before = known.get(listing.service_id)
            differs = differs or before is None or not same(before, listing)
            found.add(listing.service_id)
            shelf = self._put(listing, deadline, stamp)
        gone = tuple(known[each] for each in scope if each in known and each not in found)
        if shelf is None:
            return
        self._take(name, shelf, gone)
        least = shelf.version + 1
        if differs or gone or (version or 0) >= least:
            self._move(name, shelf, max(version or 0, least))

    def known(self, name: str) -> dict[str, Listing]:
        """What is on the shelf by id, whether it is due or not."""
        shelf = self._shelves.get(name)
        return dict(shelf.listings) if shelf is not None else {}

    def stamp(self, name: str, service_id: str) -> int:
        """The stamp of a listed instance; 0 if it is not there."""
        shelf = self._shelves.get(name)
        return shelf.stamps.get(service_id, 0) if shelf is not None else 0

    def amend(self, listing: Listing) -> None:
        """A listed instance is as given from now on; its time to live goes on."""
        deadline = self._shelves[listing.service_name].deadlines[listing.service_id]
        self.put(listing, deadline, moves=True)

    def remove(self, name: str, service_ids: Iterable[str]) -> tuple[Listing, ...]:
        """Remove instances of a name; answers those that were there, whose version has then moved."""
        self.expire()
        shelf = self._shelves.get(name)
        if shelf is None:
            return ()
        gone = tuple(shelf.listings[each] for each in dict.fromkeys(service_ids) if each in shelf.listings)
        if gone:
            self._take(name, shelf, gone)
            self._move(name, shelf, None)
        return gone

    def due(self) -> float | None:
        """Seconds until something may expire; None if nothing can."""
        if self.frozen or not self._heap:
            return None
        return max(0.0, self._heap[0][0] - self._clock.monotonic())

    def expire(self) -> None:
        """Remove what is due."""
        if self.frozen:
            return
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, name = heapq.heappop(self._heap)
            shelf = self._shelves.get(name)
            if shelf is None or shelf.due != due:
                continue  # outdated: the name was forgotten or has an earlier due time
            gone = tuple(x for x in shelf.listings.values() if shelf.deadlines[x.service_id] <= now)
            last = max((shelf.stamps[x.service_id] for x in gone), default=0)
            self._take(name, shelf, gone)
            if shelf.listings:
                self._schedule(name, shelf, min(shelf.deadlines.values()))
            if gone:
                version = max(shelf.version + 1, last) if last else None
                self._move(name, shelf, version, expired=tuple(x.service_id for x in gone))

    async def wait(self, name: str, version: int, timeout: float) -> int:
        """Until the version of the name is another one, at most `timeout` seconds; the version then."""
        try:
            async with asyncio.timeout(timeout):
                while (now := self.version(name)) == version:
                    await self._next(name)
        except TimeoutError:
            return self.version(name)
        return now

    async def changes(self, history: Changes, after: str, timeout: float) -> tuple[Change, ...]:
        """What `history` has after `after`, waiting at most `timeout` seconds, also for what expires meanwhile."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    self.expire()
                    if found := history.since(after):
                        return found
                    await history.next(self.due())
        except TimeoutError:
            return ()

    async def _next(self, name: str) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, set()).add(waiting)
        try:
            await asyncio.wait((waiting,), timeout=self.due())
        finally:
            others = self._waiting.get(name)
            if others is not None:
                others.discard(waiting)
                if not others:
                    del self._waiting[name]

    def _move(self, name: str, shelf: _Shelf, version: int | None, expired: tuple[str, ...] = ()) -> None:
        if version is None:
            # Numbers follow the time, so that one of an earlier process, too, is never met again.
            version = max(self._highest + 1, int(self._clock.now() * 1e6))
        shelf.version = version
        self._highest = max(self._highest, version)
        for waiting in self._waiting.pop(name, ()):
            if not waiting.done():
                waiting.set_result(None)
        self._moved(name, version, expired)

    def _put(self, listing: Listing, deadline: float, stamp: int) -> _Shelf:
        name = listing.service_name
        shelf = self._shelves.get(name)
        if shelf is None:
            shelf = self._shelves[name] = _Shelf()
        known = shelf.listings.get(listing.service_id)
        if known is None:
            self.instances += 1
        if known is None or known.service_url != listing.service_url:
            if known is not None:
                _drop_address(shelf, known)
            shelf.addresses.setdefault(normal_url(listing.service_url), {})[listing.service_id] = None
        shelf.listings[listing.service_id] = listing
        shelf.deadlines[listing.service_id] = deadline
        shelf.stamps[listing.service_id] = stamp
        shelf.snapshot = None
        # A later deadline is found when the earlier due time comes; so a heartbeat costs no heap operation.
        if deadline < shelf.due:
            self._schedule(name, shelf, deadline)
        return shelf

    def _schedule(self, name: str, shelf: _Shelf, due: float) -> None:
        shelf.due = due
        heapq.heappush(self._heap, (due, name))
        # Outdated entries are left in place until they come up; this bounds them.
        if len(self._heap) > 2 * len(self._shelves) + 64:
            self._heap = [(each.due, name) for name, each in self._shelves.items()]
            heapq.heapify(self._heap)

    def _take(self, name: str, shelf: _Shelf, gone: tuple[Listing, ...]) -> None:
        for listing in gone:
            for members in (shelf.listings, shelf.deadlines, shelf.stamps):
                del members[listing.service_id]
            _drop_address(shelf, listing)
        if gone:
            self.instances -= len(gone)
            shelf.snapshot = None
        if not shelf.listings:
            self._shelves.pop(name, None)


def same(one: Listing, other: Listing) -> bool:
    """Whether they differ in nothing but the last heartbeat."""
    return one == other or replace(one, last_heartbeat=other.last_heartbeat) == other


def _first_seen(listing: Listing) -> float:
    return listing.registered_at


def _drop_address(shelf: _Shelf, listing: Listing) -> None:
    address = normal_url(listing.service_url)
    del shelf.addresses[address][listing.service_id]
    if not shelf.addresses[address]:
        del shelf.addresses[address]
