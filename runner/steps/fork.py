"""`fork`: branches side by side."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from registry.base.values import Json
from runner.saga import halting, walking
from runner.saga.definition import Step
from runner.saga.fault import Fault
from runner.saga.shape import NAME, Entry, Flag, Record, Steps, Table
from runner.saga.state import State
from runner.saga.tree import Block, Spot


@dataclass(slots=True)
class _Progress:
    """How far the branches have come, by index."""

    left: int
    outputs: dict[int, Json] = field(default_factory=dict)
    faults: dict[int, Fault] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Branches by name, in declaration order."""

    branches: Mapping[str, tuple[Step, ...]]
    fail_fast: bool = False

    KEY: ClassVar[str] = "fork"
    SHAPE: ClassVar[Record] = Record(
        doc="Branches side by side; the output maps each branch to its last step's output.",
        keys={
            "branches": Entry(
                shape=Table(of=Steps(), key=NAME, most=256, empty=False),
                doc="Steps by branch name.",
                required=True,
            ),
            "failFast": Entry(
                shape=Flag(),
                doc="When a branch fails, start no new step in the others and abandon their waits.",
                default="false",
            ),
        },
    )

    @classmethod
    def build(cls, v: Mapping[str, Any]) -> Self:
        return cls(branches=v["branches"], fail_fast=v.get("failFast", False))

    @property
    def effects(self) -> bool:
        return False

    def blocks(self) -> Iterable[tuple[Step, ...]]:
        return self.branches.values()

    def begin(self, run: State, spot: Spot) -> None:
        spot.data = _Progress(left=len(self.branches))
        for at, (name, steps) in enumerate(self.branches.items()):
            walking.open_block(run, spot, name, steps, index=at, scope=spot.scope.inner())

    def block_done(self, run: State, spot: Spot, block: Block) -> None:
        spot.data.outputs[block.index] = block.last
        self._settled(run, spot)

    def block_failed(self, run: State, spot: Spot, block: Block, fault: Fault) -> None:
        progress: _Progress = spot.data
        first = not progress.faults
        progress.faults[block.index] = fault
        if not self.fail_fast:
            self._settled(run, spot)
        elif first:
            others = [other for other in spot.blocks if other is not block]
            halting.halt(run, others, fault, lambda: self._fail(run, spot))

    def _settled(self, run: State, spot: Spot) -> None:
        progress: _Progress = spot.data
        progress.left -= 1
        if progress.left:
            return
        if progress.faults:
            self._fail(run, spot)
        else:
            walking.done(run, spot, {name: progress.outputs[at] for at, name in enumerate(self.branches)})

    def _fail(self, run: State, spot: Spot) -> None:
        faults: dict[int, Fault] = spot.data.faults
        walking.fail(run, spot, faults[min(faults)])
