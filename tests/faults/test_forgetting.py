"""Ended runs are forgotten by a runner that never lives for long, and by one that has many to forget."""

import asyncio

import pytest

from registry.base.clock import ManualClock
from runner.adapters.stores.memory import MemoryJournals
from runner.engine.recover import SWEEP, SWEEP_EVERY
from runner.ports import Filter
from tests.contracts.journal_worlds import ended
from tests.runner.engine.door import door

pytestmark = pytest.mark.anyio

DEFINITION = """
id: a
path: /a
methods: [POST]
steps:
  - name: one
    set: 1
"""


async def test_a_runner_that_has_just_started_forgets_all_that_ended_long_ago() -> None:
    clock = ManualClock()
    journals = MemoryJournals(clock, name="shop")
    async with door(DEFINITION, journals=journals, clock=clock, keeping=False):
        for number in range(2 * SWEEP + 1):
            await ended(journals, f"r{number}")
    clock.advance(2 * SWEEP_EVERY)
    async with door(DEFINITION, journals=journals, clock=clock) as at:
        for _ in range(1_000):
            rows = (await journals.list(Filter(limit=1))).rows
            if not rows:
                break
            at.keeper.wake()
            await asyncio.sleep(0)
        assert not rows, "the clock has not moved since it started"
