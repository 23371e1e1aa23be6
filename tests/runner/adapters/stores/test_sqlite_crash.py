"""What is left of the SQLite journal when its process, its disk or its neighbours fail."""

import asyncio
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from registry.base.clock import ManualClock
from runner.adapters.stores.sqlite import SqliteJournals
from runner.ports import Filter, StoreUnavailable
from tests.contracts.journal_worlds import RUNNING, begun, copy_of, done, new_run, started
from tests.runner.adapters.stores import writing_process

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(path: Path, owner: str = "one", *, busy_timeout: float = 5.0) -> AsyncIterator[SqliteJournals]:
    journals = SqliteJournals(path, ManualClock(), name="shop", busy_timeout=busy_timeout)
    await journals.open(owner)
    try:
        yield journals
    finally:
        await journals.close()


def killed_after(lines: int, path: Path, owner: str) -> dict[str, int]:
    """Run the writing process, kill it once it has printed so much; what it was told of each run's length."""
    process = subprocess.Popen(
        [sys.executable, "-m", writing_process.__name__, str(path), owner, "16"],
        stdout=subprocess.PIPE,
        text=True,
    )
    acknowledged: dict[str, int] = {}
    with process, process.stdout as out:  # type: ignore[union-attr] # it is a pipe
        assert out.readline() == "open\n"
        for number, line in enumerate(out):
            if number == lines:
                process.send_signal(signal.SIGKILL)
            if line.endswith("\n"):  # the kill may cut the last one
                run, length = line.split()
                acknowledged[run] = int(length)
    assert process.returncode == -signal.SIGKILL
    return acknowledged


async def whole_runs(journals: SqliteJournals) -> dict[str, int]:
    """Length of every run there is; each has exactly the records that belong to it."""
    lengths: dict[str, int] = {}
    cursor: str | None = None
    for _ in range(1_000):
        page = await journals.list(Filter(cursor=cursor, limit=1_000))
        for row in page.rows:
            stored = await journals.read(row.id)
            assert stored is not None
            assert stored.row.length == len(stored.records)
            assert list(stored.records) == [writing_process.record(row.id, at) for at in range(row.length)]
            lengths[row.id] = row.length
        cursor = page.next
        if cursor is None:
            return lengths
    raise AssertionError("a list without end")


@pytest.mark.fault
@pytest.mark.process
async def test_nothing_that_was_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    acknowledged: dict[str, int] = {}
    for turn, lines in enumerate((1, 50, 400, 1_500)):
        acknowledged |= await asyncio.to_thread(killed_after, lines, path, f"killed{turn}")
        async with opened(path, f"next{turn}") as journals:
            found = await whole_runs(journals)
            assert {run: length for run, length in acknowledged.items() if found.get(run, 0) < length} == {}
            # Each writer may have had one more that was done, but not yet told.
            assert len(found) <= len(acknowledged) + 16 * (turn + 1)
            orphans = await journals.orphans(10_000)
            assert sorted(orphans) == sorted(found)
            claimed = await journals.claim(orphans[0])
            assert claimed is not None
            await journals.append(claimed.hold, [writing_process.record(orphans[0], claimed.hold.length)], RUNNING)


