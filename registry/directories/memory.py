"""The embedded directory: everything in this process, nothing else installed, gone when the process is."""

import math
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Final

from registry.base.clock import Clock
from registry.base.values import Json
from registry.directories.changes import Changes, Place, place_of
from registry.directories.shelves import Shelves, same
from registry.directory import Audited, Change, Changed, DirectoryFull, Facts, Registered
from registry.listing import Listing, Registration, changed, record, renewed

#: Instances and audit entries that one embedded directory holds at most.
MAX_INSTANCES: Final = 100_000
MAX_AUDITED: Final = 10_000


class MemoryDirectory:
    """A `Directory` in memory on a `Clock`."""

    def __init__(self, clock: Clock, *, limit: int = MAX_INSTANCES) -> None:
        self._clock = clock
        self._limit = limit
        self._opened_at = clock.now()
        self._shelves = Shelves(clock, self._moved)
        self._changes = Changes((int(clock.now() * 1000), 0))
        self._audited: deque[Audited] = deque(maxlen=MAX_AUDITED)
        self._leases: dict[str, tuple[str, float]] = {}
        self._hits = 0
        self._misses = 0
        #: What is being written: its kind and ids; expiry alone comes unasked.
        self._doing: tuple[str, tuple[str, ...]] = ("", ())

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def register(self, registration: Registration, *, by: str = "") -> Registered:
        name, service_id = registration.service_name, registration.service_id
        known = (
            self._shelves.at(name, registration.service_url)
            if service_id is None
            else self._shelves.find(name, service_id)
        )
        if known is None and self._shelves.instances >= self._limit:
            raise DirectoryFull(f"The directory is full: it holds {self._limit} instances, and that is its limit.")
        service_id = known.service_id if known is not None else service_id or str(uuid.uuid4())
        listing = renewed(known, registration, service_id=service_id, now=self._clock.now())
        self._put("registered" if known is None else "changed", known, listing, by)
        return Registered(listing=listing, new=known is None)

    async def beat(self, name: str, service_id: str) -> Listing | None:
        known = self._shelves.find(name, service_id)
        if known is None:
            return None
        listing = replace(known, last_heartbeat=self._clock.now())
        self._shelves.put(listing, self._clock.monotonic() + listing.ttl, moves=False)
        return listing

    async def withdraw(self, name: str, service_ids: Iterable[str], *, by: str = "") -> tuple[Listing, ...]:
        known = [each for x in dict.fromkeys(service_ids) if (each := self._shelves.find(name, x)) is not None]
        self._doing = "withdrawn", tuple(x.service_id for x in known)
        removed = self._shelves.remove(name, self._doing[1])
        for listing in removed:
            self._audit("withdrawn", listing, None, by)
        return removed

    async def change(self, name: str, service_id: str, members: Mapping[str, Json], *, by: str = "") -> Changed | None:
        known = self._shelves.find(name, service_id)
        if known is None:
            return None
        listing = changed(known, members)
        if listing != known:
            self._doing = "changed", (service_id,)
            self._shelves.amend(listing)
            self._audit("changed", known, listing, by)
        return Changed(before=known, after=listing)

    async def get(self, name: str, *, counts: bool = False) -> tuple[Listing, ...]:
        found = self._shelves.snapshot(name)
        if counts:
            self._hits += bool(found)
            self._misses += not found
        return found

    async def list(self) -> Mapping[str, tuple[Listing, ...]]:
        return {name: self._shelves.snapshot(name) for name in self._shelves.names()}

    def snapshot(self, name: str) -> tuple[Listing, ...]:
        return self._shelves.snapshot(name)

    def version(self, name: str) -> int:
        return self._shelves.version(name)

    async def wait(self, name: str, index: int, timeout: float) -> int:
        return await self._shelves.wait(name, index, timeout)

    def position(self) -> str:
        self._shelves.expire()
        return self._changes.position()

    async def changes(self, after: str, timeout: float) -> tuple[Change, ...]:
        return await self._shelves.changes(self._changes, after, timeout)

    async def audits(self, *, limit: int = 100, before: str | None = None) -> tuple[Audited, ...]:
        end = (math.inf, 0) if before is None else place_of(before) or (0, 0)
        newest = (each for each in reversed(self._audited) if (place_of(each.id) or end) < end)
        return tuple(islice(newest, limit))

    async def lease(self, role: str, holder: str, seconds: float) -> bool:
        now = self._clock.monotonic()
        other, until = self._leases.get(role, (holder, 0.0))
        if other != holder and now < until:
            return False
        self._leases[role] = holder, now + seconds
        return True

    def stale(self) -> bool:
        return False

    async def check(self) -> Facts:
        return self.facts()

    def facts(self) -> Facts:
        return Facts(
            redis="embedded",
            size=len(self._shelves),
            last_refresh=self._opened_at,
            hits=self._hits,
            misses=self._misses,
        )

    def _put(self, kind: str, known: Listing | None, listing: Listing, by: str) -> None:
        real = known is None or not same(known, listing)
        self._doing = kind, (listing.service_id,)
        self._shelves.put(listing, self._clock.monotonic() + listing.ttl, moves=real)
        if real:
            self._audit(kind, known, listing, by)

    def _moved(self, name: str, version: int, expired: tuple[str, ...]) -> None:
        kind, service_ids = ("expired", expired) if expired else self._doing
        self._changes.add(
            Change(id=self._id(self._changes.last), name=name, index=version, kind=kind, service_ids=service_ids)
        )

    def _audit(self, what: str, before: Listing | None, after: Listing | None, by: str) -> None:
        one = after or before
        assert one is not None
        last = place_of(self._audited[-1].id) if self._audited else None
        self._audited.append(
            Audited(
                id=self._id(last or (0, 0)),
                at=self._clock.now(),
                who=by,
                what=what,
                service_name=one.service_name,
                service_id=one.service_id,
                before=None if before is None else record(before),
                after=None if after is None else record(after),
            )
        )

    def _id(self, last: Place) -> str:
        """The id that follows: of this millisecond, or of the last one if time went back."""
        now = int(self._clock.now() * 1000)
        return f"{now}-0" if now > last[0] else f"{last[0]}-{last[1] + 1}"
