"""A saga while it is read: mutable, with its nodes still at hand, so that every check can point at what it means.

`SagaDraft` holds step lists (`StepList`) of `Draft`s, each of which holds the lists below it. An expression
that is read but not yet compiled is a `Hole` in the value that it belongs to.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from runner.definitions.node import Node
from runner.saga.shape import Shape

#: What a list of steps is to its owner.
MAIN: Final = "main"
CASE: Final = "case"
BRANCH: Final = "branch"
ITEM: Final = "item"
CATCH: Final = "catch"
UNDO: Final = "undo"

#: From where within its draft an expression looks.
AT_STEP: Final = "step"
AT_UNTIL: Final = "until"
AT_CATCH: Final = "catch"
#: Of the saga itself: before any step, or after all.
AT_START: Final = "start"
AT_END: Final = "end"


@dataclass(slots=True, eq=False)
class StepList:
    """A list of steps, or one step in its place."""

    role: str
    owner: "Draft | None"
    node: Node
    #: Where the built steps go.
    box: dict[Any, Any]
    key: Any
    #: How messages call the list: `ship.catch[0]`.
    place: str
    #: One step mapping stands in place of a list.
    alone: bool = False
    items: "list[Draft]" = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Draft:
    """One step. `box` holds what its keys say, the verb's value under the verb's word."""

    node: Node
    kind: str
    name: str
    segment: str
    place: str
    trail: tuple[str | None, ...]
    #: The lists from the saga's own down to the one that it stands in, each with the index on the way.
    chain: tuple[tuple[StepList, int], ...]
    box: dict[str, Any] = field(default_factory=dict)
    lists: list[StepList] = field(default_factory=list)
    catches: list[dict[str, Any]] = field(default_factory=list)

    @property
    def within(self) -> StepList:
        """The list that it stands in."""
        return self.chain[-1][0]

    @property
    def top(self) -> bool:
        """Whether it stands in the saga's own list."""
        return len(self.chain) == 1

    def under(self, role: str) -> bool:
        """Whether any list around it has this role."""
        return any(list_.role == role for list_, _ in self.chain)

    def lists_of(self, role: str) -> "list[StepList]":
        """Its own lists of this role."""
        return [list_ for list_ in self.lists if list_.role == role]

    @property
    def effects(self) -> bool:
        """Whether it may itself change something outside."""
        if self.kind == "call":
            value = self.box.get("call")
            method = value.get("method", "POST") if isinstance(value, dict) else "POST"
            return method not in ("GET", "HEAD")
        return self.kind == "emit"

    @property
    def pivot(self) -> bool:
        """Whether it says `pivot: true`."""
        return self.box.get("pivot") is True

    def inside(self) -> "Iterator[Draft]":
        """Every step below it, in the order in which they are written."""
        for list_ in self.lists:
            for item in list_.items:
                yield item
                yield from item.inside()


@dataclass(slots=True, eq=False)
class Site:
    """The place that an expression looks from."""

    mode: str
    draft: Draft | None = None
    #: Of a catch entry: its steps, which its `output` sees.
    steps: StepList | None = None


@dataclass(slots=True, eq=False)
class Hole:
    """An expression or template that is to be compiled into `box[key]`."""

    box: Any
    key: Any
    node: Node
    shape: Shape
    site: Site
    #: Compiled: which (step name, field) it reads, and which two-level context paths.
    steps: frozenset[tuple[str, str]] = frozenset()
    paths: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class SagaDraft:
    """One document as a saga. `box` holds what its header says, in the header's own words."""

    node: Node
    id: str
    version: int
    box: dict[str, Any] = field(default_factory=dict)
    main: StepList | None = None
    drafts: list[Draft] = field(default_factory=list)
    by_name: dict[str, Draft] = field(default_factory=dict)
    holes: list[Hole] = field(default_factory=list)
    #: What expressions read: fields by step name, and context paths.
    reads: dict[str, set[str]] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    #: Of a redirect: (id, version) of the saga whose steps run, and the roles of the hops behind the entry.
    executed: tuple[str, int] | None = None
    hop_roles: tuple[tuple[str, ...], ...] = ()

    @property
    def ref(self) -> str:
        """`id@version`."""
        return f"{self.id}@{self.version}"

    @property
    def file(self) -> str:
        """The file that it was read from."""
        return self.node.source.file

    @property
    def active(self) -> bool:
        """Whether it may take requests."""
        return bool(self.box.get("status", "active") == "active")

    @property
    def pivot(self) -> Draft | None:
        """The step that is the point of no return."""
        items = self.main.items if self.main is not None else ()
        return next((draft for draft in items if draft.pivot), None)

    def allowed_on(self, runner: str | None) -> bool:
        """Whether its `runners` take this runner; None is any."""
        runners = self.box.get("runners")
        return not runners or runner is None or runner in runners

    def runs(self) -> Iterator[Draft]:
        """Its `run` steps."""
        return (draft for draft in self.drafts if draft.kind == "run")
