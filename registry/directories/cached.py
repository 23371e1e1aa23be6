"""The copy in memory of what a store holds: served without waiting, and never out of date while the store is told of.

How it stays so: the store counts the changes of each name. A change that follows what the copy knows is applied by
itself; where one is missing, the whole name is read. The version of a name here is therefore its number in the store,
equal in every process.
"""

from collections.abc import Iterable
from typing import Final

from registry.base.clock import Clock
from registry.directories.redis_entries import Entry, micros
from registry.directories.redis_link import Link
from registry.directories.shelves import Moved, Shelves
from registry.listing import Listing, normal_url

#: Seconds that a name which the store does not have is not asked for again, and such names that are remembered.
UNKNOWN: Final = 1.0
_MAX_UNKNOWN: Final = 10_000


class Copy:
    """Shelves that follow a store, what belongs to another kind of registry, and how often memory knew an answer."""

    def __init__(self, clock: Clock, moved: Moved) -> None:
        self._clock = clock
        self.shelves = Shelves(clock, moved)
        #: Name to the id that a registry of the first kind wrote.
        self.foreign: dict[str, str] = {}
        self._unknown: dict[str, float] = {}
        self.hits = 0
        self.misses = 0

    def look(self, name: str, *, counts: bool) -> tuple[Listing, ...]:
        """The instances that memory knows."""
        found = self.shelves.snapshot(name)
        if counts:
            self.hits += bool(found)
            self.misses += not found
        return found

    def known_unknown(self, name: str) -> bool:
        """Whether the store has just said that it does not know the name."""
        return self._clock.monotonic() < self._unknown.get(name, 0.0)

    def unknown(self, name: str) -> None:
        """The store does not know the name."""
        if len(self._unknown) >= _MAX_UNKNOWN:
            self._unknown.clear()
        self._unknown[name] = self._clock.monotonic() + UNKNOWN

    def follows(self, name: str, had: int, base: int) -> bool:
        """Whether memory knows the name as the store did before a change; `base`: without what was due."""
        return self.shelves.version(name) in (had, base)

    def one(self, entry: Entry, link: Link, version: int | None) -> None:
        """One instance of a name is as given."""
        listing = entry.listing
        self._unknown.pop(listing.service_name, None)
        if self.foreign.get(listing.service_name) == listing.service_id:
            del self.foreign[listing.service_name]
        rows = [(listing, link.monotonic(entry.due), entry.due)]
        self.shelves.replace(listing.service_name, rows, version=version, only=[listing.service_id])

    def some(self, name: str, entries: Iterable[Entry], ids: Iterable[str], link: Link, version: int | None) -> None:
        """The instances of these ids are as given, and those not given are gone."""
        self._unknown.pop(name, None)
        rows = [(each.listing, link.monotonic(each.due), each.due) for each in entries]
        self.shelves.replace(name, rows, version=version, only=ids)

    def all(self, name: str, entries: list[Entry], foreign: Entry | None, link: Link, version: int) -> None:
        """The name as a whole is as given. `foreign`: what another registry says of it."""
        if entries or foreign is not None:
            self._unknown.pop(name, None)
        self.foreign.pop(name, None)
        if foreign is not None and not any(_one_address(foreign, each) for each in entries):
            self.foreign[name] = foreign.listing.service_id
            entries = [*entries, foreign]
            version = max(version, micros(foreign.listing.registered_at))  # such a registry counts nothing
        rows = [(each.listing, link.monotonic(each.due), each.due) for each in entries]
        self.shelves.replace(name, rows, version=version)

    def beat(self, name: str, listing: Listing, due: int, link: Link) -> None:
        """An instance lives on until `due`, if that is news: it may come late, and a life may have become shorter."""
        known = self.shelves.find(name, listing.service_id)
        stamp = self.shelves.stamp(name, listing.service_id)
        if known is not None and (listing.last_heartbeat, due) > (known.last_heartbeat, stamp):
            self.shelves.replace(name, [(listing, link.monotonic(due), due)], version=None, only=[listing.service_id])


def _one_address(one: Entry, other: Entry) -> bool:
    return normal_url(one.listing.service_url) == normal_url(other.listing.service_url)
