"""`switch`: the first case that holds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from runner.saga import walking
from runner.saga.definition import Step
from runner.saga.expression import Expression, falsy
from runner.saga.fault import Fault
from runner.saga.shape import Bare, Either, Entry, Many, Record, Steps
from runner.saga.state import State
from runner.saga.tree import Block, Spot


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case; `when` None is `otherwise`."""

    when: Expression | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """Cases in order; without a match it goes on with null."""

    cases: tuple[Case, ...]

    KEY: ClassVar[str] = "switch"
    #: A case has `when` and `steps`, or (the last one only) `otherwise`: the parser checks which.
    SHAPE: ClassVar[Many] = Many(
        of=Either(
            of=(
                Record(
                    doc="A case.",
                    keys={
                        "when": Entry(shape=Bare(), doc="Condition of the case."),
                        "steps": Entry(shape=Steps(), doc="Steps of the case."),
                        "otherwise": Entry(shape=Steps(), doc="Steps where no case before holds; last entry only."),
                    },
                ),
            )
        )
    )
    DOC: ClassVar[str] = "List of `{when, steps}`; the last may be `{otherwise: steps}`."

    @classmethod
    def build(cls, v: Sequence[Mapping[str, Any]]) -> Self:
        return cls(
            cases=tuple(
                Case(when=c.get("when"), steps=c["otherwise"] if "otherwise" in c else c.get("steps", ())) for c in v
            )
        )

    @property
    def effects(self) -> bool:
        return False

    def blocks(self) -> Iterable[tuple[Step, ...]]:
        return (case.steps for case in self.cases)

    def begin(self, run: State, spot: Spot) -> None:
        for at, case in enumerate(self.cases):
            if case.when is None or not falsy(case.when(spot.scope)):
                walking.open_block(run, spot, str(at), case.steps)
                return
        walking.done(run, spot, None)

    def block_done(self, run: State, spot: Spot, block: Block) -> None:
        walking.done(run, spot, block.last)

    def block_failed(self, run: State, spot: Spot, block: Block, fault: Fault) -> None:
        walking.fail(run, spot, fault)
