"""The thread that writes the SQLite journal: whatever came while the last commit ran goes into the next one.

While the disk syncs, the next batch gathers by itself; so one runner alone waits one sync per operation, and
five hundred at once wait one sync together. A batch is answered by one call into the event loop.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from registry.base.clock import Clock
from runner.adapters.stores.sqlite_file import Lock, connect, unavailable
from runner.adapters.stores.sqlite_ledger import Ledger
from runner.engine.killpoints import reached
from runner.ports import StoreError, StoreUnavailable

#: Operations of one commit.
_BATCH: Final = 512
#: Operations that may wait; more are refused.
_WAITING: Final = 10_000

_T = TypeVar("_T")
_Operation = tuple["asyncio.Future[Any]", Sequence[str], Callable[[Ledger], Any]]
_Answer = tuple["asyncio.Future[Any]", Any, Exception | None]


class Writer:
    """The thread and its queue. Public methods are the event loop's; lock and ledger are the thread's."""

    def __init__(self, path: Path, clock: Clock, *, name: str, owner: str, busy_timeout: float) -> None:
        self._path = path
        self._clock = clock
        self._name = name
        self._owner = owner
        self._busy_timeout = busy_timeout
        self._loop = asyncio.get_running_loop()
        #: None: no more will come.
        self._queue: SimpleQueue[_Operation | None] = SimpleQueue()
        self._waiting = 0
        self._opened: asyncio.Future[int] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        # A daemon, because a program that fails before `close` must be able to end; what was acknowledged is
        # on disk.
        self._thread = threading.Thread(target=self._work, name="journal-writer", daemon=True)

    async def open(self) -> int:
        """Start; the number of the runner's name in the file. Raises `StoreUnavailable`, `ValueError`."""
        self._thread.start()
        try:
            return await self._opened
        except asyncio.CancelledError:
            self._queue.put(None)
            raise
        except Exception:
            self._thread.join()  # to tell us was its last act
            raise

    def submit(self, runs: Sequence[str], operation: Callable[[Ledger], _T]) -> "asyncio.Future[_T]":
        """Have `operation` done, which asks for the entries of `runs`, in the order of submission.

        The answer comes once it is durable. Nobody needs to wait for it: it is done all the same. Raises
        `StoreUnavailable` where too many wait already.
        """
        if self._waiting >= _WAITING:
            raise StoreUnavailable(
                f"The journal {self._path} has {_WAITING} operations waiting and takes no more for now: "
                "its disk is too slow for what is asked of it."
            )
        future: asyncio.Future[_T] = self._loop.create_future()
        self._waiting += 1
        self._queue.put((future, runs, operation))
        return future

    async def close(self) -> None:
        """Do what was submitted, then close the file and let go of its lock."""
        self._queue.put(None)
        await self._closed
        self._thread.join()  # to tell us was its last act

    def _work(self) -> None:
        try:
            lock = Lock(self._path)
            try:
                connection = connect(self._path, self._busy_timeout)
                try:
                    ledger = Ledger(connection, self._clock, self._name, self._owner)
                except BaseException:
                    connection.close()
                    raise
            except BaseException:
                lock.release()
                raise
        except sqlite3.Error as error:
            self._tell(_settle, self._opened, None, unavailable(self._path, error))
            return
        except Exception as error:
            self._tell(_settle, self._opened, None, error)
            return
        self._tell(_settle, self._opened, ledger.ns, None)
        while (batch := self._gather()) is not None:
            reached("writer.gathered")
            answers = self._perform(ledger, batch)
            reached("writer.committed")
            self._tell(self._deliver, answers)
            reached("writer.told")
        try:
            ledger.close()
        finally:
            lock.release()
            self._tell(_settle, self._closed, None, None)

    def _gather(self) -> list[_Operation] | None:
        """Wait for one operation, take all that are there; None when the last has been had."""
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        with contextlib.suppress(Empty):
            while len(batch) < _BATCH:
                more = self._queue.get_nowait()
                if more is None:
                    self._queue.put(None)  # nothing comes after it, so it is found again next
                    break
                batch.append(more)
        return batch

    def _perform(self, ledger: Ledger, batch: list[_Operation]) -> list[_Answer]:
        """All of `batch` in one transaction; refusals are answers like others."""
        runs = [run for _, named, _ in batch for run in named]
        answers: list[_Answer] = []
        try:
            ledger.begin(runs)
            reached("writer.begun")
            for future, _, operation in batch:
                try:
                    answers.append((future, operation(ledger), None))
                except StoreError as refusal:
                    answers.append((future, None, refusal))
                reached("writer.operation")
            reached("writer.commit")
            ledger.commit(runs)
        except Exception as error:
            trouble = self._undo(ledger, error)
            if isinstance(trouble, StoreUnavailable):
                # Each its own, for an exception gathers the traces of all who raise it.
                return [(future, None, StoreUnavailable(*trouble.args)) for future, _, _ in batch]
            if len(batch) == 1:
                return [(batch[0][0], None, trouble)]
            # One of them cannot be stored at all (text that is no Unicode, a number beyond 64 bits): each by
            # itself.
            return [answer for operation in batch for answer in self._perform(ledger, [operation])]
        return answers

    def _undo(self, ledger: Ledger, error: Exception) -> Exception:
        """Roll back; `StoreUnavailable` where the store failed, `error` itself where an operation did.

        Going on after a failed sync is safe: the log's committed part was synced before, and what comes next
        overwrites the part that was not.
        """
        try:
            ledger.rollback()
        except sqlite3.Error as worse:
            return unavailable(self._path, worse)
        faulty = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
        if isinstance(error, sqlite3.Error) and not isinstance(error, faulty):
            return unavailable(self._path, error)
        return error

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        # The loop is closed where the program ended without closing the journal: there is nobody to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _deliver(self, answers: list[_Answer]) -> None:
        self._waiting -= len(answers)
        for answer in answers:
            _settle(*answer)
            reached("writer.deliver")


def _settle(future: "asyncio.Future[Any]", result: object, error: Exception | None) -> None:
    if future.done():  # its caller was cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
