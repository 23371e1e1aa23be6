"""The streams by which registries over one Redis tell each other what has changed and who lives on.

A change is announced after it was made; its entry says what to look at, not what is there, so late, lost and repeated
announcements do no harm. Heartbeats are told in bundles, in a stream of their own that no watcher sees.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
from redis.exceptions import RedisError

from registry.directories.changes import Changes, Place, place_of
from registry.directories.redis_entries import BEATS, CHANGES, micros
from registry.directories.redis_line import Line
from registry.directories.redis_link import CommandRefused, LinkLost, Reply, Word, said
from registry.directory import Change
from registry.listing import Listing

log = logging.getLogger(__name__)

#: Changes that Redis keeps, and those of them that a registry takes over when it starts; bundles of heartbeats that
#: Redis keeps, and seconds that heartbeats gather for one.
_KEPT_CHANGES: Final = 10_000
_RECALLED: Final = 1_000
_KEPT_BEATS: Final = 2_000
_GATHER: Final = 0.005
#: Entries that are read at once, milliseconds that Redis waits for one, and seconds that its answer may take.
_AT_ONCE: Final = 500
_BLOCK: Final = 1_000
_ANSWER: Final = 3.0


@dataclass(frozen=True, slots=True)
class News:
    """A change as it was announced, with the index of its name before it."""

    change: Change
    name: str
    had: int


#: One instance lives on: name, id, microsecond of its last heartbeat, and of its end.
Beat: TypeAlias = tuple[str, str, int, int]


def beat_of(listing: Listing, due: int) -> Beat:
    """The news that an instance lives on."""
    return listing.service_name, listing.service_id, micros(listing.last_heartbeat), due


class Feed:
    """Announces to the streams and follows them."""

    def __init__(
        self,
        line: Line,
        history: Changes,
        *,
        changed: Callable[[list[News]], Awaitable[None]],
        beaten: Callable[[list[Beat]], Awaitable[None]],
    ) -> None:
        self._line = line
        self._history = history
        self._changed = changed
        self._beaten = beaten
        self._after = ["0-0", "0-0"]
        self._bundle: list[Beat] = []

    def tell(self, kind: str, name: str, ids: Sequence[str], had: int, index: int) -> None:
        """Announce a change. If that fails, the others find it by reading everything."""
        told = msgspec.json.encode((name, kind, tuple(ids), had, index))
        self.post(CHANGES, _KEPT_CHANGES, "c", told)

    def tell_beat(self, beat: Beat) -> None:
        """Announce that an instance lives on, with others."""
        if not self._bundle:
            asyncio.get_running_loop().call_later(_GATHER, self._send_bundle)
        self._bundle.append(beat)

    def post(self, stream: str, keep: int, *words: str | bytes | int) -> None:
        """Append to a stream without waiting for it."""
        with contextlib.suppress(LinkLost):
            self._line.link(stream).send("XADD", stream, "MAXLEN", "~", keep, "*", *words)

    def _send_bundle(self) -> None:
        bundle, self._bundle = self._bundle, []
        for at in range(0, len(bundle), _AT_ONCE):
            self.post(BEATS, _KEPT_BEATS, "b", msgspec.json.encode(bundle[at : at + _AT_ONCE]))

    async def catch_up(self) -> list[News]:
        """What was announced since the last time, as far as Redis knows it; to be called at each return.

        Raises `LinkLost`.
        """
        link = self._line.link(CHANGES)
        newest = await link.send("XREVRANGE", BEATS, "+", "-", "COUNT", 1)
        self._after[1] = newest[0][0].decode() if newest else "0-0"
        first = await link.send("XRANGE", CHANGES, "-", "+", "COUNT", 1)
        if self._after[0] == "0-0":
            past = await link.send("XREVRANGE", CHANGES, "+", "-", "COUNT", _RECALLED)
            if past:
                self._history.restart(_place(past[-1]))
            self._remember([_news(*each) for each in reversed(past)])
            return []
        if not first:
            # An empty Redis counts by the time, too, but whose clock that is nobody knows.
            seconds, micros = await link.send("TIME")
            self._history.restart((int(seconds) * 1000 + int(micros) // 1000 - 1, 0))
            self._after[0] = self._history.position()
            return []
        if _place(first[0]) > (place_of(self._after[0]) or (0, 0)):
            self._history.restart(_place(first[0]))
        missed: list[News] = []
        while page := await link.send("XRANGE", CHANGES, f"({self._after[0]}", "+", "COUNT", _AT_ONCE):
            news = [_news(*each) for each in page]
            self._remember(news)
            missed += news
        return missed

    def _remember(self, news: list[News]) -> None:
        for each in news:
            self._history.add(each.change)
        if news:
            self._after[0] = news[-1].change.id

    async def follow(self) -> None:
        """Pass on what is announced, for ever."""
        while True:
            await self._line.wait_up()
            try:
                connection = await self._line.connection(CHANGES)
                try:
                    while self._line.up:
                        words: tuple[Word, ...] = (
                            "XREAD",
                            "COUNT",
                            _AT_ONCE,
                            "BLOCK",
                            _BLOCK,
                            "STREAMS",
                            CHANGES,
                            BEATS,
                            *self._after,
                        )
                        async with asyncio.timeout(_ANSWER):
                            await connection.send_packed_command(connection.pack_commands([words]), check_health=False)
                            told = await connection.read_response()
                        await self._take(told or ())
                finally:
                    with contextlib.suppress(RedisError, OSError):
                        await connection.disconnect(nowait=True)
            except (LinkLost, CommandRefused, RedisError, OSError, TimeoutError) as reason:
                self._line.broken(None, LinkLost(said(reason)))

    async def _take(self, told: Reply) -> None:
        for stream, entries in told:
            if stream == BEATS.encode():
                self._after[1] = entries[-1][0].decode()
                for _, members in entries:
                    await self._beaten(msgspec.json.decode(members[1], type=list[Beat]))
            else:
                news = [_news(*each) for each in entries]
                await self._changed(news)
                # Whoever waits for a change finds it in the copy when it is told.
                self._remember(news)


def _place(entry: Reply) -> Place:
    return place_of(entry[0].decode()) or (0, 0)


def _news(stream_id: bytes, members: list[bytes]) -> News:
    name, kind, ids, had, index = msgspec.json.decode(members[1], type=tuple[str, str, tuple[str, ...], int, int])
    return News(Change(id=stream_id.decode(), name=name, index=index, kind=kind, service_ids=ids), name, had)
