"""The embedded directory: everything in this process, nothing else installed, gone when the process is.

Expiry needs no task. A heap holds one due time per name; every operation first removes what is due, so an
expired instance is never seen, and names that nobody asks for are forgotten as well.
"""

import heapq
import math
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

from registry.base.clock import Clock
from registry.directory import DirectoryFull, Facts, Registered
from registry.listing import Listing, Registration, normal_url

#: Instances that one embedded directory holds at most.
MAX_INSTANCES = 100_000

_SENT = tuple(f.name for f in fields(Registration) if f.name != "service_id")


@dataclass(slots=True)
class _Shelf:
    """The instances of one name. `due` is never later than the first `deadline`."""

    listings: dict[str, Listing] = field(default_factory=dict)
    #: Monotonic seconds per id at which the instance is gone.
    deadlines: dict[str, float] = field(default_factory=dict)
    #: Normalised URL to the ids that live there (a dict as an ordered set), for registrations without an id.
    addresses: dict[str, dict[str, None]] = field(default_factory=dict)
    due: float = math.inf
    version: int = 0
    #: The answer of `snapshot`; None after any write.
    snapshot: tuple[Listing, ...] | None = None


class MemoryDirectory:
    """A `Directory` in memory on a `Clock`."""

    def __init__(self, clock: Clock, *, limit: int = MAX_INSTANCES) -> None:
        self._clock = clock
        self._limit = limit
        self._opened_at = clock.now()
        self._shelves: dict[str, _Shelf] = {}
        self._heap: list[tuple[float, str]] = []
        self._count = 0
        # One sequence for all names: a name that was forgotten comes back with a number it never had.
        self._changes = 0

    async def register(self, registration: Registration) -> Registered:
        self._expire()
        name = registration.service_name
        shelf = self._shelves.get(name)
        address = normal_url(registration.service_url)
        service_id = registration.service_id or (next(iter(shelf.addresses.get(address, ())), None) if shelf else None)
        known = shelf.listings.get(service_id) if shelf and service_id else None
        if known is None and self._count >= self._limit:
            raise DirectoryFull(f"The directory is full: it holds {self._limit} instances, and that is its limit.")
        if shelf is None:
            shelf = self._shelves[name] = _Shelf()
        now = self._clock.now()
        listing = Listing(
            service_id=service_id or str(uuid.uuid4()),
            registered_at=known.registered_at if known else now,
            last_heartbeat=now,
            **{member: getattr(registration, member) for member in _SENT},
        )
        if known is None:
            self._count += 1
        else:
            self._drop_address(shelf, known)
        shelf.addresses.setdefault(address, {})[listing.service_id] = None
        if known is None or replace(known, last_heartbeat=now) != listing:
            self._changed(shelf)
        self._renew(name, shelf, listing)
        return Registered(listing=listing, new=known is None)

    async def beat(self, name: str, service_id: str) -> Listing | None:
        self._expire()
        shelf = self._shelves.get(name)
        known = shelf.listings.get(service_id) if shelf else None
        if shelf is None or known is None:
            return None
        listing = replace(known, last_heartbeat=self._clock.now())
        self._renew(name, shelf, listing)
        return listing

    async def withdraw(self, name: str, service_ids: Iterable[str]) -> tuple[Listing, ...]:
        self._expire()
        shelf = self._shelves.get(name)
        if shelf is None:
            return ()
        removed = tuple(
            shelf.listings[service_id] for service_id in dict.fromkeys(service_ids) if service_id in shelf.listings
        )
        self._remove(name, shelf, removed)
        return removed

    async def get(self, name: str) -> tuple[Listing, ...]:
        return self.snapshot(name)

    async def list(self) -> Mapping[str, tuple[Listing, ...]]:
        self._expire()
        return {name: self.snapshot(name) for name in sorted(self._shelves)}

    def snapshot(self, name: str) -> tuple[Listing, ...]:
        self._expire()
        shelf = self._shelves.get(name)
        if shelf is None:
            return ()
        if shelf.snapshot is None:
            shelf.snapshot = tuple(shelf.listings.values())
        return shelf.snapshot

    def version(self, name: str) -> int:
        if self._heap and self._heap[0][0] <= self._clock.monotonic():
            self._expire()
        shelf = self._shelves.get(name)
        return shelf.version if shelf is not None else 0

    def facts(self) -> Facts:
        self._expire()
        return Facts(redis="embedded", size=len(self._shelves), last_refresh=self._opened_at)

    def _changed(self, shelf: _Shelf) -> None:
        self._changes += 1
        shelf.version = self._changes

    def _renew(self, name: str, shelf: _Shelf, listing: Listing) -> None:
        deadline = self._clock.monotonic() + listing.ttl
        shelf.listings[listing.service_id] = listing
        shelf.deadlines[listing.service_id] = deadline
        shelf.snapshot = None
        # A later deadline is found when the earlier due time comes; so a heartbeat costs no heap operation.
        if deadline < shelf.due:
            self._schedule(name, shelf, deadline)

    def _schedule(self, name: str, shelf: _Shelf, due: float) -> None:
        shelf.due = due
        heapq.heappush(self._heap, (due, name))
        # Outdated entries are left in place until they come up; this bounds them.
        if len(self._heap) > 2 * len(self._shelves) + 64:
            self._heap = [(each.due, name) for name, each in self._shelves.items()]
            heapq.heapify(self._heap)

    def _expire(self) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, name = heapq.heappop(self._heap)
            shelf = self._shelves.get(name)
            if shelf is None or shelf.due != due:
                continue  # outdated: the name was forgotten or has an earlier due time
            self._remove(name, shelf, tuple(x for x in shelf.listings.values() if shelf.deadlines[x.service_id] <= now))
            if shelf.listings:
                self._schedule(name, shelf, min(shelf.deadlines.values()))

    def _remove(self, name: str, shelf: _Shelf, gone: tuple[Listing, ...]) -> None:
        for listing in gone:
            del shelf.listings[listing.service_id], shelf.deadlines[listing.service_id]
            self._drop_address(shelf, listing)
        if gone:
            self._count -= len(gone)
            shelf.snapshot = None
            self._changed(shelf)
        if not shelf.listings:
            del self._shelves[name]

    @staticmethod
    def _drop_address(shelf: _Shelf, listing: Listing) -> None:
        address = normal_url(listing.service_url)
        del shelf.addresses[address][listing.service_id]
        if not shelf.addresses[address]:
            del shelf.addresses[address]
