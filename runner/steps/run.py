"""`run`: another saga, inline, in the same journal."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from registry.base.values import merged
from runner.saga import walking
from runner.saga.definition import Step
from runner.saga.fault import Fault
from runner.saga.shape import Entry, Filled, Record, Word
from runner.saga.state import State
from runner.saga.template import Template
from runner.saga.tree import Block, Spot


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The saga to run (`child`, `child@2`) and its input (None: `{}`)."""

    saga: str
    input: Template | None = None

    KEY: ClassVar[str] = "run"
    SHAPE: ClassVar[Record] = Record(
        doc="Another saga as one step: a failing one undoes itself, a completed one is undone by cascade.",
        keys={
            "saga": Entry(
                shape=Word(pattern=r"[a-z][a-z0-9_-]*(@[0-9]+)?", told="a saga id, `id` or `id@version`"),
                doc="Id of the saga; `id@2` pins a version.",
                required=True,
            ),
            "input": Entry(shape=Filled(), doc="Its input.", default="{}"),
        },
    )

    @classmethod
    def build(cls, v: Mapping[str, Any]) -> Self:
        return cls(saga=v["saga"], input=v.get("input"))

    @property
    def effects(self) -> bool:
        return False

    def blocks(self) -> Iterable[tuple[Step, ...]]:
        return ()

    def begin(self, run: State, spot: Spot) -> None:
        saga = run.program.links[self.saga]
        given = {} if self.input is None else self.input(spot.scope)
        if saga.extra_payload is not None:
            if given is None:
                given = {}
            if not isinstance(given, dict):
                walking.fail(
                    run,
                    spot,
                    Fault(kind="validation", detail=f"{saga.id} has an extraPayload, so its input is a mapping"),
                )
                return
            given = merged(given, saga.extra_payload)
        walking.open_child(run, spot, saga, given)

    def block_done(self, run: State, spot: Spot, block: Block) -> None:
        raise AssertionError("a child saga ends as a saga, not as a block")

    def block_failed(self, run: State, spot: Spot, block: Block, fault: Fault) -> None:
        raise AssertionError("a child saga fails as a saga, not as a block")
