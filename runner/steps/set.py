"""`set`: a value, computed."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from runner.saga import walking
from runner.saga.shape import Filled
from runner.saga.state import State
from runner.saga.template import Template
from runner.saga.tree import Spot
from runner.steps.leaf import Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Leaf):
    """A value from the context; pure, so it is never journaled."""

    value: Template

    KEY: ClassVar[str] = "set"
    SHAPE: ClassVar[Filled] = Filled()
    DOC: ClassVar[str] = "Any value; it is the step's output."

    @classmethod
    def build(cls, v: Any) -> Self:
        return cls(value=v)

    def begin(self, run: State, spot: Spot) -> None:
        walking.done(run, spot, self.value(spot.scope))
