"""Keeping the copy what Redis holds: read at the start and at every return, then by what the feed tells, by what falls
due, and from time to time as a whole, in case anything was missed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from registry.base.clock import Clock
from registry.directories.cached import Copy
from registry.directories.changes import Changes
from registry.directories.redis_entries import (
    PATTERN,
    adopted,
    beaten,
    entry_of,
    keys_of,
    micros,
    name_of,
    sent_of,
    set_of,
    tail_of,
)
from registry.directories.redis_feed import Beat, Feed, News, beat_of
from registry.directories.redis_line import Line, evalsha
from registry.directories.redis_link import CommandRefused, Link, LinkLost, Reply, Word
from registry.directories.redis_scripts import GRACE, READ
from registry.listing import Listing, normal_url, parts

log = logging.getLogger(__name__)

#: Names, or instances, that are sent for at once, so that others get their turn in between.
_AT_ONCE: Final = 64
#: Keys that Redis looks at in one step of a search.
_SCAN: Final = 1_000
#: Seconds that are waited at least for something to fall due: a clock of Redis that went back must not keep us busy.
_LEAST: Final = 0.01
#: Seconds between looks at what a registry of the first kind keeps alive, since it announces nothing.
_FOREIGN: Final = 5.0


class Upkeep:
    """Keeps a `Copy`; `history` is what its watchers see."""

    def __init__(self, line: Line, copy: Copy, history: Changes, clock: Clock) -> None:
        self._line = line
        self._copy = copy
        self._clock = clock
        self.feed = Feed(line, history, changed=self._changed, beaten=self._beaten)
        self.last_refresh = clock.now()
        self.warm = False
        self._due: set[str] = set()
        self._wake = asyncio.Event()
        self._look_at = clock.monotonic()

    def expired(self, name: str) -> None:
        """Something of a name has expired in memory: Redis is to remove it, too."""
        self._due.add(name)
        self._wake.set()

    def heard(self, name: str, link: Link, reply: Reply) -> tuple[int, bool]:
        """Take what every script answers first; the index now, and whether memory knows the name up to the script."""
        now, index, gone, had, base = reply[:5]
        link.heard(int(now))
        had, base = int(had), int(base)
        follows = self._copy.follows(name, had, base)
        if gone:
            ids = [each.decode() for each in gone]
            self._copy.some(name, (), ids, link, base if follows else None)
            self.feed.tell("expired", name, ids, had, base)
        return int(index), follows

    def send(self, name: str, ids: Sequence[str] = (), version: int | None = None) -> "asyncio.Future[Reply]":
        """Read a name into the copy, or these instances of it, with which it is at `version`. Raises `LinkLost`."""

        def read(link: Link, reply: Reply) -> int:
            index, _ = self.heard(name, link, reply)
            if isinstance(reply[5], bytes):
                self._live_on(name, link, reply[5])
                return index
            entries = [entry_of(each) for each in reply[5]]
            if ids:
                self._copy.some(name, entries, ids, link, version)
            else:
                foreign = adopted(name, reply[6], int(reply[7]), int(reply[0])) if reply[6] else None
                self._copy.all(name, entries, foreign, link, index)
            return index

        keys = keys_of(name)
        # What another registry keeps is not in the index, and one instance is quickly read.
        known = 0 if ids or name in self._copy.foreign else self._copy.shelves.version(name)
        return self._line.link(keys[0]).send(*evalsha(READ, keys, known, *ids), apply=read, limited=True)

    def _live_on(self, name: str, link: Link, times: bytes) -> None:
        """Nothing has changed but how long they live."""
        for line in times.decode().splitlines():
            service_id, _, heartbeat, _, due = line.split()
            known = self._copy.shelves.find(name, service_id)
            if known is not None and self._copy.shelves.stamp(name, service_id) != int(float(due)):
                self._copy.beat(name, beaten(known, int(heartbeat)), int(float(due)), link)

    async def returned(self) -> None:
        """Redis is there (again). Raises `LinkLost`."""
        news = await self.feed.catch_up()
        withdrawn = {
            (each.name, x) for each in news if each.change.kind == "withdrawn" for x in each.change.service_ids
        }
        await self._grace(withdrawn)
        await self.refresh()
        self._copy.shelves.frozen = False

    async def refresh(self) -> None:
        """Read everything. Raises `LinkLost`."""
        names = set(self._copy.shelves.names())
        for link in self._line.links():
            link.forget_offset()
            cursor = b"0"
            while True:
                cursor, keys = await link.send("SCAN", cursor, "MATCH", PATTERN, "COUNT", _SCAN)
                names.update(filter(None, map(name_of, keys)))
                if cursor == b"0":
                    break
        await self._read(sorted(names))
        self.last_refresh = self._clock.now()
        self.warm = True

    async def refresh_for_ever(self, interval: float) -> None:
        """Refresh every `interval` seconds."""
        while True:
            await asyncio.sleep(interval)
            await self._line.wait_up()
            with self._noticing():
                await self.refresh()

    async def keep_for_ever(self) -> None:
        """Tell Redis of what falls due, and see what others keep alive."""
        shelves = self._copy.shelves
        while True:
            await self._line.wait_up()
            due = shelves.due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FOREIGN if due is None else max(_LEAST, min(due, _FOREIGN))):
                    await self._wake.wait()
            self._wake.clear()
            shelves.expire()
            names, self._due = self._due, set()
            if self._clock.monotonic() >= self._look_at:
                self._look_at = self._clock.monotonic() + _FOREIGN
                names.update(self._copy.foreign)
            with self._noticing():
                await self._read(sorted(names))

    async def _read(self, names: Sequence[str]) -> None:
        for at in range(0, len(names), _AT_ONCE):
            await self._all([self.send(name) for name in names[at : at + _AT_ONCE]])

    async def _all(self, reads: "list[asyncio.Future[Reply]]") -> None:
        for done in await asyncio.gather(*reads, return_exceptions=True):
            if isinstance(done, CommandRefused):
                log.warning("a name cannot be read from Redis: %s", done)
            elif isinstance(done, BaseException):
                raise done

    async def _changed(self, news: list[News]) -> None:
        """Bring the copy up to what was announced."""
        coming: dict[str, int] = {}
        reads = []
        for each in news:
            change = each.change
            known = coming.get(each.name, self._copy.shelves.version(each.name))
            if change.index > known:
                coming[each.name] = change.index
                follows = 0 < each.had == known
                reads.append(self.send(each.name, change.service_ids if follows else (), change.index))
        await self._all(reads)

    async def _beaten(self, beats: list[Beat]) -> None:
        """Take over who lives on."""
        missing = set()
        for name, service_id, heartbeat, due in beats:
            known = self._copy.shelves.find(name, service_id)
            if known is not None:
                self._copy.beat(name, beaten(known, heartbeat), due, self._line.link(keys_of(name)[0]))
            else:
                missing.add(name)
        await self._read(sorted(missing))

    async def _grace(self, withdrawn: set[tuple[str, str]]) -> None:
        """Give what was alive when Redis was lost a full time to live, but not what was withdrawn meanwhile."""
        shelves, foreign = self._copy.shelves, self._copy.foreign
        sent = []
        for name in shelves.names():
            alive = [
                each
                for each in shelves.known(name).values()
                if (name, each.service_id) not in withdrawn and foreign.get(name) != each.service_id
            ]
            version = shelves.version(name)
            sent += [self._grant(name, version, alive[at : at + _AT_ONCE]) for at in range(0, len(alive), _AT_ONCE)]
            if len(sent) >= _AT_ONCE:
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)

    def _grant(self, name: str, version: int, alive: Sequence[Listing]) -> "asyncio.Future[Reply]":
        """Give these instances of a name a full time to live; the other registries are told."""

        def granted(link: Link, reply: Reply) -> None:
            now, index, had = map(int, reply[:3])
            link.heard(now)
            for each in alive:
                self.feed.tell_beat(beat_of(each, now + micros(each.ttl)))
            if index != had and had:
                self.feed.tell("registered", name, [each.decode() for each in reply[3]], had, index)

        words = [word for each in alive for word in _whole(each)]
        keys = keys_of(name)
        return self._line.link(keys[0]).send(*evalsha(GRACE, keys, version, *words), apply=granted, limited=True)

    @contextlib.contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except LinkLost as reason:
            self._line.broken(None, reason)


def _whole(listing: Listing) -> Iterable[Word]:
    """Everything of an instance, for `GRACE`."""
    sent, _ = parts(listing)
    return (
        listing.service_id,
        normal_url(sent.service_url),
        sent_of(sent),
        tail_of(sent),
        set_of(listing),
        micros(listing.registered_at),
        micros(listing.last_heartbeat),
        micros(listing.ttl),
    )
