"""A part of the runner stands still while the rest goes on: its event loop hangs, its disk does not sync."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.serving import at_work
from tests.faults.world import LATE, Customers, Shop, judge, runner, shop
from tests.support.processes import PATIENCE_S, eventually, order

pytestmark = [pytest.mark.process, pytest.mark.fault]

#: Requests that services had since the orders came, when it stands still.
MOMENTS: Final = (4, 12, 24)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Shop]:
    with shop(tmp_path / "shop") as opened:
        yield opened


def verdict(customers: Customers, services: Shop, mark: int) -> None:
    customers.insist()
    judgement = judge(customers, services, mark)
    assert not judgement.wrong, "\n".join(judgement.wrong)
    assert judgement.ends["completed"] > 5
    assert judgement.ends["compensated"] > 3


def test_an_event_loop_that_hangs_for_longer_than_services_take_breaks_nothing(services: Shop, tmp_path: Path) -> None:
    """Answers have come meanwhile and timeouts have passed, and the loop sees both at once."""
    server = runner(tmp_path / "runner", services)
    mark, customers = services.mark(), Customers(server, "hung")

    def work(loop: asyncio.AbstractEventLoop) -> None:
        asking = customers.once()
        for least in MOMENTS:
            eventually(lambda least=least: services.mark() - mark > least)
            hung = threading.Event()

            def hang(hung: threading.Event = hung) -> None:
                threading.Event().wait(3 * LATE)  # nobody sets it
                hung.set()

            loop.call_soon_threadsafe(hang)
            assert hung.wait(PATIENCE_S)
        asking.join()
        verdict(customers, services, mark)

    at_work(server, work)


class Disk:
    """A disk that can be made to stand still."""

    def __init__(self) -> None:
        #: Cleared: whoever syncs waits until it is set.
        self.turning = threading.Event()
        self.turning.set()
        #: Somebody waits.
        self.waited_for = threading.Event()

    def connection(self) -> type[sqlite3.Connection]:
        """A connection to a database on this disk."""
        disk = self

        class OnDisk(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
                if sql == "COMMIT" and not disk.turning.is_set() and self._writes():
                    disk.waited_for.set()
                    assert disk.turning.wait(PATIENCE_S)
                return super().execute(sql, parameters)

            def _writes(self) -> bool:
                """Whether its commits are synced; those of who only reads have nothing to sync."""
                return not super().execute("PRAGMA query_only").fetchone()[0]

        return OnDisk


def test_nothing_is_answered_while_the_disk_does_not_sync_and_all_goes_on_when_it_does(
    services: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=disk.connection()))
    server = runner(tmp_path / "runner", services)
    mark, customers = services.mark(), Customers(server, "slow-disk")

    def work(_: asyncio.AbstractEventLoop) -> None:
        asking = customers.once()
        with ThreadPoolExecutor(1) as pool:
            for least in MOMENTS:
                eventually(lambda least=least: services.mark() - mark > least)
                disk.turning.clear()
                late = pool.submit(server.post, "/orders/once", order(f"late-{least}"), Prefer="respond-async")
                try:
                    assert disk.waited_for.wait(PATIENCE_S)
                    for _ in range(50):
                        assert server.ask("GET", "/health/live").status == 200, "it lives on"
                        server.runs()
                    told = server.ask("GET", "/ready")
                    assert (told.status, told.json["reason"]) == (503, "the journal does not answer")
                    assert not late.done(), "it may not say that it has what is not on disk"
                    asked = {run for (run,) in services.select("SELECT DISTINCT run FROM requests")}
                    assert asked <= {run["id"] for run in server.runs("?limit=1000")}, "nor act on it"
                finally:
                    disk.turning.set()
                    disk.waited_for.clear()
                answer = late.result()
                assert answer.status == 202
                assert server.run_when(answer.headers["x-saga-run"], "completed")
                assert server.ask("GET", "/ready").status == 200
        asking.join()
        verdict(customers, services, mark)

    at_work(server, work)
