"""`raise`: the enclosing block fails with a type of the author's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from runner.saga import walking
from runner.saga.fault import Fault
from runner.saga.shape import Entry, Filled, FilledText, Record, Table, Whole, Word
from runner.saga.state import State
from runner.saga.template import Template, TextTemplate, texts
from runner.saga.tree import Spot
from runner.steps.leaf import Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise(Leaf):
    """The problem that the block ends in."""

    type: str
    title: TextTemplate | None = None
    status: int = 500
    detail: TextTemplate | None = None
    headers: Mapping[str, Template] = field(default_factory=dict)
    errors: Template | None = None

    KEY: ClassVar[str] = "raise"
    SHAPE: ClassVar[Record] = Record(
        doc="End the enclosing block as failed with this type.",
        keys={
            "type": Entry(
                shape=Word(), doc="A word of your own (or an absolute URI); `catch` names it.", required=True
            ),
            "title": Entry(shape=FilledText(), doc="One line for people."),
            "status": Entry(shape=Whole(low=400, high=599), doc="HTTP status of the reply.", default="500"),
            "detail": Entry(shape=FilledText(), doc="A sentence about this occurrence."),
            "headers": Entry(shape=Table(of=Filled()), doc="Headers of the reply; null ones are left out."),
            "errors": Entry(shape=Filled(), doc="List of `{pointer, detail}`."),
        },
    )

    @classmethod
    def build(cls, v: Mapping[str, Any]) -> Self:
        return cls(
            type=v["type"],
            title=v.get("title"),
            status=v.get("status", 500),
            detail=v.get("detail"),
            headers=v.get("headers", {}),
            errors=v.get("errors"),
        )

    def begin(self, run: State, spot: Spot) -> None:
        scope = spot.scope
        fault = Fault(
            kind=self.type,
            status=self.status,
            step=spot.step.place,
            title="" if self.title is None else self.title(scope),
            detail="" if self.detail is None else self.detail(scope),
            headers={name: ", ".join(values) for name, values in texts(self.headers, scope)},
            errors=None if self.errors is None else self.errors(scope),
            raised=True,
        )
        walking.fail(run, spot, fault)