async def test_a_copy_with_a_torn_log_opens_with_what_its_log_still_has(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journals:
        for turn in range(20):
            hold = await started(journals, f"r{turn}")
            await journals.append(hold, [begun(t=turn), done(t=turn)], RUNNING)
        log = Path(f"{path}-wal").read_bytes()
        before = -1
        for number, size in enumerate(
            (0, 1, 31, 32, 33, 4_152, len(log) // 3, len(log) // 2 + 7, len(log) - 1, len(log))
        ):
            copy = tmp_path / f"copy{number}.db"
            shutil.copy(path, copy)
            Path(f"{copy}-wal").write_bytes(log[:size])
            async with opened(copy, "two") as torn:
                rows = (await torn.list(Filter())).rows
                assert [row.id for row in reversed(rows)] == [f"r{turn}" for turn in range(len(rows))]
                for row in rows:
                    stored = await torn.read(row.id)
                    assert stored is not None
                    assert list(stored.records[1:]) in (
                        [],
                        [begun(t=int(row.id[1:])), done(t=int(row.id[1:]))],
                    )
                await started(torn, "new")
            assert len(rows) >= before
            before = len(rows)
        assert before == 20


async def test_a_log_with_a_changed_byte_ends_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journals:
        for turn in range(20):
            await started(journals, f"r{turn}")
        log = bytearray(Path(f"{path}-wal").read_bytes())
        log[len(log) // 2] ^= 0xFF
        copy = tmp_path / "copy.db"
        shutil.copy(path, copy)
        Path(f"{copy}-wal").write_bytes(log)
    async with opened(copy, "two") as damaged:
        rows = (await damaged.list(Filter())).rows
        assert 0 < len(rows) < 20
        assert [row.id for row in reversed(rows)] == [f"r{turn}" for turn in range(len(rows))]


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file of this process grows beyond `room` bytes for a while, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_said_and_once_there_is_room_the_same_call_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journals:
        hold = await started(journals)
        other = await started(journals, "r2")
        size = Path(f"{path}-wal").stat().st_size
        big = b"x" * 100_000
        with full_disk(size + 20_000):
            answers = await asyncio.gather(
                journals.append(hold, [big], RUNNING),
                journals.append(other, [begun()], RUNNING),
                journals.create(new_run("r3"), RUNNING),
                return_exceptions=True,
            )
            assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
            assert str(path) in str(answers[0])
            assert (hold.length, other.length) == (1, 1)
            stored = await journals.read("r1")
            assert stored is not None
            assert stored.row.length == len(stored.records) == 1
            assert await journals.read("r3") is None
        await journals.append(hold, [big], RUNNING)
        await journals.append(other, [begun()], RUNNING)
        assert (await journals.create(new_run("r3"), RUNNING)).hold is not None
    async with opened(path, "two") as journals:
        stored = await journals.read("r1")
        assert stored is not None
        assert stored.records == (b'["S",1]', big)


@contextmanager
def another_writer(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program in the middle of a transaction, as an operator's shell would be."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    finally:
        connection.close()


async def test_a_database_that_is_locked_for_a_moment_refuses_all_and_then_takes_the_same(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, busy_timeout=0.01) as journals:
        hold = await started(journals)
        with another_writer(path):
            answers = await asyncio.gather(
                journals.append(hold, [begun()], RUNNING),
                journals.create(new_run("r2"), RUNNING),
                journals.claim("r1"),
                journals.ping(),
                return_exceptions=True,
            )
            assert [type(answer) for answer in answers] == [StoreUnavailable] * 4
            assert "Another program holds the database" in str(answers[0])
            assert (await journals.list(Filter())).rows[0].length == 1
        await journals.append(hold, [begun()], RUNNING)
        assert (await journals.create(new_run("r2"), RUNNING)).hold is not None
        await journals.ping()
        stored = await journals.read("r1")
        assert stored is not None
        assert stored.records == (b'["S",1]', begun())


async def test_a_write_waits_for_another_program_that_soon_ends(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, busy_timeout=60) as journals:
        hold = await started(journals)
        with another_writer(path):
            call = asyncio.ensure_future(journals.append(hold, [begun()], RUNNING))
            assert (await journals.list(Filter())).rows[0].length == 1
        await call
        assert hold.length == 2


async def test_what_another_program_changed_counts(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journals:
        hold = await started(journals)
        with another_writer(path) as other:
            other.execute("UPDATE runs SET owner = 'somebody', epoch = 7")
            other.execute("COMMIT")
        with pytest.raises(Exception, match="belongs to somebody at epoch 7"):
            await journals.append(copy_of(hold), [begun()], RUNNING)
