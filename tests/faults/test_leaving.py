"""A run that is given back while the journal does not answer is given back when it does."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from registry.base.clock import ManualClock
from runner.adapters.stores.sqlite import SqliteJournals
from runner.ports import StoreUnavailable
from tests.contracts.journal_worlds import started
from tests.faults.test_forgetting import DEFINITION
from tests.runner.engine.door import door

pytestmark = pytest.mark.anyio


async def test_a_run_left_alone_while_another_program_locks_the_journal_is_nobodys_afterwards(tmp_path: Path) -> None:
    clock = ManualClock()
    journals = SqliteJournals(tmp_path / "journal.db", clock, name="shop", busy_timeout=0.01)
    async with door(DEFINITION, journals=journals, clock=clock, keeping=False) as at:
        hold = await started(journals)
        with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            leaving = asyncio.create_task(at.driver.leave_alone(hold, "parked", "runner-fault", None))
            await asyncio.sleep(0)
            with pytest.raises(StoreUnavailable):  # asked after it, refused after it
                await journals.ping()
            other.execute("ROLLBACK")
        await leaving
        stored = await journals.read(hold.run)
        assert stored is not None
        assert (stored.row.status, stored.row.reason, stored.row.owner) == ("parked", "runner-fault", "")
