"""What only the SQLite journal owes: its file, its lock, its batches.

Long, because all of it goes in at the same door: its parts are not for use by themselves.
"""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path

import pytest

from registry.base.clock import ManualClock
from runner.adapters.stores import sqlite_writer
from runner.adapters.stores.sqlite import SqliteJournals
from runner.adapters.stores.sqlite_file import FORMAT
from runner.adapters.stores.sqlite_ledger import Ledger
from runner.ports import Claimed, Created, Fenced, Filter, Hold, StoreUnavailable
from tests.contracts.journal_worlds import (
    ENDED,
    RUNNING,
    begun,
    done,
    ended,
    new_run,
    signal,
    started,
    waiting,
)
from tests.runner.adapters.stores import writing_process

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def journals_at(path: Path) -> SqliteJournals:
    return SqliteJournals(path, ManualClock(), name="shop")


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("journal-")}


async def test_the_folder_is_made_and_nobody_else_may_read_the_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journals = journals_at(tmp_path / "deep" / "er" / "journal.db")
        await journals.open("one")
        await started(journals)
        files = sorted((tmp_path / "deep" / "er").iterdir())
        assert [file.name for file in files] == [
            "journal.db",
            "journal.db-shm",
            "journal.db-wal",
            "journal.db.lock",
        ]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        await journals.close()
    finally:
        os.umask(before)


