"""What a directory of services must do, whatever it is kept in.

Writes and full reads may wait (a store may be asked); `snapshot`, `version`, `position`, `stale` and `facts` never do,
because they serve the calls of a running saga from memory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from registry.base.values import Json
from registry.listing import Listing, Registration


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The answer to a registration."""

    listing: Listing
    #: False if the instance was listed already and only renewed or changed.
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The answer to a change: the instance before and after it."""

    before: Listing
    after: Listing


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event of the directory: the instances of a name are not what they were. `snapshot` says what they are."""

    #: Its place among all changes; comparable by `place_of`, and equal on every registry over one store.
    id: str
    #: None: changes are missing before this one (`kind` is `reset`), so any name may have changed.
    name: str | None
    #: `version` of the name after it.
    index: int
    #: `registered`, `changed`, `withdrawn`, `expired` or `reset`.
    kind: str
    service_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One write as the audit log keeps it. `before` or `after` is None where there was, or is, no such instance."""

    id: str
    #: Seconds since the epoch.
    at: float
    #: Who asked for it, as `by` said.
    who: str
    #: `registered`, `changed` or `withdrawn`.
    what: str
    service_name: str
    service_id: str
    #: As `registry.listing.record` shows the instance.
    before: Json
    after: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a directory says of itself, for the health page."""

    #: `embedded`, `connected` or `disconnected`: how it stands with its store.
    redis: str
    #: Names with at least one live instance.
    size: int
    #: Seconds since the epoch: when the copy in memory was last known to be complete.
    last_refresh: float
    #: `get` with `counts`: how often memory knew the name, and how often not.
    hits: int
    misses: int
    #: Whether memory is complete enough to serve from: false until it was loaded once.
    warm: bool = True
    #: Whether what is served may be out of date, because the store cannot be asked.
    stale: bool = False


class DirectoryFull(Exception):
    """The directory holds as many instances as it may; the message says how many."""


class DirectoryAway(Exception):
    """The store cannot be reached, so nothing was written; memory still answers. `retry_after`: seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AddressBook(Protocol):
    """What a program needs that calls services and is one: who is out there, and its own entry.

    - An instance whose `ttl` has passed since its last heartbeat is gone: no method shows it, a beat does not
      revive it. While its store is away a directory shows what it knew last, and `facts` says `stale`.
    - Order of instances within a name is that of their first registration, in every answer.
    - The methods are called from one event loop; each is atomic as seen from its other methods.
    - Every write raises `DirectoryAway` if the store cannot be reached. `by` says who wrote, for the audit log.
    """

    async def open(self) -> None:
        """Begin; the first call. Waits for its store only a bounded time: without it, it begins cold and stale."""
        ...

    async def close(self) -> None:
        """End; the last call."""
        ...

    async def register(self, registration: Registration, *, by: str = "") -> Registered:
        """List an instance, or renew it.

        - With a `service_id`: the instance of that name and id. Without: the instance of that name whose URL
          is equal after `normal_url`, and a new UUID if there is none.
        - A known instance keeps `service_id`, `registered_at` and what `change` set; every other field is as just
          sent.
        - The time to live starts anew.
        - Raises `DirectoryFull` for a new instance above the directory's bound.
        - Is audited, unless it changes nothing: then it is but a heartbeat.
        """
        ...

    async def beat(self, name: str, service_id: str) -> Listing | None:
        """Start the time to live of one instance anew; None if it is gone. Never moves `version`."""
        ...

    async def withdraw(self, name: str, service_ids: Iterable[str], *, by: str = "") -> tuple[Listing, ...]:
        """Remove these instances of a name at once; answers those that were there. Is audited."""
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


class Directory(AddressBook, Protocol):
    """All that a registry serves from. What an `AddressBook` promises holds here, too."""

    async def change(self, name: str, service_id: str, members: Mapping[str, Json], *, by: str = "") -> Changed | None:
        """Set members of one instance as `registry.listing.changed` does; None if it is gone.

        What is set stands above what the instance registers with, until it is set to None or the instance is gone.
        Is audited, and moves `version`, unless it changes nothing.
        """
        ...

    async def get(self, name: str, *, counts: bool = False) -> tuple[Listing, ...]:
        """The live instances of a name, asking the store if memory does not know it; maybe none.

        `counts`: it is the look-up of a client, which belongs to `hits` or `misses`.
        """
        ...

    async def list(self) -> Mapping[str, tuple[Listing, ...]]:
        """All live instances by name, sorted by name; no name without an instance."""
        ...

    async def wait(self, name: str, index: int, timeout: float) -> int:
        """Until `version` of the name is not `index`, at most `timeout` seconds; the version then."""
        ...

    def position(self) -> str:
        """The id of the last change of any name. Never moves on a heartbeat."""
        ...

    async def changes(self, after: str, timeout: float) -> tuple[Change, ...]:
        """The changes after the one with the id `after`, oldest first, waiting at most `timeout` seconds for the first.

        - Empty: there was none in that time.
        - Only a bounded number of changes is kept. If what followed `after` is not known (any more), the answer
          is one `reset`, after whose id it goes on.
        """
        ...

    async def audits(self, *, limit: int = 100, before: str | None = None) -> tuple[Audited, ...]:
        """The newest audit entries, newest first, or those before the one with this id. Only so many are kept.

        Raises `DirectoryAway`.
        """
        ...

    async def lease(self, role: str, holder: str, seconds: float) -> bool:
        """Whether `holder` alone has `role` for the coming seconds: taken if it was free, prolonged if it was its own.

        Raises `DirectoryAway`: then nobody can know.
        """
        ...

    def stale(self) -> bool:
        """`facts().stale`, for those who ask with every look-up."""
        ...

    async def check(self) -> Facts:
        """`facts` after the store has been asked whether it answers, in bounded time."""
        ...
