"""Many simulated worlds in a row, and what came of them."""

import hashlib
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field

from tests.support.sim_chronicle import Chronicle
from tests.support.sim_judge import judge
from tests.support.sim_mutations import Mutation
from tests.support.sim_plan import USUAL, Plan
from tests.support.sim_run import simulate
from tests.support.sim_witness import witness


@dataclass(slots=True, kw_only=True)
class Batch:
    """What a batch came to."""

    seeds: int = 0
    runs: int = 0
    #: Seed -> what was wrong.
    violations: dict[int, list[str]] = field(default_factory=dict)
    seen: Chronicle = field(default_factory=Chronicle)
    hash: str = ""

    def sentence(self) -> str:
        """One line for people."""
        ends = ", ".join(f"{many} {what[6:]}" for what, many in sorted(self.seen.seen.items()) if what[:6] == "ended ")
        return (
            f"{self.seeds} seeds, {self.runs} runs ({ends}), {len(self.violations)} seeds with a violation; "
            f"hash {self.hash}"
        )

    def wrong(self) -> str:
        """The first violations, each with the seed that shows it again."""
        return "\n".join(
            f"seed {seed}: {text}" for seed, all_ in list(self.violations.items())[:5] for text in all_[:4]
        )


def play_batch(seeds: Iterable[int], plan: Plan = USUAL) -> Batch:
    """Play these seeds and judge each."""
    batch, hashed = Batch(), hashlib.sha256()
    for seed in seeds:
        played = simulate(seed, plan)
        hashed.update(played.hash.encode())
        batch.seeds += 1
        batch.runs += len(played.runs)
        wrong = judge(played)
        if wrong:
            batch.violations[seed] = wrong
        witness(played, batch.seen)
    batch.hash = hashed.hexdigest()[:16]
    return batch


def hunt(mutation: Mutation, *, enough: int, most: int) -> Batch:
    """Play seeds without a rule: `enough` of them, and on to `most` while nothing was found."""
    batch = Batch()
    plan = Plan(barrier=mutation.off is not None)
    while batch.seeds < enough or (not batch.violations and batch.seeds < most):
        with mutation.off() if mutation.off is not None else nullcontext():
            played = simulate(batch.seeds, plan)
            wrong = judge(played)
        if wrong:
            batch.violations[batch.seeds] = wrong
        batch.seeds += 1
        batch.runs += len(played.runs)
    return batch