async def test_closing_leaves_one_whole_file_and_no_thread(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    assert threads() == {"journal-writer", "journal-reader_0"}
    await started(journals)
    await journals.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["journal.db", "journal.db.lock"]
    assert threads() == set()


async def test_closing_writes_what_was_sent_before(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    calls = [asyncio.ensure_future(journals.create(new_run(f"r{number}"), RUNNING)) for number in range(700)]
    await asyncio.sleep(0)  # every call has been sent
    await journals.close()
    assert all(call.result().hold is not None for call in calls)
    again = journals_at(path)
    await again.open("two")
    assert len(await again.orphans(1_000)) == 700
    await again.close()


async def test_what_is_acknowledged_is_synced_into_the_log(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    connection = sqlite3.connect(path)
    with closing(connection):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    settings = await journals._to_writer().submit((), pragmas)  # no other way to see the writer's own connection
    assert settings == (2, 64 * 1024 * 1024)  # 2 is FULL
    await journals.close()


def pragmas(ledger: Ledger) -> tuple[int, int]:
    found = [ledger._connection.execute(f"PRAGMA {name}") for name in ("synchronous", "journal_size_limit")]
    return found[0].fetchone()[0], found[1].fetchone()[0]


async def test_a_second_opener_is_told_who_has_the_file(path: Path, tmp_path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    link = tmp_path / "link.db"
    link.symlink_to(path)
    for other in (path, link):
        with pytest.raises(StoreUnavailable, match=rf"in use by another runner \(process {os.getpid()}\)\. Stop"):
            await journals_at(other).open("two")
    await started(journals)
    await journals.close()


@pytest.mark.process
async def test_another_process_is_refused_while_one_has_the_file(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    other = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", writing_process.__name__, str(path), "two", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    await journals.close()
    assert other.returncode == 1
    assert other.stdout == ""
    assert f"in use by another runner (process {os.getpid()})" in other.stderr


async def test_a_newer_format_is_refused_and_left_alone(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    await started(journals)
    await journals.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(StoreUnavailable, match=f"has format {FORMAT + 1}.*knows formats up to {FORMAT}.*newer version"):
        await journals.open("two")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    await journals.open("two")
    assert await journals.orphans(10) == ("r1",)
    await journals.close()


async def test_a_journal_of_format_1_goes_on_and_takes_blobs(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    await started(journals)
    await journals.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE blobs; ALTER TABLE bundles DROP COLUMN put_at; PRAGMA user_version = 1;")
    await journals.open("two")
    claimed = await journals.claim("r1")
    assert claimed is not None
    assert (claimed.records, claimed.blobs) == ((b'["S",1]',), {})
    await journals.append(claimed.hold, [done()], RUNNING, blobs={"d1": b"body"})
    await journals.close()
    await journals.open("three")
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.blobs == {"d1": b"body"}
    await journals.close()


async def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(StoreUnavailable, match="another program's database"):
        await journals_at(path).open("one")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]


@pytest.fixture
def unusable(tmp_path: Path) -> dict[str, Path]:
    text = tmp_path / "notes.txt"
    text.write_text("this is no database, and it is long enough to be looked at as one\n" * 20)
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "file").touch()
    return {"text": text, "folder": folder, "below a file": tmp_path / "file" / "journal.db"}


@pytest.mark.parametrize("place", ["text", "folder", "below a file"])
async def test_what_cannot_be_a_journal_is_refused_with_its_path(unusable: dict[str, Path], place: str) -> None:
    with pytest.raises(StoreUnavailable, match=str(unusable[place])):
        await journals_at(unusable[place]).open("one")
    assert threads() == set()


async def in_one_batch(journals: SqliteJournals, *operations: Awaitable[object]) -> list[object]:
    """The answers to operations that share a transaction: all are sent while the writer is held up."""
    go_on = threading.Event()
    held_up = journals._to_writer().submit((), lambda ledger: go_on.wait(60))
    calls = [asyncio.ensure_future(operation) for operation in operations]
    await asyncio.sleep(0)  # every one has been sent
    go_on.set()
    assert await held_up
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_an_operation_that_cannot_be_stored_at_all_spoils_none_of_its_batch(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    hold = await started(journals, "r0")
    answers = await in_one_batch(
        journals,
        journals.create(new_run("r1"), RUNNING),
        journals.create(new_run("lone \ud800 surrogate"), RUNNING),
        journals.append(hold, [begun()], RUNNING),
        journals.create(new_run("r2", started_at=2**70), RUNNING),
        journals.append(Hold(run="r0", owner="zombie", epoch=1, length=1), [begun()], RUNNING),
        journals.signal("r1", signal()),
    )
    assert [type(answer).__name__ for answer in answers] == [
        "Created",
        "UnicodeEncodeError",
        "tuple",
        "OverflowError",
        "Fenced",
        "str",
    ]
    assert [row.id for row in (await journals.list(Filter())).rows] == ["r1", "r0"]
    assert hold.length == 2
    await journals.close()


async def test_an_append_is_judged_by_the_hold_as_it_was_when_it_was_sent(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    hold = await started(journals)
    both = await in_one_batch(
        journals,
        journals.append(hold, [begun()], RUNNING),
        moved_by_somebody(hold),
        journals.append(hold, [done()], RUNNING),
    )
    assert [type(answer).__name__ for answer in both] == ["tuple", "NoneType", "Fenced"]
    assert hold.length == 2
    await journals.close()


async def moved_by_somebody(hold: Hold) -> None:
    hold.length = 77


async def test_a_run_that_is_forgotten_and_born_again_in_one_batch_is_the_new_one(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    await ended(journals, "r1")
    found, gone, created, claimed = await in_one_batch(
        journals,
        journals.create(new_run("r1"), RUNNING),
        journals.sweep(2**53, 10),
        journals.create(new_run("r1", saga="refund"), RUNNING, start=False),
        journals.claim("r1"),
    )
    assert isinstance(found, Created)
    assert isinstance(created, Created)
    assert isinstance(claimed, Claimed)
    assert (found.existing is None, gone, created.existing) == (False, 1, None)
    assert claimed.row.saga == "refund"
    stored = await journals.read("r1")
    assert stored is not None
    assert (stored.row.saga, stored.records) == ("refund", (b'["S",1]',))
    await journals.close()


async def test_a_whole_life_in_one_batch_is_stored_as_it_was_lived(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    hold = Hold(run="r1", owner="one", epoch=1, length=1)
    later = Hold(run="r1", owner="one", epoch=2, length=2)
    answers = await in_one_batch(
        journals,
        journals.create(new_run("r1", labels={"tier": "gold"}), RUNNING),
        journals.signal("r1", signal()),
        journals.append(hold, [begun()], waiting(None), taken=1),
        journals.claim("r1"),
        journals.append(later, [done()], RUNNING),
    )
    claimed = answers[3]
    assert isinstance(claimed, Claimed)
    assert (claimed.records, claimed.unread, claimed.takeovers) == ((b'["S",1]', begun()), (), 1)
    assert answers[1:3] + answers[4:] == ["taken", (), ()]
    await journals.close()
    await journals.open("two")
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.records == (b'["S",1]', begun(), done())
    assert (stored.row.owner, stored.row.epoch, stored.row.status, stored.row.length) == (
        "one",
        2,
        "running",
        3,
    )
    assert await journals.due(2**53, 10) == ()
    await journals.close()


async def test_what_a_run_has_read_or_left_behind_takes_no_room(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    hold = await started(journals, labels={"tier": "gold", "shop": "west"})
    for number in range(3):
        await journals.signal("r1", signal(number))
    await journals.append(hold, [begun()], RUNNING, taken=2)
    with closing(sqlite3.connect(path)) as connection:
        bodies = connection.execute("SELECT body <> x'' FROM inbox ORDER BY number").fetchall()
        assert bodies == [(0,), (0,), (1,)]
        await journals.append(hold, [done()], ENDED)
        assert connection.execute("SELECT count(*) FROM inbox WHERE body <> x''").fetchone() == (0,)
        assert await journals.sweep(2**53, 10) == 1
        for table in ("runs", "records", "inbox", "labels"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    await journals.close()


async def test_operations_that_wait_together_are_one_commit(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    holds = await asyncio.gather(*(started(journals, f"r{number}") for number in range(200)))
    before = commits(path)
    await in_one_batch(journals, *(journals.append(hold, [begun()], RUNNING) for hold in holds))
    assert commits(path) - before == 1
    assert all(hold.length == 2 for hold in holds)
    await journals.close()


def commits(path: Path) -> int:
    """Commit marks in the log: the frame that ends a commit has the database's size in its header."""
    log = Path(f"{path}-wal").read_bytes()
    page = int.from_bytes(log[8:12])
    return sum(
        log[at + 4 : at + 8] != b"\0\0\0\0" and log[at + 8 : at + 16] == log[16:24]
        for at in range(32, len(log) - page, page + 24)
    )


async def test_batches_larger_than_a_statement_and_a_commit_are_whole(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    created = await asyncio.gather(
        *(journals.create(new_run(f"r{number}", labels={"n": str(number)}), RUNNING) for number in range(1_300))
    )
    holds = [answer.hold for answer in created if answer.hold is not None]
    assert len(holds) == 1_300
    await asyncio.gather(*(journals.append(hold, [begun(t=number)] * 3, RUNNING) for number, hold in enumerate(holds)))
    for number in (0, 127, 128, 511, 512, 1_299):
        stored = await journals.read(f"r{number}")
        assert stored is not None
        assert stored.records[1:] == (begun(t=number),) * 3
        assert stored.row.length == 4
        (row,) = (await journals.list(Filter(label=("n", str(number))))).rows
        assert row.id == f"r{number}"
    await journals.close()


async def test_more_operations_than_may_wait_are_refused_and_the_rest_is_done(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "_WAITING", 5)
    journals = journals_at(path)
    await journals.open("one")
    answers = await asyncio.gather(
        *(journals.create(new_run(f"r{number}"), RUNNING) for number in range(8)), return_exceptions=True
    )
    assert [isinstance(answer, StoreUnavailable) for answer in answers] == [False] * 5 + [True] * 3
    assert (await journals.create(new_run("r7"), RUNNING)).hold is not None
    await journals.close()


async def test_runs_that_are_in_nobodys_hand_take_no_memory(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    await started(journals, "mine")
    for number in range(20):
        await ended(journals, f"r{number}")
        await journals.create(new_run(f"waiting{number}"), RUNNING, start=False)
    kept = await journals._to_writer().submit((), lambda ledger: set(ledger._changes._entries))
    assert kept == {"mine"}
    await journals.close()


async def test_a_zombie_of_a_former_process_is_fenced(path: Path) -> None:
    journals = journals_at(path)
    await journals.open("one")
    hold = await started(journals)
    await journals.close()
    again = journals_at(path)
    await again.open("two")
    (run,) = await again.orphans(10)
    claimed = await again.claim(run)
    assert claimed is not None
    with pytest.raises(Fenced):
        await again.append(hold, [begun()], RUNNING)
    await again.append(claimed.hold, [begun()], RUNNING)
    await again.close()


async def test_an_opening_whose_caller_went_away_lets_the_file_go(path: Path) -> None:
    call = asyncio.ensure_future(journals_at(path).open("one"))
    await asyncio.sleep(0)  # it has begun
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    for thread in threading.enumerate():
        if thread.name == "journal-writer":
            await asyncio.to_thread(thread.join, 60)
    journals = journals_at(path)
    await journals.open("two")
    await journals.close()


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Filter(), "runs_started"),
        (Filter(saga="checkout"), "runs_saga"),
        (Filter(saga="checkout", status="completed"), "runs_saga"),
        (Filter(saga="checkout", status="parked"), "runs_status"),
        (Filter(status="completed"), "runs_status"),
        (Filter(label=("tier", "gold"), status="parked"), "SEARCH l USING PRIMARY KEY"),
    ],
)
async def test_a_list_walks_one_index_in_its_order(path: Path, wanted: Filter, index: str) -> None:
    journals = journals_at(path)
    await journals.open("one")
    assert journals._reads is not None
    query, values = journals._reads._question(wanted)
    with closing(sqlite3.connect(path)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", [*values, 10])]
    await journals.close()
    assert index in plan[0]
    assert not any("TEMP B-TREE" in line or line.startswith("SCAN") for line in plan)
