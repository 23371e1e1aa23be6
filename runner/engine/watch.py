"""Watching runs: what a journal tells so far, then each record as it becomes durable.

A run in our hands is told by its driver. One that is in nobody's hands, or in another runner's, is looked for in the
store now and then: a run that waits has nothing to tell, and what this process takes up again is told at once.

Whatever its reader does, a watch holds no more than `MOST_BEHIND` events: one that falls further behind is closed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Container, Sequence
from typing import Final

import structlog

from runner.ports import Journals, Note, RunnerError, Stored, StoreError
from runner.saga.happening import Event, event, event_of, numbered
from runner.saga.journal import Record, decode

log = structlog.get_logger("saga.engine")

#: Watches at a time, over all runs.
MOST_WATCHERS: Final = 256
#: Events that are kept for a watch until its reader takes them.
MOST_BEHIND: Final = 1_000
#: Seconds after which a watch that has nothing to tell gives a sign of life.
BEAT: Final = 15.0
#: Seconds between two looks at the store for a run that is not in our hands.
LOOK: Final = 5.0


class TooManyWatchers(RunnerError):
    """As many watch already as may."""


class Watchers:
    """Everybody who watches a run of this process or its store."""

    def __init__(self, journals: Journals, live: Container[str]) -> None:
        self._journals = journals
        self._live = live
        self._count = 0
        self._closed = False
        #: The driver asks it at each append; empty where nobody watches.
        self.watched: dict[str, list[Watch]] = {}

    async def watch(self, run: str, after: int) -> "Watch | None":
        """Watch a run, from behind the record number `after` (0: from the beginning); None where there is no such run.

        To be given to `leave`. Raises `TooManyWatchers` and `StoreError`.
        """
        if self._count >= MOST_WATCHERS:
            raise TooManyWatchers(f"{MOST_WATCHERS} watch already")
        watch = Watch(run, self._journals, self._live)
        # It listens before it reads, so that nothing falls between the two.
        self._count += 1
        self.watched.setdefault(run, []).append(watch)
        begun = False
        try:
            stored = await self._journals.read(run)
            if stored is None:
                return None
            watch.begin(stored, after)
            begun = True
        finally:
            if not begun:
                self.leave(watch)
        if self._closed:
            watch.close("stopping")
        return watch

    def leave(self, watch: "Watch") -> None:
        """Nobody looks there any more."""
        watches = self.watched.get(watch.run, [])
        if watch in watches:
            self._count -= 1
            watches.remove(watch)
            if not watches:
                del self.watched[watch.run]

    def tell(self, run: str, length: int, records: Sequence[Record], note: Note) -> None:
        """These records, the last ones of the `length` that the run has now, are durable, and it stands as noted."""
        first = length - len(records) + 1
        events = [event_of(seq, record) for seq, record in enumerate(records, first)]
        for watch in self.watched.get(run, ()):
            watch.hear(_News(first, events, note.status, note.reason, note.ended))

    def close(self) -> None:
        """End every watch, and each that begins from now on."""
        self._closed = True
        for watches in self.watched.values():
            for watch in watches:
                watch.close("stopping")


class _News:
    """What one append told."""

    __slots__ = ("ended", "events", "first", "reason", "status")

    def __init__(self, first: int, events: list[Event | None], status: str, reason: str, ended: bool) -> None:
        self.first = first
        #: None: a record that tells nothing.
        self.events = events
        self.status = status
        self.reason = reason
        self.ended = ended


class Watch:
    """One reader of one run. Read by one task only."""

    def __init__(self, run: str, journals: Journals, live: Container[str]) -> None:
        self.run = run
        self._journals = journals
        self._live = live
        #: Number of the last record that was told or is known not to be asked for.
        self._last = 0
        self._status = ("", "")
        self._fresh: list[Event] = []
        self._news: deque[_News] = deque()
        self._behind = 0
        self._woken = asyncio.Event()
        self._closing = ""
        self._over = False

    # ------------------------------------------------------------------ what comes in

    def begin(self, stored: Stored, after: int) -> None:
        """Tell what the journal has behind the record `after`."""
        self._last = min(after, stored.row.length)
        self._take_stored(stored)

    def hear(self, news: _News) -> None:
        """Keep news until the reader asks, or give the reader up."""
        size = len(news.events) + 1
        if self._news and self._behind + size > MOST_BEHIND:  # one append alone is taken, however long
            self.close("slow")
        if not self._closing:
            self._behind += size
            self._news.append(news)
            self._woken.set()

    def close(self, why: str) -> None:
        """Tell nothing more but why."""
        self._closing = self._closing or why
        self._woken.set()

    # ------------------------------------------------------------------ what the reader gets

    async def events(self) -> AsyncIterator[tuple[Event, ...]]:
        """What happened so far, then what happens; () as a sign of life. Ends behind `ended` or `closed`."""
        while True:
            fresh, self._fresh = self._fresh, []
            yield tuple(fresh)
            if self._over:
                return
            try:
                await self._more()
            except StoreError as error:
                log.warning("the journal does not answer a watcher", run=self.run, error=str(error))
                self._end("store-away")

    async def _more(self) -> None:
        try:
            async with asyncio.timeout(BEAT if self.run in self._live else LOOK):
                await self._woken.wait()
        except TimeoutError:
            if self.run not in self._live:
                await self._look()
            return
        self._woken.clear()
        while self._news and not self._over:
            await self._take_news(self._news.popleft())
        if self._closing and not self._over:
            self._end(self._closing)

    async def _take_news(self, news: _News) -> None:
        self._behind -= len(news.events) + 1
        if news.first > self._last + 1:  # another runner had the run meanwhile
            await self._look()
        behind = news.first + len(news.events) - 1
        if behind < self._last or self._over:
            return
        self._fresh += [one for seq, one in enumerate(news.events, news.first) if one is not None and seq > self._last]
        self._last = behind
        self._over = news.ended
        self._stand(news.status, news.reason)

    async def _look(self) -> None:
        stored = await self._journals.read(self.run)
        if stored is None:
            self._end("gone")
        else:
            self._take_stored(stored)

    def _take_stored(self, stored: Stored) -> None:
        row = stored.row
        self._over = row.ended_at is not None
        for seq, body in numbered(stored.records, row.length):
            if seq > self._last or (self._over and seq == row.length):  # who asks again is told of the end again
                told = event_of(seq, decode(body))
                if told is not None:
                    self._fresh.append(told)
        self._last = max(self._last, row.length)
        self._stand(row.status, row.reason)

    def _stand(self, status: str, reason: str) -> None:
        if not self._over and (status, reason) != self._status:
            self._status = (status, reason)
            self._fresh.append(event("status", {"status": status, "reason": reason or None}))

    def _end(self, why: str) -> None:
        self._over = True
        self._fresh.append(event("closed", {"reason": why}))
