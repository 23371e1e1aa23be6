"""The way to Redis as a whole: links to all masters, found and made anew whenever one is lost.

A loss is one thing, whatever caused it: every call in flight waits a moment for the return and is repeated then, and
what the directory has to set right is done before anything else passes. Calls that come while Redis is known to be away
are refused at once.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from redis.exceptions import RedisError, ResponseError

from registry.base.clock import Clock
from registry.directories.redis_address import Node, RedisAddress
from registry.directories.redis_link import Apply, CommandRefused, Connection, Link, LinkLost, Reply, Word, said
from registry.directories.redis_nodes import Connect, Layout, find
from registry.directory import DirectoryAway

log = logging.getLogger(__name__)

#: Seconds for one exchange with Redis, and seconds that a call waits for a lost Redis to return.
TIMEOUT: Final = 2.0
PATIENCE: Final = 1.0
#: Seconds that the beginning takes at most.
_OPENING: Final = 10.0
#: Seconds between tries to find Redis again: the first, and the longest.
_FIRST_PAUSE: Final = 0.05
_LAST_PAUSE: Final = 1.0
_REPEATS: Final = 3


class Line:
    """Calls to Redis by key. `lost` is called when it is gone, `returned` is awaited before calls pass (again)."""

    def __init__(
        self,
        address: RedisAddress,
        clock: Clock,
        connect: Connect,
        scripts: tuple[str, ...],
        *,
        lost: Callable[[], None],
        returned: Callable[[], Awaitable[None]],
    ) -> None:
        self._address = address
        self._clock = clock
        self._connect = connect
        self._scripts = scripts
        self._lost = lost
        self._returned = returned
        self._layout = Layout((0,), ())
        self._links: dict[Node, Link] = {}
        self._up = asyncio.Event()
        #: Whether it was found once, or not found once.
        self._tried = asyncio.Event()
        #: Monotonic seconds: since when calls wait, or are refused.
        self._since = float("-inf")
        self._seeking: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether calls pass."""
        return self._up.is_set()

    async def wait_up(self) -> None:
        """Until calls pass."""
        await self._up.wait()

    async def open(self) -> None:
        """Seek Redis; waits for what it holds, but not for a Redis that is not there."""
        self._seek()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_OPENING):
                await self._tried.wait()

    async def close(self) -> None:
        """End all links."""
        self._up.clear()
        if self._seeking is not None:
            self._seeking.cancel()
            await asyncio.wait((self._seeking,))
        await self._drop()

    def links(self) -> tuple[Link, ...]:
        """A link to each master."""
        return tuple(self._links.values())

    def link(self, key: str) -> Link:
        """The link to the master that holds `key`. Raises `LinkLost` if there is none now."""
        link = self._links.get(self._layout.node(key)) if self._layout.owners else None
        if link is None:
            raise LinkLost("no link")
        return link

    async def call(self, key: str, *words: Word, apply: Apply | None = None, limited: bool = False) -> Reply:
        """The reply to a command about `key`, as `Link.send` gives it. Raises `DirectoryAway`.

        After a loss it is sent again, although it may have been carried out: every command has to bear that.
        """
        for _ in range(_REPEATS):
            await self._passes()
            link = None
            try:
                link = self.link(key)
                return await link.send(*words, apply=apply, limited=limited)
            except LinkLost as reason:
                self.broken(link, reason)
            except CommandRefused as reason:
                log.warning("Redis refused %s: %s", words[0], reason)
                raise DirectoryAway(f"Redis client not available: {reason}.") from None
        raise DirectoryAway("Redis client not available", retry_after=_LAST_PAUSE)

    async def script(self, text: str, keys: tuple[str, ...], *words: Word, apply: Apply | None = None) -> Reply:
        """`call` for one of the line's scripts."""
        return await self.call(keys[0], *evalsha(text, keys, *words), apply=apply, limited=True)

    def broken(self, link: Link | None, reason: Exception) -> None:
        """A link is found to be lost; unless it is one of before the last return, everything is made anew."""
        if self._up.is_set() and (link is None or link in self._links.values()):
            log.warning("Redis %s is away: %s", self._address, reason)
            self._seek()

    async def connection(self, key: str) -> Connection:
        """A connection of one's own to the master that holds `key`, for what blocks. Raises `LinkLost`."""
        if not self._layout.owners:
            raise LinkLost("no link")
        connection = self._connect(self._layout.node(key), False)
        try:
            async with asyncio.timeout(TIMEOUT):
                await connection.connect()
        except (RedisError, OSError, TimeoutError) as reason:
            raise LinkLost(said(reason)) from None
        return connection

    async def _passes(self) -> None:
        if self._up.is_set():
            return
        left = self._since + PATIENCE - self._clock.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await self._up.wait()
        except TimeoutError:
            raise DirectoryAway("Redis client not available", retry_after=_LAST_PAUSE) from None

    def _seek(self) -> None:
        self._up.clear()
        self._since = self._clock.monotonic()
        self._lost()
        self._seeking = asyncio.create_task(self._seek_until_found(), name="seeking redis")

    async def _seek_until_found(self) -> None:
        pause, told = _FIRST_PAUSE, ""
        while True:
            try:
                await self._drop()
                self._layout = await find(self._address, self._connect, known=self._layout.owners[:16], timeout=TIMEOUT)
                for node in self._layout.nodes():
                    link = Link(self._connect(node, False), self._clock, timeout=TIMEOUT, begin=self._begin)
                    await link.open()
                    self._links[node] = link
                await self._returned()
            except (LinkLost, CommandRefused, RedisError, OSError) as reason:
                if said(reason) != told:
                    told = said(reason)
                    log.warning("Redis %s cannot be used: %s", self._address, told)
                self._tried.set()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_PAUSE)
            else:
                log.info("Redis %s is connected", self._address)
                self._up.set()
                self._tried.set()
                return

    async def _begin(self, connection: Connection) -> int:
        """Make sure that the node is a master, give it the scripts, and ask it for the time."""
        commands = [("ROLE",), *(("SCRIPT", "LOAD", text) for text in self._scripts), ("TIME",)]
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        try:
            replica = (await connection.read_response())[0] != b"master"
        except ResponseError:  # some servers do not tell
            replica = False
        for _ in self._scripts:
            await connection.read_response()
        seconds, micros = await connection.read_response()
        if replica:
            raise LinkLost("it is a replica")
        return int(seconds) * 1_000_000 + int(micros)

    async def _drop(self) -> None:
        links, self._links = self._links, {}
        for link in links.values():
            await link.close()


def evalsha(text: str, keys: tuple[str, ...], *words: Word) -> tuple[Word, ...]:
    """A script's call as a command."""
    return ("EVALSHA", _digest(text), len(keys), *keys, *words)


_digests: dict[str, str] = {}


def _digest(text: str) -> str:
    found = _digests.get(text)
    if found is None:
        found = _digests[text] = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - Redis names scripts so
    return found
