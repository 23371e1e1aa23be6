"""Worlds by seed: everything ends or parks as it must, whatever is killed, lost, doubled or away meanwhile.

To see one seed again: `judge(simulate(SEED))`.
"""

from collections.abc import Sequence

import pytest

from tests.support.sim_batch import Batch, play_batch
from tests.support.sim_operate import ACTIONS
from tests.support.sim_plan import Plan
from tests.support.sim_run import simulate

#: What must have happened at least once in a batch, or it has tested nothing.
SOMETIMES = (
    "fenced",
    "append sent twice",
    "claim sent twice",
    "create sent twice",
    "takeover",
    "takeover during undo",
    "crash between turn and first undo",
    "resent after crash",
    "unknown then refused",
    "$cancel during flight",
    "$cancel at rest",
    "$timeout during flight",
    "signal raced release",
    "signal to a released run",
    "signal through another runner",
    "barrier held",
    "scope turned",
    "turned by error",
    "turned by cancel",
    "turned by timeout",
    "retry planned",
    "retry planned for an undo",
    "held up",
    "doubled",
    "line cut",
    "answer of the store lost",
    "killed before the store",
    "killed behind the store",
    "killed behind a request",
    "paused before a request",
    "clock jumped",
    "retry taken",
    "skip taken",
    "retry late",
    "skip late",
    "$retry at rest",
    "onFail started",
    "left over",
    "ended completed",
    "ended compensated",
    "ended cancelled",
    "ended failed",
    "ended parked",
)
#: And of the language, in a large batch: every verb and how it may end, every rule about what failed.
OF_THE_LANGUAGE = (
    *(
        f"{verb} completed"
        for verb in ["call", "emit", "set", "switch", "fork", "for", "wait", "listen", "run", "return"]
    ),
    *(f"{verb} failed" for verb in ["call", "emit", "switch", "fork", "for", "wait", "listen", "run", "raise"]),
    *(f"{verb} skipped" for verb in ["call", "emit", "raise"]),
    *(f"refused {kind}" for kind in ["402", "403", "409", "422", "429", "unreachable", "timeout"]),
    *(f"unknown {kind}" for kind in ["500", "503", "timeout", "unreachable"]),
    *(
        f"failed with {kind}"
        for kind in ["402", "500", "timeout", "exhausted", "no-more", "gave-up", "changed-my-mind"]
    ),
    "caught by output",
    "caught by steps",
    "run inside a run",
    "unknown and not idempotent",
    "pivot completed",
    "pivot completed, once unknown",
    "pivot failed",
    "pivot skipped",
    "parked for undo-exhausted",
    "parked for pivot-unknown",
    "parked for failed-after-pivot",
    "undo completed, in turn",
    "undo completed, side by side",
    "undo skipped, in turn",
    "undo of two steps",
    "undo given up",
    "undo exhausted: continue",
    "undo exhausted: fail",
    *(f"{action} taken" for action in ACTIONS),
    *(f"{action} late" for action in ACTIONS),
    *(f"{action} ended" for action in ACTIONS),
    *(f"${action} at rest" for action in ACTIONS),
    *(f"${action} during flight" for action in ACTIONS),
)
#: One process at a time has the journal, as with SQLite.
IN_MEMORY = Plan(runners=1, alone=True)
IN_SQLITE = Plan(runners=1, alone=True, kept_in="sqlite")
#: Runs that cost their runners the life, again and again.
DEADLY = Plan(kills=60, deadly=0.1, pauses=0)
#: Runners that are stopped and started all the time.
ROLLING = Plan(drains=0.8, kills=1)
ROLLING_IN_SQLITE = Plan(drains=0.8, kills=1, runners=1, alone=True, kept_in="sqlite")


def holds(batch: Batch, sometimes: Sequence[str] = SOMETIMES) -> None:
    """No violation, and everything worth seeing was seen."""
    print(batch.sentence())
    print(", ".join(f"{what} {many}" for what, many in sorted(batch.seen.seen.items())))
    assert not batch.violations, batch.wrong()
    never = [what for what in sometimes if not batch.seen.seen.get(what)]
    assert not never, f"never seen in {batch.seeds} seeds: {never}"


def is_the_same_in_both_stores(seed: int) -> None:
    """A world in SQLite is, record for record, the one in memory."""
    memory, sqlite = simulate(seed, IN_MEMORY), simulate(seed, IN_SQLITE)
    assert {run: told.records for run, told in sqlite.known()} == {run: told.records for run, told in memory.known()}
    assert sqlite.chronicle.events == memory.chronicle.events
    assert sqlite.hash == memory.hash


def test_every_run_of_a_stormy_world_ends_as_its_services_and_journal_say() -> None:
    holds(play_batch(range(130)))  # as many as it takes to see everything


def test_every_run_of_a_stormy_world_in_sqlite_ends_as_its_services_and_journal_say() -> None:
    holds(play_batch(range(10), IN_SQLITE), ("takeover", "append sent twice", "ended compensated"))


def test_the_same_seed_is_the_same_world() -> None:
    for seed in range(5):
        first, again = simulate(seed), simulate(seed)
        assert first.chronicle.events == again.chronicle.events
        assert first.hash == again.hash
    assert simulate(0).hash != simulate(1).hash


def test_the_same_seed_is_the_same_world_in_memory_and_in_sqlite() -> None:
    for seed in range(5):
        is_the_same_in_both_stores(seed)


@pytest.mark.slow
def test_every_run_of_thousands_of_stormy_worlds_ends_as_its_services_and_journal_say() -> None:
    holds(play_batch(range(2_000)), SOMETIMES + OF_THE_LANGUAGE)


@pytest.mark.slow
def test_every_run_of_hundreds_of_stormy_worlds_in_sqlite_ends_as_its_services_and_journal_say() -> None:
    sometimes = set(SOMETIMES) - {"fenced", "signal through another runner"}
    holds(play_batch(range(10, 310), IN_SQLITE), sorted(sometimes))


@pytest.mark.slow
def test_hundreds_of_seeds_are_the_same_worlds_in_memory_and_in_sqlite() -> None:
    for seed in range(5, 205):
        is_the_same_in_both_stores(seed)


@pytest.mark.slow
def test_runs_that_cost_their_runners_the_life_are_left_to_a_person() -> None:
    holds(play_batch(range(150), DEADLY), ("parked for poison", "resume taken", "$resume at rest"))


@pytest.mark.slow
@pytest.mark.parametrize("plan", [ROLLING, ROLLING_IN_SQLITE], ids=["memory", "sqlite"])
def test_runners_that_are_stopped_in_good_order_leave_every_run_to_the_next(plan: Plan) -> None:
    holds(play_batch(range(80), plan), ("runner drained", "takeover", "takeover during undo", "ended compensated"))
