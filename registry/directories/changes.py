"""The last changes of a directory in their order, and waiting for the next: what long polls and streams are made of.

Nobody who waits has a queue of its own, so a slow reader costs nothing: it finds that what it missed is forgotten.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from itertools import islice
from typing import Final, TypeAlias

from registry.directory import Change

#: Changes that are remembered, and those that one answer holds, at most.
REMEMBERED: Final = 10_000
_AT_ONCE: Final = 1_000

#: A change's id as two numbers that can be compared.
Place: TypeAlias = tuple[int, int]


def place_of(change_id: str) -> Place | None:
    """`1700000000000-3` as numbers; None if it is no such id."""
    left, dash, right = change_id.partition("-")
    if not (dash and left.isdecimal() and right.isdecimal() and len(change_id) <= 40 and change_id.isascii()):
        return None
    return int(left), int(right)


class Changes:
    """A history that begins after `start`."""

    def __init__(self, start: Place, *, limit: int = REMEMBERED) -> None:
        self._floor = start
        self._last = start
        self._kept: deque[tuple[Place, Change]] = deque(maxlen=limit)
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def last(self) -> Place:
        """The place of the last change."""
        return self._last

    def position(self) -> str:
        """The id of the last change."""
        return f"{self._last[0]}-{self._last[1]}"

    def add(self, change: Change) -> None:
        """The next change; one that does not follow the last is left out."""
        place = place_of(change.id)
        if place is None or place <= self._last:
            return
        if len(self._kept) == self._kept.maxlen:
            self._floor = self._kept[0][0]
        self._kept.append((place, change))
        self._last = place
        self._wake()

    def restart(self, start: Place) -> None:
        """Forget everything: changes before `start` are missing."""
        self._kept.clear()
        self._floor = self._last = start
        self._wake()

    def since(self, after: str) -> tuple[Change, ...]:
        """What followed `after`, or the `reset` where that is not known."""
        place = place_of(after)
        if place is None or not self._floor <= place <= self._last:
            return (Change(id=self.position(), name=None, index=0, kind="reset", service_ids=()),)
        if place == self._last:
            return ()
        begin = bisect_right(self._kept, place, key=lambda each: each[0])
        return tuple(change for _, change in islice(self._kept, begin, begin + _AT_ONCE))

    async def next(self, timeout: float | None) -> None:
        """Wait for the next change, at most `timeout` seconds."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await asyncio.wait((waiting,), timeout=timeout)
        finally:
            self._waiting.discard(waiting)

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()
