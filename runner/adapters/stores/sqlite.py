"""The journal of one machine: one SQLite file, one process, durable at every answer.

A commit is a sync of the disk, so operations share commits (`sqlite_writer`); what they share in a transaction
is judged in memory and written in few statements (`sqlite_ledger`); questions go beside the writer
(`sqlite_reads`); a lock on the file proves former owners dead, so their runs are to be had at once
(`sqlite_file`).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from registry.base.clock import Clock
from runner.adapters.stores.sqlite_file import connect_reader, unavailable
from runner.adapters.stores.sqlite_ledger import Ledger
from runner.adapters.stores.sqlite_reads import Reads
from runner.adapters.stores.sqlite_writer import Writer
from runner.engine.killpoints import reached
from runner.ports import (
    NO_BLOBS,
    Blobs,
    Claimed,
    Compaction,
    Created,
    Filter,
    Hold,
    NewRun,
    Note,
    Page,
    Signal,
    Stored,
    StoreUnavailable,
    Unread,
)

#: Runs that one transaction of a sweep forgets, so that appends do not wait for long.
_SWEEP: Final = 100
#: Questions that may wait.
_QUESTIONS: Final = 1_000

_T = TypeVar("_T")


class SqliteJournals:
    """`Journals` in the file at `path`, for runners called `name`.

    The folder is made where there is none; the file's mode is 0600; `<path>-wal`, `<path>-shm` and
    `<path>.lock` belong to it. The file system must be a local one. `busy_timeout`: seconds that a write
    waits for another program that writes the database, before it is `StoreUnavailable`.
    """

    def __init__(self, path: str | Path, clock: Clock, *, name: str, busy_timeout: float = 5.0) -> None:
        # Two names of one file are one file, and have one lock.
        self._path = Path(path).resolve()
        self._clock = clock
        self._name = name
        self._busy_timeout = busy_timeout
        self._owner = ""
        self._writer: Writer | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._reads: Reads | None = None
        self._connection: sqlite3.Connection | None = None
        self._asked = 0

    async def open(self, owner: str) -> None:
        """Raises `StoreUnavailable` where another process has the file or it is not to be used (the sentence
        says why), `ValueError` where `owner` has been an owner before."""
        if self._writer is not None:
            raise StoreUnavailable(f"The journal {self._path} is already open: close it first.")
        writer = Writer(self._path, self._clock, name=self._name, owner=owner, busy_timeout=self._busy_timeout)
        ns = await writer.open()
        reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal-reader")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(
                reader, connect_reader, self._path, self._busy_timeout
            )
        except BaseException:
            reader.shutdown(wait=False)
            await writer.close()
            raise
        self._owner, self._writer, self._reader = owner, writer, reader
        self._connection, self._reads = connection, Reads(connection, ns)
        reached("sqlite.opened")

    async def close(self) -> None:
        """Write what was submitted and let the file go; closing twice does nothing."""
        writer, reader, connection = self._writer, self._reader, self._connection
        self._writer = self._reader = self._reads = self._connection = None
        if writer is None or reader is None or connection is None:
            return
        # The reader first: the last connection to close folds the log into the database.
        await asyncio.get_running_loop().run_in_executor(reader, connection.close)
        reader.shutdown(wait=False)
        await writer.close()

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(self._busy_timeout + 1):
                await self._to_writer().submit((), _nothing)
        except TimeoutError:
            raise StoreUnavailable(f"The journal {self._path} does not answer in time: look at its disk.") from None

    async def put_bundle(self, digest: str, body: bytes) -> None:
        await self._to_writer().submit((), lambda ledger: ledger.put_bundle(digest, body))

    async def get_bundle(self, digest: str) -> bytes | None:
        return await self._ask(lambda reads: reads.bundle(digest))

    async def create(self, new: NewRun, note: Note, *, start: bool = True) -> Created:
        return await self._to_writer().submit((new.id,), lambda ledger: ledger.create(new, note, start))

    async def append(
        self,
        hold: Hold,
        records: Sequence[bytes],
        note: Note,
        *,
        blobs: Blobs = NO_BLOBS,
        compaction: Compaction | None = None,
        taken: int = 0,
        spawn: Sequence[tuple[NewRun, Note]] = (),
    ) -> tuple[Unread, ...]:
        # As it is now: the caller's hold may move on before the writer comes to it.
        fence = Hold(run=hold.run, owner=hold.owner, epoch=hold.epoch, length=hold.length)
        stored, born = tuple(records), tuple(spawn)
        runs = (hold.run, *(new.id for new, _ in born)) if born else (hold.run,)
        unread = await self._to_writer().submit(
            runs, lambda ledger: ledger.append(fence, stored, note, blobs, compaction, taken, born)
        )
        reached("sqlite.appended")
        hold.length = fence.length + len(stored)
        return unread

    async def claim(self, run: str) -> Claimed | None:
        return await self._to_writer().submit((run,), lambda ledger: ledger.claim(run))

    async def due(self, now: int, limit: int) -> tuple[str, ...]:
        return await self._ask(lambda reads: reads.due(now, limit))

    async def next_due(self) -> int | None:
        return await self._ask(Reads.next_due)

    async def orphans(self, limit: int) -> tuple[str, ...]:
        return await self._ask(lambda reads: reads.orphans(self._owner, limit))

    async def signal(self, run: str, signal: Signal) -> str:
        return await self._to_writer().submit((run,), lambda ledger: ledger.signal(run, signal))

    async def heartbeat(self) -> tuple[Unread, ...]:
        """The lock on the file is the beat; this only asks for signals."""
        return await self._ask(lambda reads: reads.unread(self._owner))

    async def read(self, run: str) -> Stored | None:
        return await self._ask(lambda reads: reads.stored(run))

    async def list(self, wanted: Filter) -> Page:
        """Raises `ValueError` where the cursor is none of a list."""
        return await self._ask(lambda reads: reads.page(wanted))

    async def sweep(self, ended_before: int, limit: int) -> int:
        gone = 0
        while gone < limit:
            size = min(_SWEEP, limit - gone)
            count = await self._to_writer().submit(
                "", partial(Ledger.sweep_runs, ended_before=ended_before, limit=size)
            )
            gone += count
            if count < size:
                break
        reached("sqlite.sweep")
        await self._to_writer().submit((), partial(Ledger.sweep_bundles, put_before=ended_before))
        return gone

    def _to_writer(self) -> Writer:
        if self._writer is None:
            raise self._closed()
        return self._writer

    async def _ask(self, question: Callable[[Reads], _T]) -> _T:
        reads, reader = self._reads, self._reader
        if reads is None or reader is None:
            raise self._closed()
        if self._asked >= _QUESTIONS:
            raise StoreUnavailable(f"The journal {self._path} has {_QUESTIONS} questions waiting: ask again later.")
        self._asked += 1
        try:
            answer = await asyncio.get_running_loop().run_in_executor(reader, question, reads)
            reached("sqlite.asked")
            return answer
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error
        finally:
            self._asked -= 1

    def _closed(self) -> StoreUnavailable:
        return StoreUnavailable(f"The journal {self._path} is not open: open it first, and use it before it is closed.")


def _nothing(ledger: Ledger) -> None:
    """The operation that shows that transactions are to be had."""
