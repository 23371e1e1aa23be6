"""The directory in Redis, shared by any number of registries: writes go to Redis, reads come from a copy in memory.

While Redis is away nothing can be written and the copy is served as it was. When it returns, every instance that was
alive then gets one full time to live, because it could not have been heard; what Redis has lost is listed there again.
"""

import asyncio
import logging
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from registry.base.clock import Clock
from registry.base.values import Json
from registry.directories import redis_scripts as scripts
from registry.directories.cached import Copy
from registry.directories.changes import Changes, place_of
from registry.directories.memory import MAX_AUDITED, MAX_INSTANCES
from registry.directories.redis_address import RedisAddress
from registry.directories.redis_entries import (
    AUDIT,
    beaten,
    entry_of,
    keys_of,
    lease_of,
    micros,
    sent_of,
    set_of,
    tail_of,
)
from registry.directories.redis_feed import beat_of
from registry.directories.redis_line import Line
from registry.directories.redis_link import Apply, Link, LinkLost, Reply, Word
from registry.directories.redis_nodes import Connect, connect_to
from registry.directories.redis_upkeep import Upkeep
from registry.directory import Audited, Change, Changed, DirectoryAway, DirectoryFull, Facts, Registered
from registry.listing import Listing, Registration, changed, normal_url, parts, record

log = logging.getLogger(__name__)

#: Seconds between full refreshes, unless the settings say otherwise.
REFRESH: Final = 30.0
#: How often a change is tried again where another came first.
_TRIES: Final = 10


