"""What a check looks at: one saga as it will run, with what it refers to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from runner.definitions.draft import UNDO, Hole, SagaDraft
from runner.definitions.findings import Findings
from runner.definitions.node import TEXT
from runner.definitions.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One saga, redirect resolved."""

    saga: SagaDraft
    #: UNKNOWN for a saga that is not for this runner.
    world: World
    #: Run step by its identity -> the subject that it runs; one that cannot be resolved is absent.
    targets: "dict[int, Subject]" = field(default_factory=dict)

    def reach(self) -> "Iterator[Subject]":
        """Itself and every saga that it runs, each once."""
        seen: set[int] = set()
        waiting = [self]
        while waiting:
            subject = waiting.pop()
            if id(subject) not in seen:
                seen.add(id(subject))
                yield subject
                waiting.extend(subject.targets.values())

    @property
    def waits(self) -> bool:
        """Whether `wait` or `listen` occurs in it or in a saga that it runs."""
        return any(draft.kind in ("wait", "listen") for one in self.reach() for draft in one.saga.drafts)

    @property
    def effects(self) -> bool:
        """Whether it, or a saga that it runs, may change something outside on its way forward."""
        return any(draft.effects and not draft.under(UNDO) for one in self.reach() for draft in one.saga.drafts)

    def timeout(self, default: int) -> int | None:
        """Of the whole run, in milliseconds; None: no limit."""
        box = self.saga.box
        written = box.get("timeout")
        if isinstance(written, int):
            return written
        return None if "path" not in box or self.waits else default


#: Looks at one saga and adds what it finds.
Check: TypeAlias = Callable[[Subject, Findings], None]


def where(hole: Hole, words: str) -> int | None:
    """The offset of `words` in the hole's text, for a caret under them; None where it is no single text."""
    if hole.node.kind != TEXT:
        return None
    text: str = hole.node.value
    return max(text.find(words), 0)
