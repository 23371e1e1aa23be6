"""Worlds by seed: everything ends or parks as it must, whatever is killed, lost, doubled or away meanwhile.

To see one seed again: `judge(simulate(SEED))`.
"""

import pytest

from tests.support.sim_batch import Batch, play_batch
from tests.support.sim_run import simulate

#: What must have happened at least once in a batch, or it has tested nothing.
SOMETIMES = (
    "fenced",
    "takeover",
    "takeover during undo",
    "resent after crash",
    "unknown then refused",
    "$cancel during flight",
    "$cancel at rest",
    "$timeout during flight",
    "signal to a released run",
    "signal through another runner",
    "barrier held",
    "scope turned",
    "turned by error",
    "turned by cancel",
    "turned by timeout",
    "retry planned",
    "held up",
    "doubled",
    "line cut",
    "answer of the store lost",
    "killed before the store",
    "killed behind the store",
    "killed behind a request",
    "paused before a request",
    "clock jumped",
    "ended completed",
    "ended compensated",
    "ended cancelled",
    "ended failed",
    "ended parked",
)


def holds(batch: Batch) -> None:
    """No violation, and everything worth seeing was seen."""
    print(batch.sentence())
    print(", ".join(f"{what} {many}" for what, many in sorted(batch.seen.seen.items())))
    assert not batch.violations, batch.wrong()
    never = [what for what in SOMETIMES if not batch.seen.seen.get(what)]
    assert not never, f"never seen in {batch.seeds} seeds: {never}"


def test_every_run_of_a_stormy_world_ends_as_its_services_and_journal_say() -> None:
    holds(play_batch(range(60)))


def test_the_same_seed_is_the_same_world() -> None:
    for seed in range(5):
        first, again = simulate(seed), simulate(seed)
        assert first.chronicle.events == again.chronicle.events
        assert first.hash == again.hash
    assert simulate(0).hash != simulate(1).hash


@pytest.mark.slow
def test_every_run_of_thousands_of_stormy_worlds_ends_as_its_services_and_journal_say() -> None:
    holds(play_batch(range(2_500)))
