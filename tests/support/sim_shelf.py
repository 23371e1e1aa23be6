"""The store that all simulated runners share: the memory one, or the real SQLite file without its threads.

Both are the product's own. `alone`: one process has the journal at a time, as SQLite's lock makes sure; whoever opens
it finds its former owners dead. A world that is played on both is the same world, record for record.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from registry.base.clock import Clock
from runner.adapters.stores.memory import MemoryJournals
from runner.adapters.stores.sqlite import SqliteJournals
from runner.adapters.stores.sqlite_file import Lock, connect, connect_reader
from runner.adapters.stores.sqlite_ledger import Ledger
from runner.adapters.stores.sqlite_reads import Reads
from runner.adapters.stores.sqlite_writer import Writer
from runner.ports import Journals

T = TypeVar("T")

MEMORY, SQLITE = "memory", "sqlite"


class Shelf(Protocol):
    """Where the runs of one world lie."""

    async def open(self, owner: str) -> Journals:
        """A handle for a new incarnation."""
        ...

    def lose(self, owner: str) -> None:
        """The store takes an owner for dead."""
        ...

    def regain(self, owner: str) -> None:
        """An owner has beaten again."""
        ...

    async def close(self) -> None:
        """The world is over."""
        ...


class MemoryShelf:
    """Runs in memory. It has no leases of its own: who is dead is said by `lose`, or by the next to open (`alone`)."""

    def __init__(self, clock: Clock, *, alone: bool) -> None:
        self._memory = MemoryJournals(clock)
        self._alone = alone
        self._last: MemoryJournals | None = None

    async def open(self, owner: str) -> Journals:
        if self._alone and self._last is not None:
            await self._last.close()
        self._last = self._memory.sibling()
        await self._last.open(owner)
        return self._last

    def lose(self, owner: str) -> None:
        if not self._alone:
            self._memory._world.alive.discard(owner)

    def regain(self, owner: str) -> None:
        if not self._alone:
            self._memory._world.alive.add(owner)

    async def close(self) -> None:
        """Nothing is kept."""


class SqliteShelf:
    """Runs in a SQLite file, which one process has at a time."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / "journal.db"
        self._clock = clock
        self._last: ThreadlessJournals | None = None

    async def open(self, owner: str) -> Journals:
        await self.close()
        self._last = ThreadlessJournals(self._path, self._clock, name="simulator")
        await self._last.open(owner)
        return self._last

    def lose(self, owner: str) -> None:
        """The lock says who is dead, and the next one to open finds it free."""

    regain = lose

    async def close(self) -> None:
        if self._last is not None:
            await self._last.close()


class ThreadlessJournals(SqliteJournals):
    """The SQLite journal with everything done where it is asked for: no thread, no turn of the loop in between."""

    async def open(self, owner: str) -> None:
        self._owner = owner
        self._writer = writer = _ThreadlessWriter(
            self._path, self._clock, name=self._name, owner=owner, busy_timeout=self._busy_timeout
        )
        ns = await writer.open()
        self._connection = connect_reader(self._path, self._busy_timeout)
        self._reads = Reads(self._connection, ns)

    async def close(self) -> None:
        writer, connection = self._writer, self._connection
        self._writer = self._reads = self._connection = None
        if writer is not None and connection is not None:
            connection.close()
            await writer.close()

    async def _ask(self, question: Callable[[Reads], T]) -> T:
        if self._reads is None:
            raise self._closed()
        return question(self._reads)


class _ThreadlessWriter(Writer):
    """Each operation is a batch of its own, durable when `submit` returns."""

    async def open(self) -> int:
        self._lock = Lock(self._path)
        self._ledger = Ledger(connect(self._path, self._busy_timeout), self._clock, self._name, self._owner)
        return self._ledger.ns

    def submit(self, runs: Sequence[str], operation: Callable[[Ledger], T]) -> "asyncio.Future[T]":
        future: asyncio.Future[T] = self._loop.create_future()
        batch: list[Any] = [(future, runs, operation)]
        self._waiting += len(batch)
        self._deliver(self._perform(self._ledger, batch))
        return future

    async def close(self) -> None:
        self._ledger.close()
        self._lock.release()
