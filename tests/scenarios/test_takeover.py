"""Runners that die again and again, and a runner that does not know that it is dead."""

import asyncio

import pytest

from runner.saga.journal import Begun, Unknown
from tests.scenarios.test_scenarios import scenario_of
from tests.support.playing import AFTER, Kill, Scenario, play
from tests.support.virtual_loop import Hang, VirtualClock, run_virtually


def one_call() -> Scenario:
    """A saga of one call."""
    step = {"name": "a", "call": {"service": "one", "path": "/a", "body": {}}, "compensate": "none"}
    return scenario_of({"name": "n", "rule": "r", "definition": {"steps": [step]}, "expect": {}}, "here")


def test_a_run_that_five_runners_died_over_is_left_to_a_person() -> None:
    outcome = run_virtually(lambda clock: play(one_call(), clock, Kill(position=0, moment=AFTER, heirs=5)))
    assert (outcome.status, outcome.reason) == ("parked", "poison")
    assert outcome.world.effects == {}


def test_a_run_that_four_runners_died_over_is_tried_once_more() -> None:
    outcome = run_virtually(lambda clock: play(one_call(), clock, Kill(position=0, moment=AFTER, heirs=4)))
    assert outcome.status == "completed"
    assert outcome.effects == ["a"]


def test_a_resend_after_a_crash_counts_no_attempt() -> None:
    outcome = run_virtually(lambda clock: play(one_call(), clock, Kill(position=0, moment=AFTER, heirs=2)))
    begun = [record for record in outcome.records if isinstance(record, Begun)]
    assert [record.attempt for record in begun] == [1, 1, 1, 1]
    assert len({record.digest for record in begun}) == 1
    assert all(record.crash for record in outcome.records if isinstance(record, Unknown))


def test_a_virtual_loop_says_when_nobody_will_ever_go_on() -> None:
    async def wait_for_nothing(clock: VirtualClock) -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Hang, match="for ever"):
        run_virtually(wait_for_nothing)


def test_a_virtual_hour_passes_at_once() -> None:
    async def sleep(clock: VirtualClock) -> float:
        before = clock.now()
        await asyncio.sleep(3600)
        return clock.now() - before

    assert run_virtually(sleep) == 3600
