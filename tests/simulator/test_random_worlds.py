"""Any saga in any world, on one runner: what fails is made small.

Hypothesis draws the definition, what each step's service does to each request, the input by the seed, where the
runner is killed, and what operators ask for; the judge is the simulator's, with every invariant that he has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.support.sim_chronicle import Chronicle
from tests.support.sim_definitions import Made, made_by
from tests.support.sim_judge import judge
from tests.support.sim_mutations import MUTATIONS
from tests.support.sim_operate import ACTIONS, LOOK
from tests.support.sim_plan import Plan
from tests.support.sim_run import simulate
from tests.support.sim_services import Weather
from tests.support.sim_witness import witness

#: What may come of a request.
WORDS = ("", "declined", "busy", "broken_before", "broken_after", "lost", "unanswered", "cut", "refused", "forbidden")
UNDO_WORDS = ("", "broken_before", "broken_after", "unanswered", "busy", "undo_refused")

SMALL = settings(
    max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
LARGE = settings(SMALL, max_examples=1_500)
#: What must have come up at least once in thousands of draws.
SOMETIMES = (
    *(f"{action} taken" for action in ACTIONS),
    *(f"{action} late" for action in ACTIONS),
    *(f"ended {how}" for how in ("completed", "compensated", "cancelled", "failed")),
    *(f"parked for {why}" for why in ("undo-exhausted", "pivot-unknown", "failed-after-pivot")),
    *(f"{verb} completed" for verb in ("call", "emit", "set", "switch", "fork", "for")),
    *(f"{verb} completed" for verb in ("wait", "listen", "run", "return")),
    "raise failed",
    "onFail started",
    "takeover",
    "takeover during undo",
    "unknown then refused",
    "caught by steps",
    "run inside a run",
    "undo skipped, in turn",
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Drawn:
    """A program, a plan for its world, and a seed for the rest."""

    made: Made
    plan: Plan
    seed: int

    def __repr__(self) -> str:
        plan = self.plan
        return (
            f"seed {self.seed}, killed at {sorted(plan.strikes)}, cancels {plan.cancels}, operators {plan.acts}, "
            f"script {dict(plan.script)}\n{self.made.text[:8_000]}"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


class Choices(Random):
    """Chance as Hypothesis would have it, in small whole numbers: they shrink well."""

    def __init__(self, draw: Callable[[st.SearchStrategy[int]], int]) -> None:
        super().__init__(0)
        self._draw = draw

    def random(self) -> float:
        return self._draw(st.integers(0, 19)) / 20

    def randint(self, a: int, b: int) -> int:
        return self._draw(st.integers(a, b))

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return self._draw(st.integers(0, start - 1))

    def choice(self, seq: Any) -> Any:
        return seq[self._draw(st.integers(0, len(seq) - 1))]


@st.composite
def worlds(draw: Any) -> Drawn:
    """One program and its world."""
    made = made_by(Choices(draw))
    script: dict[str, tuple[str, ...]] = {}
    for name, facts in made.facts.items():
        if facts.effects or facts.kind == "read":
            words = draw(st.lists(st.sampled_from(WORDS), max_size=3))
            undo = draw(st.lists(st.sampled_from(UNDO_WORDS), max_size=4))
            script |= {name: tuple(words)} if words else {}
            script |= {name + ".undo": tuple(undo)} if undo else {}
    plan = Plan(
        runners=1,
        runs=1,
        kills=0,
        pauses=0,
        outages=0,
        jumps=0,
        cancels=draw(st.sampled_from((0.0, 1.0))),
        operators=draw(st.sampled_from((0.0, 1.0))),
        acts=tuple(draw(st.lists(st.tuples(st.integers(0, 6), st.sampled_from((*ACTIONS, LOOK))), max_size=3))),
        storm=Weather,
        store=0.0,
        strikes=draw(st.frozensets(st.integers(1, 40), max_size=3)),
        script=script,
        programs=(made,),
    )
    return Drawn(made=made, plan=plan, seed=draw(st.integers(0, 20)))


def check(world: Drawn, seen: Chronicle) -> None:
    """Play one and judge it; what happened is counted into `seen`."""
    played = simulate(world.seed, world.plan)
    for told in played.runs.values():
        note("\n".join(map(repr, told.records)))
    witness(played, seen)
    wrong = judge(played)
    assert not wrong, "\n".join(wrong)


@SMALL
@given(worlds())
def test_any_saga_in_any_world_ends_as_its_services_and_journal_say(world: Drawn) -> None:
    check(world, Chronicle())


@pytest.mark.slow
def test_thousands_of_sagas_end_as_their_services_and_journals_say() -> None:
    seen = Chronicle()

    @LARGE
    @given(worlds())
    def each(world: Drawn) -> None:
        check(world, seen)

    each()
    print(", ".join(f"{what} {many}" for what, many in sorted(seen.seen.items())))
    never = [what for what in SOMETIMES if not seen.seen.get(what)]
    assert not never, f"never seen: {never}"


@pytest.mark.slow
def test_a_rule_that_is_switched_off_is_shown_by_a_small_world() -> None:
    """What Hypothesis hands out for a broken rule is small enough to read."""
    sizes: list[int] = []

    @settings(SMALL, max_examples=150, phases=(Phase.generate, Phase.shrink), print_blob=False)
    @given(worlds())
    def broken(world: Drawn) -> None:
        try:
            check(world, Chronicle())
        except AssertionError:
            sizes.append(len(world.made.facts))
            raise

    rule = next(one for one in MUTATIONS if one.name.startswith("R7"))
    assert rule.off is not None
    with rule.off(), pytest.raises(AssertionError):
        broken()
    assert sizes[-1] <= 6
