"""What the verbs have in common that hold no steps of their own."""

from collections.abc import Iterable

from runner.saga.definition import Step
from runner.saga.fault import Fault
from runner.saga.state import State
from runner.saga.tree import Block, Spot


class Leaf:
    """A verb without blocks and, unless it says otherwise, without effects."""

    __slots__ = ()

    @property
    def effects(self) -> bool:
        return False

    def blocks(self) -> Iterable[tuple[Step, ...]]:
        return ()

    def block_done(self, run: State, spot: Spot, block: Block) -> None:
        raise AssertionError(f"{spot.path} holds no steps, so none of them can end")

    def block_failed(self, run: State, spot: Spot, block: Block, fault: Fault) -> None:
        raise AssertionError(f"{spot.path} holds no steps, so none of them can fail")
