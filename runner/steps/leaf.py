"""What the verbs have in common that hold no steps of their own."""

from collections.abc import Iterable, Iterator, Mapping

from registry.base.values import Json
from runner.saga.definition import Step
from runner.saga.evaluation import ExpressionFailed
from runner.saga.fault import Fault
from runner.saga.functions_number import number_text
from runner.saga.scope import Scope
from runner.saga.state import State
from runner.saga.template import Template
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


def texts(table: Mapping[str, Template], scope: Scope) -> Iterator[tuple[str, list[str]]]:
    """Headers or query parameters as text: null ones are left out, lists repeat. Raises ExpressionFailed."""
    for name, template in table.items():
        value = template(scope)
        if value is None:
            continue
        items = value if isinstance(value, list) else [value]
        yield name, [text(item, name) for item in items if item is not None]


def text(value: Json, where: str) -> str:
    """A text, number or flag as text. Raises ExpressionFailed for null, lists and mappings."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    raise ExpressionFailed(f"`{where}` must come out as text, and it is {'null' if value is None else 'a structure'}")
