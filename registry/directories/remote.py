"""The directory of a registry elsewhere: a copy in memory that follows its stream of changes.

While that registry is away the copy goes on serving. When it is back everything is read anew; what it does not know
any more, because it has lost its memory perhaps, stays for one more time to live, in which a living service registers
again.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Final

import msgspec

from registry.base.clock import Clock
from registry.base.values import Json
from registry.client import (
    Event,
    Record,
    RegistryClient,
    RegistryError,
    RegistryRefused,
    RegistryUnavailable,
    ServiceNotFound,
)
from registry.directories.shelves import Row, Shelves
from registry.directory import DirectoryAway, DirectoryFull, Facts, Registered
from registry.listing import SENT, Listing, Registration

log = logging.getLogger(__name__)

#: Seconds until a registry that is away is asked again, and that the beginning waits for the first reading.
RETRY: Final = 1.0
_PATIENCE: Final = 5.0


class _Instance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as a registry tells it."""

    service_name: str
    service_url: str
    service_id: str
    registered_at: datetime
    last_heartbeat: datetime
    ttl: float
    capabilities: tuple[str, ...] = ()
    weight: float = 1
    zone: str | None = None
    version: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Json] = {}
    health_check_url: str | None = None
    openapi_url: str | None = None
    drained: bool = False
    health: str = "passing"


class RemoteDirectory:
    """An `AddressBook` over the registry at `url`. `pause` waits until it is asked again."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        token: str | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._client = RegistryClient(url, cache_ttl=0, token=token, clock=clock)
        self._pause = pause
        self._shelves = Shelves(clock, lambda *_: None)
        #: When instances go that the registry does not know any more, in monotonic seconds by name and id.
        self._leaving: dict[tuple[str, str], float] = {}
        self._following: asyncio.Task[None] | None = None
        #: Whether the registry was reached once, and whether that was tried.
        self._warm = False
        self._tried = asyncio.Event()
        self._stale = True
        self._refreshed_at = clock.now()

    async def open(self) -> None:
        self._following = asyncio.create_task(self._follow(), name="remote directory")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._tried.wait()

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait((self._following,))
        await self._client.aclose()

    async def register(self, registration: Registration, *, by: str = "") -> Registered:
        optional = {member: getattr(registration, member) for member in SENT if member not in _NAMED}
        try:
            answered = await self._client.register(
                registration.service_name,
                registration.service_url,
                registration.capabilities,
                service_id=registration.service_id,
                **optional,
            )
            listing = listing_of(answered)
        except RegistryError as reason:
            raise _raised(reason) from None
        self._put(listing)
        return Registered(listing=listing, new=listing.registered_at == listing.last_heartbeat)

    async def beat(self, name: str, service_id: str) -> Listing | None:
        try:
            return listing_of(await self._client.heartbeat(name, service_id=service_id))
        except ServiceNotFound:
            return None
        except RegistryError as reason:
            raise _raised(reason) from None

    async def withdraw(self, name: str, service_ids: Iterable[str], *, by: str = "") -> tuple[Listing, ...]:
        gone: list[Listing] = []
        for service_id in dict.fromkeys(service_ids):
            try:
                await self._client.unregister(name, service_id=service_id)
            except ServiceNotFound:
                continue
            except RegistryError as reason:
                raise _raised(reason) from None
            gone += self._shelves.remove(name, [service_id])
        return tuple(gone)

    def snapshot(self, name: str) -> tuple[Listing, ...]:
        return self._shelves.snapshot(name)

    def version(self, name: str) -> int:
        return self._shelves.version(name)

    def facts(self) -> Facts:
        return Facts(
            redis="disconnected" if self._stale else "connected",
            size=len(self._shelves),
            last_refresh=self._refreshed_at,
            hits=0,
            misses=0,
            warm=self._warm,
            stale=self._stale,
        )

    async def _follow(self) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._client.changes()) as events:
                    async for event in events:
                        await self._take(event)
            except RegistryError as reason:
                if not self._stale or not self._tried.is_set():
                    log.warning("services are served as they were known last: %s", reason)
                self._stale = True
                self._tried.set()
            await self._pause(RETRY)

    async def _take(self, event: Event) -> None:
        if event.kind in ("opened", "reset"):
            await self._refresh()
            return
        for service_id in event.service_ids:
            self._leaving.pop((event.service_name, service_id), None)
        self._set(event.service_name, event.instances)

    async def _refresh(self) -> None:
        """Read everything; what is not there any more begins to leave."""
        told = {record["service_name"]: record.get("instances", []) for record in await self._client.services()}
        now = self._clock.monotonic()
        self._leaving = {key: due for key, due in self._leaving.items() if due > now}
        for name in self._shelves.names():
            here = {record["service_id"] for record in told.get(name, [])}
            for listing in self._shelves.snapshot(name):
                key = (name, listing.service_id)
                if listing.service_id in here:
                    self._leaving.pop(key, None)
                else:
                    self._leaving.setdefault(key, now + listing.ttl)
            told.setdefault(name, [])
        for name, instances in told.items():
            self._set(name, instances)
        self._refreshed_at = self._clock.now()
        if self._stale:
            log.info("services come from %s, %d of them", self._client.saga_url, len(self._shelves))
        self._stale, self._warm = False, True
        self._tried.set()

    def _set(self, name: str, instances: Iterable[Record]) -> None:
        """A name has these instances, and those that are about to leave."""
        rows: list[Row] = [(listing_of(record), math.inf, 0) for record in instances]
        here = {listing.service_id for listing, _, _ in rows}
        now = self._clock.monotonic()
        for listing in self._shelves.snapshot(name):
            due = self._leaving.get((name, listing.service_id), 0.0)
            if listing.service_id not in here and due > now:
                rows.append((listing, due, 0))
        self._shelves.replace(name, rows, version=None)

    def _put(self, listing: Listing) -> None:
        self._leaving.pop((listing.service_name, listing.service_id), None)
        self._shelves.replace(listing.service_name, [(listing, math.inf, 0)], version=None, only=[listing.service_id])


_NAMED: Final = frozenset({"service_name", "service_url", "capabilities"})


def listing_of(record: Record) -> Listing:
    """A record as a registry answers it. Raises `RegistryUnavailable` where it is none."""
    try:
        told = msgspec.convert(record, _Instance)
    except msgspec.ValidationError as wrong:
        raise RegistryUnavailable(f"What was answered is no instance of a service: {wrong}.") from None
    members = msgspec.structs.asdict(told)
    health = members.pop("health")
    times = {member: members.pop(member).timestamp() for member in ("registered_at", "last_heartbeat")}
    return Listing(**members, **times, probed=health)


def _raised(reason: RegistryError) -> Exception:
    if isinstance(reason, RegistryRefused):
        if reason.problem.get("code") == "directoryFull":
            return DirectoryFull(str(reason))
        if reason.status < 500:
            return reason
    return DirectoryAway(str(reason))
