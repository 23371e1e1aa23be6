"""Streams within this process: a record is handed over before `put` returns, so none is ever under way."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias

from runner.ports import StreamUnavailable

#: Takes a record: stream, key, value, headers.
Taker: TypeAlias = Callable[[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]], Awaitable[None]]


class InProcessStreams:
    """`Streams` without a broker. One partition per stream; offsets count from 0 in each process."""

    def __init__(self, aliases: Collection[str]) -> None:
        self._offsets = dict.fromkeys(aliases, 0)
        self._take: Taker | None = None

    def connect(self, take: Taker) -> None:
        """From now on records go there."""
        self._take = take

    async def put(
        self, stream: str, *, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[int, int]:
        if stream not in self._offsets or self._take is None:
            raise StreamUnavailable(f"the stream {stream} is not connected on this runner")
        await self._take(stream, key, value, headers)
        offset = self._offsets[stream]
        self._offsets[stream] = offset + 1
        return 0, offset
