"""`return`: the saga is completed, here."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from runner.saga import walking
from runner.saga.shape import Filled
from runner.saga.state import State
from runner.saga.template import Template
from runner.saga.tree import Spot
from runner.steps.leaf import Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Return(Leaf):
    """The output that the saga ends with."""

    value: Template

    KEY: ClassVar[str] = "return"
    SHAPE: ClassVar[Filled] = Filled()
    DOC: ClassVar[str] = "End the saga as completed with this output."

    @classmethod
    def build(cls, v: Any) -> Self:
        return cls(value=v)

    def begin(self, run: State, spot: Spot) -> None:
        walking.end_saga(run, spot, self.value(spot.scope))
