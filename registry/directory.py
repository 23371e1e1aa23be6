"""What a directory of services must do, whatever it is kept in.

Writes and full reads may wait (a store may be asked); `snapshot` and `version` never do, because they serve
the calls of a running saga from memory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from registry.listing import Listing, Registration


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The answer to a registration."""

    listing: Listing
    #: False if the instance was listed already and only renewed or changed.
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a directory says of itself, for the health page."""

    #: `embedded`, `connected` or `disconnected`: how it stands with Redis.
    redis: str
    #: Names with at least one live instance.
    size: int
    #: Seconds since the epoch: when the copy in memory was last known to be complete.
    last_refresh: float


class DirectoryFull(Exception):
    """The directory holds as many instances as it may; the message says how many."""


class Directory(Protocol):
    """Who is out there.

    - An instance whose `ttl` has passed since its last heartbeat is gone: no method shows it, a beat does not
      revive it.
    - Order of instances within a name is that of their first registration, in every answer.
    - The methods are called from one event loop; each is atomic as seen from its other methods.
    """

    async def register(self, registration: Registration) -> Registered:
        """List an instance, or renew it.

        - With a `service_id`: the instance of that name and id. Without: the instance of that name whose URL
          is equal after `normal_url`, and a new UUID if there is none.
        - A known instance keeps `service_id` and `registered_at`; every other field is as just sent.
        - The time to live starts anew.
        - Raises `DirectoryFull` for a new instance above the directory's bound.
        """
        ...

    async def beat(self, name: str, service_id: str) -> Listing | None:
        """Start the time to live of one instance anew; None if it is gone. Never moves `version`."""
        ...

    async def withdraw(self, name: str, service_ids: Iterable[str]) -> tuple[Listing, ...]:
        """Remove these instances of a name at once; answers those that were there."""
        ...

    async def get(self, name: str) -> tuple[Listing, ...]:
        """The live instances of a name, asking the store if memory does not know it; maybe none."""
        ...

    async def list(self) -> Mapping[str, tuple[Listing, ...]]:
        """All live instances by name, sorted by name; no name without an instance."""
        ...

    def snapshot(self, name: str) -> tuple[Listing, ...]:
        """The live instances of a name from memory alone."""
        ...

    def version(self, name: str) -> int:
        """A number that differs whenever the instances of a name differ; 0 while it has none.

        - Moves on arrival, departure, expiry and a changed field; never on a heartbeat or a repeated
          registration.
        - Never takes a value again that it had for other instances.
        """
        ...

    def facts(self) -> Facts:
        """Its own state, from memory alone."""
        ...
