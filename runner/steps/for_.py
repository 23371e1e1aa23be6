"""`for`: once per item, one after the other or side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from registry.base.values import Json
from runner.saga import budget, walking
from runner.saga.definition import Step
from runner.saga.expression import Expression, falsy
from runner.saga.fault import Fault
from runner.saga.shape import NAME, Bare, Either, Entry, Literal, Many, Record, Steps, Whole, Word
from runner.saga.state import State
from runner.saga.tree import Block, Spot

#: Items of one loop.
MOST_ITEMS = 10_000


@dataclass(slots=True)
class _Progress:
    """How far the loop has come."""

    #: None: turns without items, until `until` holds.
    items: Sequence[Json] | None
    #: More turns than fit into one window of snapshots.
    long: bool
    next: int = 0
    running: int = 0
    outputs: dict[int, Json] = field(default_factory=dict)
    faults: dict[int, Fault] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class For:
    """A loop over `items`, or up to `most` turns where there is no `in`."""

    each: str = ""
    #: An expression, or a literal list; None: no `in`.
    items: Expression | tuple[Json, ...] | None = None
    parallel: int = 1
    until: Expression | None = None
    #: `max`.
    most: int | None = None
    steps: tuple[Step, ...]

    KEY: ClassVar[str] = "for"
    SHAPE: ClassVar[Record] = Record(
        doc="The same steps for each item of a list; the output is the list of each item's last output.",
        keys={
            "each": Entry(
                shape=Word(pattern=NAME, told="a name"),
                doc="Name of the item in expressions; needed with `in`.",
            ),
            "in": Entry(
                shape=Either(of=(Bare(), Many(of=Literal(), empty=True))),
                doc="The list: an expression, or written out.",
            ),
            "parallel": Entry(shape=Whole(low=1, high=1000), doc="How many items run at once.", default="1"),
            "until": Entry(shape=Bare(), doc="Checked after each turn; not with `parallel`."),
            "max": Entry(shape=Whole(low=1, high=10_000), doc="Turns at most; spent without `until`: `exhausted`."),
            "steps": Entry(shape=Steps(), doc="Steps of one turn.", required=True),
        },
    )

    @classmethod
    def build(cls, v: Mapping[str, Any]) -> Self:
        items = v.get("in")
        return cls(
            each=v.get("each", ""),
            items=tuple(items) if isinstance(items, list | tuple) else items,
            parallel=v.get("parallel", 1),
            until=v.get("until"),
            most=v.get("max"),
            steps=v["steps"],
        )

    @property
    def effects(self) -> bool:
        return False

    @property
    def long(self) -> bool:
        """Whether it may have more turns than fit into one window of snapshots."""
        most = len(self.items) if isinstance(self.items, tuple) else self.most
        return most is None or most > budget.WINDOW

    @property
    def fewest(self) -> int:
        """Turns that it has at least, as far as the definition says."""
        return len(self.items) if isinstance(self.items, tuple) and self.until is None else 0

    def blocks(self) -> Iterable[tuple[Step, ...]]:
        return (self.steps,)

    def begin(self, run: State, spot: Spot) -> None:
        items = self.items(spot.scope) if isinstance(self.items, Expression) else self.items
        if self.items is not None and not isinstance(items, list | tuple):
            walking.fail(run, spot, Fault(kind="expression", detail=f"`in` must give a list; it gave {_kind(items)}"))
            return
        many = len(items) if items is not None else 0
        if many > MOST_ITEMS:
            walking.fail(
                run, spot, Fault(kind="exhausted", detail=f"{many} items; one `for` takes {MOST_ITEMS} at most")
            )
            return
        if self.until is None and self.most is not None and many > self.most:
            walking.fail(run, spot, Fault(kind="exhausted", detail=f"{many} items, and `max` is {self.most}"))
            return
        short = "" if self.until is not None else budget.shortage_of_loop(run, spot, many)
        if short:
            walking.fail(run, spot, Fault(kind="exhausted", detail=short))
            return
        turns = self.most if items is None else many
        spot.data = _Progress(items=items, long=turns is None or turns > budget.WINDOW)
        self._next(run, spot)

    def block_done(self, run: State, spot: Spot, block: Block) -> None:
        progress: _Progress = spot.data
        progress.running -= 1
        progress.outputs[block.index] = block.last
        if progress.long and budget.window_is_full(run, len(progress.outputs)):
            run.snapshot()
        if self.until is not None and not falsy(self.until(block.scope)):
            self._end(run, spot)
            return
        self._next(run, spot)

    def block_failed(self, run: State, spot: Spot, block: Block, fault: Fault) -> None:
        progress: _Progress = spot.data
        progress.running -= 1
        progress.faults[block.index] = fault
        self._next(run, spot)

    def _next(self, run: State, spot: Spot) -> None:
        """Begin the turns that may begin now, or end the loop."""
        progress: _Progress = spot.data
        items = progress.items
        while (
            not progress.faults and progress.running < self.parallel and (items is None or progress.next < len(items))
        ):
            if self.most is not None and progress.next == self.most:
                walking.fail(run, spot, Fault(kind="exhausted", detail=f"{self.most} turns, and `until` does not hold"))
                return
            self._turn(run, spot, progress)
        if progress.running == 0:
            self._end(run, spot)

    def _turn(self, run: State, spot: Spot, progress: _Progress) -> None:
        at = progress.next
        progress.next += 1
        progress.running += 1
        extra: dict[str, Json] = {"index": at}
        if progress.items is not None:
            extra[self.each] = progress.items[at]
        # One after the other, a turn reads its own and later steps as the turn before left them.
        before = dict(spot.blocks[-1].scope.names) if self.parallel == 1 and spot.blocks else {}
        scope = spot.scope.inner(names=before, extra=extra, index=at)
        walking.open_block(run, spot, str(at), self.steps, index=at, scope=scope)

    def _end(self, run: State, spot: Spot) -> None:
        progress: _Progress = spot.data
        if progress.faults:
            walking.fail(run, spot, progress.faults[min(progress.faults)])
        else:
            walking.done(run, spot, [progress.outputs[at] for at in range(progress.next)])


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    return {bool: "a flag", str: "a text", dict: "a mapping"}.get(type(value), "a number")