class RedisDirectory:
    """A `Directory` in the Redis at `address`."""

    def __init__(
        self,
        address: RedisAddress,
        clock: Clock,
        *,
        refresh: float = REFRESH,
        limit: int = MAX_INSTANCES,
        connect: Connect | None = None,
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._interval = refresh
        self._copy = Copy(clock, self._moved)
        self._shelves = self._copy.shelves
        self._history = Changes((0, 0))
        self._line = Line(
            address, clock, connect or connect_to(address), scripts.ALL, lost=self._lost, returned=self._returned
        )
        self._upkeep = Upkeep(self._line, self._copy, self._history, clock)
        self._feed = self._upkeep.feed
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        await self._line.open()
        for work in (
            self._feed.follow(),
            self._upkeep.keep_for_ever(),
            self._upkeep.refresh_for_ever(self._interval),
        ):
            task = asyncio.create_task(work, name="redis directory")
            task.add_done_callback(_told)
            self._tasks.append(task)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()
        await self._line.close()

    async def register(self, registration: Registration, *, by: str = "") -> Registered:
        name, url = registration.service_name, normal_url(registration.service_url)
        service_id, since = registration.service_id or "", ""
        foreign = self._shelves.find(name, self._copy.foreign.get(name, ""))
        if foreign is not None and (service_id or (normal_url(foreign.service_url) == url and foreign.service_id)) == (
            foreign.service_id
        ):
            # It has come over from a registry of the first kind: it is the same instance still.
            service_id, since = foreign.service_id, str(micros(foreign.registered_at))
        room = self._shelves.instances < self._limit

        def registered(link: Link, reply: Reply) -> tuple[Registered, bool] | None:
            index, follows = self._upkeep.heard(name, link, reply)
            if len(reply) < 8:
                return None
            before, entry = entry_of(reply[5]).listing if reply[5] else foreign if since else None, entry_of(reply[6])
            if follows:
                self._copy.one(entry, link, index)
            if reply[7]:
                kind = "registered" if before is None else "changed"
                self._announce(kind, name, before, entry.listing, by, int(reply[4]), index)
            else:
                self._feed.tell_beat(beat_of(entry.listing, entry.due))
            return Registered(listing=entry.listing, new=before is None), follows

        done = await self._script(
            scripts.REGISTER,
            name,
            registered,
            service_id,
            str(uuid.uuid4()),
            url,
            sent_of(registration),
            tail_of(registration),
            micros(registration.ttl),
            int(room),
            since,
        )
        if done is None:
            raise DirectoryFull(f"The directory is full: it holds {self._limit} instances, and that is its limit.")
        answer: Registered = await self._caught_up(name, done)
        return answer

    async def beat(self, name: str, service_id: str) -> Listing | None:
        def beat(link: Link, reply: Reply) -> tuple[Listing | None, bool] | None:
            _, follows = self._upkeep.heard(name, link, reply)
            if not reply[5]:
                return None
            known = self._shelves.find(name, service_id)
            if known is None:
                return None, False
            listing, due = beaten(known, int(reply[0])), int(reply[5])
            self._copy.beat(name, listing, due, link)
            self._feed.tell_beat(beat_of(listing, due))
            return listing, follows

        done = await self._script(scripts.BEAT, name, beat, service_id)
        if done is None:
            foreign = self._foreign(name, service_id)
            return None if foreign is None else (await self.register(parts(foreign)[0])).listing
        listing: Listing | None = await self._caught_up(name, done)
        return listing or self._shelves.find(name, service_id)

    async def withdraw(self, name: str, service_ids: Iterable[str], *, by: str = "") -> tuple[Listing, ...]:
        ids = tuple(dict.fromkeys(service_ids))

        def withdrawn(link: Link, reply: Reply) -> tuple[tuple[Listing, ...], bool]:
            index, follows = self._upkeep.heard(name, link, reply)
            removed = []
            for raw in reply[5]:
                known = entry_of(raw).listing if len(raw) > 1 else self._foreign(name, raw[0].decode())
                if known is not None:
                    removed.append(known)
            if removed:
                gone = [x.service_id for x in removed]
                if follows:
                    self._copy.some(name, (), gone, link, index)
                self._feed.tell("withdrawn", name, gone, int(reply[4]), index)
                for listing in removed:
                    self._audit("withdrawn", listing, None, by)
            return tuple(removed), follows

        if not ids:
            return ()
        answer: tuple[Listing, ...] = await self._caught_up(
            name, await self._script(scripts.WITHDRAW, name, withdrawn, *ids)
        )
        return answer

    async def change(self, name: str, service_id: str, members: Mapping[str, Json], *, by: str = "") -> Changed | None:
        if (foreign := self._foreign(name, service_id)) is not None:
            await self.register(parts(foreign)[0], by=by)
        known = self._shelves.find(name, service_id)
        if known is None:
            await self.get(name)
            known = self._shelves.find(name, service_id)
        for _ in range(_TRIES):
            if known is None:
                return None
            wish = changed(known, members)
            if wish == known:
                return Changed(before=known, after=known)
            done = await self._change(known, wish, by)
            if isinstance(done, Changed):
                return done
            known = done
        raise DirectoryAway(f"{name} is being changed by others all the time: try again.")

    async def _change(self, known: Listing, wish: Listing, by: str) -> Changed | Listing | None:
        """The change made; else what the instance is really; None if it is gone."""
        name = known.service_name

        def taken(link: Link, reply: Reply) -> tuple[Changed | Listing, bool] | None:
            index, follows = self._upkeep.heard(name, link, reply)
            if not reply[5]:
                return None
            entry = entry_of(reply[5])
            if not reply[6]:
                return entry.listing, False
            if follows:
                self._copy.one(entry, link, index)
            self._announce("changed", name, known, entry.listing, by, int(reply[4]), index)
            return Changed(before=known, after=entry.listing), follows

        done = await self._script(scripts.CHANGE, name, taken, known.service_id, set_of(known), set_of(wish))
        answer: Changed | Listing | None = None if done is None else await self._caught_up(name, done)
        return answer

    async def get(self, name: str, *, counts: bool = False) -> tuple[Listing, ...]:
        found = self._copy.look(name, counts=counts)
        if found or not self._line.up or self._copy.known_unknown(name):
            return found
        try:
            await self._upkeep.send(name)
        except LinkLost as reason:
            self._line.broken(None, reason)
        found = self._shelves.snapshot(name)
        if not found:
            self._copy.unknown(name)
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
        return self._history.position()

    async def changes(self, after: str, timeout: float) -> tuple[Change, ...]:
        return await self._shelves.changes(self._history, after, timeout)

    async def audits(self, *, limit: int = 100, before: str | None = None) -> tuple[Audited, ...]:
        if before is not None and place_of(before) is None:
            return ()
        end = "+" if before is None else f"({before}"
        found = await self._line.call(AUDIT, "XREVRANGE", AUDIT, end, "-", "COUNT", limit)
        return tuple(_audited(entry_id.decode(), members[1]) for entry_id, members in found)

    async def lease(self, role: str, holder: str, seconds: float) -> bool:
        reply = await self._line.script(scripts.LEASE, (lease_of(role),), holder, max(1, round(seconds * 1000)))
        return bool(reply)

    async def refresh(self) -> None:
        """Read everything anew, as happens by itself from time to time. Raises `DirectoryAway`."""
        try:
            await self._upkeep.refresh()
        except LinkLost as reason:
            self._line.broken(None, reason)
            raise DirectoryAway("Redis client not available") from None

    def stale(self) -> bool:
        return not self._line.up

    async def check(self) -> Facts:
        if self._line.up:
            try:
                await asyncio.gather(*(link.send("PING") for link in self._line.links()))
            except LinkLost as reason:
                self._line.broken(None, reason)
        return self.facts()

    def facts(self) -> Facts:
        return Facts(
            redis="connected" if self._line.up else "disconnected",
            size=len(self._shelves),
            last_refresh=self._upkeep.last_refresh,
            hits=self._copy.hits,
            misses=self._copy.misses,
            warm=self._upkeep.warm,
            stale=self.stale(),
        )

    async def _script(self, text: str, name: str, apply: Apply, *words: Word) -> Any:
        return await self._line.script(text, keys_of(name), *words, apply=apply)

    async def _caught_up(self, name: str, done: tuple[Any, bool]) -> Any:
        """The answer, once the copy shows it: where others' changes are missing, the whole name is read first."""
        answer, follows = done
        if not follows:
            try:
                await self._upkeep.send(name)
            except LinkLost as reason:
                self._line.broken(None, reason)
        return answer

    def _foreign(self, name: str, service_id: str) -> Listing | None:
        return self._shelves.find(name, service_id) if self._copy.foreign.get(name) == service_id else None

    def _announce(
        self, kind: str, name: str, before: Listing | None, after: Listing, by: str, base: int, index: int
    ) -> None:
        self._feed.tell(kind, name, (after.service_id,), base, index)
        self._audit(kind, before, after, by)

    def _audit(self, what: str, before: Listing | None, after: Listing | None, by: str) -> None:
        one = after or before
        assert one is not None
        told = {
            "who": by,
            "what": what,
            "service_name": one.service_name,
            "service_id": one.service_id,
            "before": None if before is None else record(before),
            "after": None if after is None else record(after),
        }
        self._feed.post(AUDIT, MAX_AUDITED, "j", msgspec.json.encode(told))

    def _moved(self, name: str, _version: int, expired: tuple[str, ...]) -> None:
        if expired:
            self._upkeep.expired(name)

    def _lost(self) -> None:
        self._shelves.frozen = True

    async def _returned(self) -> None:
        await self._upkeep.returned()


def _audited(entry_id: str, raw: bytes) -> Audited:
    at, _ = place_of(entry_id) or (0, 0)
    return Audited(id=entry_id, at=at / 1000, **msgspec.json.decode(raw))


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (reason := task.exception()) is not None:
        log.error("the Redis directory does not follow its store any more", exc_info=reason)
