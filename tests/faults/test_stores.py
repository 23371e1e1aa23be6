"""The journal's disk is full, another program has its file, its log is torn, its process stands still."""

import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.world import Customers, Shop, judge, runner, shop, start
from tests.support.processes import Server, eventually, order

pytestmark = [pytest.mark.process, pytest.mark.fault]

#: Holds the journal's write lock until its input ends.
HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Shop]:
    with shop(tmp_path / "shop") as opened:
        yield opened


@pytest.fixture
def server(tmp_path: Path, services: Shop) -> Iterator[Server]:
    """A runner that serves; killed at the end."""
    made = runner(tmp_path / "runner", services)
    try:
        assert start(made)
        yield made
    finally:
        if made.process is not None:
            made.kill()


def sizes(journal: Path) -> int:
    """Bytes of the journal's larger file."""
    return max(path.stat().st_size for path in (journal, Path(f"{journal}-wal")))


@contextlib.contextmanager
def full_disk(server: Server) -> Iterator[None]:
    """No file of the runner may grow any more: what a full disk does to it."""
    assert server.process is not None
    _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    journal = server.folder / "journal.db"
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (sizes(journal), most))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, most))


def refused(server: Server) -> bool:
    """Whether the runner says that its journal does not answer."""
    answer = server.post("/orders/place", order("asked-while-away"), Idempotency_Key="asked-while-away")
    if answer.status == 503:
        assert answer.json["code"] == "store-away", answer
    return answer.status == 503


def verdict(customers: Customers, services: Shop, mark: int) -> None:
    """All ask until answered, all comes to an end, and nothing is wrong."""
    customers.insist()
    judgement = judge(customers, services, mark)
    assert not judgement.wrong, "\n".join(judgement.wrong)
    assert judgement.ends["completed"] > 5
    assert judgement.ends["compensated"] > 3


def test_a_disk_that_fills_up_under_load_stops_the_runner_from_acknowledging_and_nothing_else(
    server: Server, services: Shop
) -> None:
    mark, customers = services.mark(), Customers(server, "full")
    asking = customers.once()
    eventually(lambda: services.mark() - mark > 8)
    with full_disk(server):
        eventually(lambda: refused(server))
        assert server.ask("GET", "/health/live").status == 200, "it lives on"
        answers = [server.post("/orders/once", order(f"full-{number}")) for number in range(20)]
        assert {answer.status for answer in answers} == {503}
    asking.join()
    verdict(customers, services, mark)


def test_a_runner_that_is_killed_with_its_disk_full_goes_on_when_there_is_room(server: Server, services: Shop) -> None:
    mark, customers = services.mark(), Customers(server, "full")
    asking = customers.once()
    eventually(lambda: services.mark() - mark > 8)
    with full_disk(server):
        eventually(lambda: refused(server))
        server.kill()
        asking.join()
        assert start(server)
    verdict(customers, services, mark)


def test_a_journal_that_another_program_locks_for_longer_than_its_patience_is_waited_for(
    server: Server, services: Shop
) -> None:
    mark, customers = services.mark(), Customers(server, "locked")
    asking = customers.once()
    eventually(lambda: services.mark() - mark > 8)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(server.folder / "journal.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        eventually(lambda: refused(server))
        assert holder.stdin is not None
        holder.stdin.close()
    asking.join()
    verdict(customers, services, mark)


@pytest.mark.parametrize("least", [4, 16, 30])
def test_a_copy_of_database_and_log_taken_in_mid_write_holds_every_run_that_was_answered(
    least: int, server: Server, services: Shop, tmp_path: Path
) -> None:
    """What a power cut leaves: the files of one instant, the log's last frame half written."""
    mark, customers = services.mark(), Customers(server, f"torn{least}")
    asking = customers.once()
    eventually(lambda: services.mark() - mark > least)
    server.signal(signal.SIGSTOP)
    copies = tmp_path / "copy"
    copies.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(server.folder / name, copies / name)
    with (copies / "journal.db-wal").open("ab") as log:
        log.write(os.urandom(2_000))
    server.kill()
    asking.join()
    fresh = runner(tmp_path / "fresh", services, journal=str(copies / "journal.db"))
    try:
        assert start(fresh)
        customers.server = fresh
        there = {run["id"] for run in fresh.runs("?limit=1000")}
        assert {run for told in customers.told.values() for run in told} <= there
        verdict(customers, services, mark)
    finally:
        fresh.kill()


def test_a_runner_that_stands_still_for_some_seconds_goes_on_where_it_was(server: Server, services: Shop) -> None:
    """Timeouts and waits pass meanwhile, and services give up on it."""
    mark, customers = services.mark(), Customers(server, "still")
    asking = customers.once()
    assert server.process is not None
    for least in (4, 12, 24):
        eventually(lambda least=least: services.mark() - mark > least)
        server.signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(2.5)
        server.signal(signal.SIGCONT)
    asking.join()
    verdict(customers, services, mark)


def test_the_journal_of_a_runner_that_was_killed_is_whole(server: Server, services: Shop) -> None:
    """SQLite's own check, after a kill in the middle of everything."""
    mark, customers = services.mark(), Customers(server, "whole")
    asking = customers.once()
    eventually(lambda: services.mark() - mark > 12)
    server.kill()
    asking.join()
    with contextlib.closing(sqlite3.connect(server.folder / "journal.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert start(server)
    verdict(customers, services, mark)
