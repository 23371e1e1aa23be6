"""The judge before the judge: a world without one of the rules, and he has to find it."""

import pytest

from tests.support.sim_batch import hunt
from tests.support.sim_mutations import MUTATIONS, Mutation


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=[one.name for one in MUTATIONS])
def test_a_rule_that_is_switched_off_is_missed(mutation: Mutation) -> None:
    batch = hunt(mutation, enough=40, most=500)
    first = min(batch.violations, default=None)
    print(f"{mutation.name}: found in {len(batch.violations)} of {batch.seeds} seeds, first at {first}")
    print(batch.wrong())
    assert batch.violations, f"{mutation.name}: nothing found in {batch.seeds} seeds"


@pytest.mark.parametrize("mutation", MUTATIONS[:4], ids=[one.name for one in MUTATIONS[:4]])
def test_the_gravest_are_missed_soon(mutation: Mutation) -> None:
    assert hunt(mutation, enough=1, most=60).violations
