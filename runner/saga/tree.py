"""The tree of a run while it is folded: frames (sagas), blocks (step lists), spots (one occurrence of a step).

These nodes are mutable because the fold owns them and nobody else writes them; everything they hold is decided by
definition and journal alone.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from registry.base.values import Json
from runner.saga.definition import Saga, Step
from runner.saga.exchange import Request, StreamRecord
from runner.saga.fault import Fault
from runner.saga.scope import Scope

# Phases of a spot.
READY: Final = "ready"  # about to begin
ASKED: Final = "asked"  # an attempt is wished for, or on its way
DELAY: Final = "delay"  # the next attempt has its time
WAITING: Final = "waiting"  # for a time or a signal
INNER: Final = "inner"  # blocks below it are at work
UNDOING: Final = "undoing"  # what is below it is being undone, before a catch entry or a child's refusal
CATCHING: Final = "catching"  # a catch entry is at work
PARKED: Final = "parked"  # a person is needed
COMPLETED: Final = "completed"
SKIPPED: Final = "skipped"
FAILED: Final = "failed"

SETTLED: Final = frozenset({COMPLETED, SKIPPED, FAILED})


class Frame:
    """One saga at work: the run itself, or a `run` step's child."""

    __slots__ = (
        "block",
        "depth",
        "events",
        "forward_only",
        "input",
        "meta",
        "output",
        "owner",
        "prefix",
        "returned",
        "run",
        "saga",
        "settled",
        "vars",
    )

    def __init__(
        self,
        *,
        saga: Saga,
        run: str,
        input: Json,  # noqa: A002 - the word of the language
        event: dict[str, Json],
        vars: Any,  # noqa: A002 - the word of the language
        meta: dict[str, Json],
        owner: "Spot | None",
        depth: int,
    ) -> None:
        self.saga = saga
        self.run = run
        self.input = input
        self.events = event
        self.vars = vars
        self.meta = meta
        #: The `run` step that this is the child of; None: the root.
        self.owner = owner
        self.depth = depth
        self.prefix = "" if owner is None else owner.path + "/"
        self.block: Block
        #: The pivot is done: nothing in here is undone any more.
        self.forward_only = False
        self.returned = False
        self.settled = False
        self.output: Json = None

    @property
    def path(self) -> str:
        return "" if self.owner is None else self.owner.path


class Spot:
    """One occurrence of a step."""

    __slots__ = (
        "abandoned",
        "after",
        "attempts",
        "begun",
        "begun_at",
        "block",
        "blocks",
        "catch_at",
        "catch_block",
        "caught",
        "data",
        "digest",
        "ended_at",
        "event",
        "fault",
        "first_at",
        "output",
        "path",
        "phase",
        "request",
        "response",
        "scope",
        "since",
        "step",
        "undo",
        "unknown",
        "until",
    )

    def __init__(self, step: Step, path: str, block: "Block", now: int) -> None:
        self.step = step
        self.path = path
        self.block = block
        self.scope = block.scope
        self.phase = READY
        self.output: Json = None
        self.response: dict[str, Json] | None = None
        self.event: dict[str, Json] | None = None
        self.fault: Fault | None = None
        #: Attempts that have an outcome.
        self.attempts = 0
        #: Whether an attempt is journaled as about to be sent and has no outcome yet.
        self.begun = False
        #: Sticks: an attempt's outcome is unknown.
        self.unknown = False
        self.caught = False
        #: Left unfinished because its block was halted.
        self.abandoned = False
        self.digest: str | None = None
        #: The rendered request, kept to send the same bytes again.
        self.request: Request | StreamRecord | None = None
        self.begun_at = now
        #: When the first attempt was journaled.
        self.first_at: int | None = None
        #: What `maxDuration` counts from: the first attempt, or the first since an operator said to try again.
        self.since: int | None = None
        self.ended_at: int | None = None
        #: What a retry delay or a wait ends at.
        self.until: int | None = None
        self.after: int | None = None
        #: Blocks opened by the verb, in declaration or index order.
        self.blocks: list[Block] = []
        self.catch_block: Block | None = None
        self.catch_at = -1
        self.undo: Undo | None = None
        #: The verb's own state.
        self.data: Any = None

    @property
    def frame(self) -> Frame:
        return self.scope.frame

    @property
    def status(self) -> str:
        return self.phase if self.phase in SETTLED else "running"

    @property
    def undone(self) -> bool:
        return self.undo is not None and self.undo.status == COMPLETED

    def stretch(self) -> "Iterator[Block]":
        """Every block directly below, in the order in which they ran."""
        yield from self.blocks
        if self.catch_block is not None:
            yield self.catch_block


# Whom a block answers to.
SAGA: Final = "saga"
VERB: Final = "verb"
CATCHER: Final = "catcher"
UNDOER: Final = "undoer"


class Block:
    """A step list at work, one step after the other."""

    __slots__ = ("at", "dir", "halted", "index", "last", "owner", "path", "role", "scope", "spots", "steps")

    def __init__(
        self,
        *,
        steps: tuple[Step, ...],
        path: str,
        scope: Scope,
        dir: str,  # noqa: A002 - the journal's word
        role: str,
        owner: "Owner",
        index: int = 0,
    ) -> None:
        self.steps = steps
        #: Prefix of its spots' paths, ending in `/` (empty at the root).
        self.path = path
        self.scope = scope
        self.dir = dir
        self.role = role
        self.owner = owner
        #: Which of its owner's blocks it is: case, branch or item.
        self.index = index
        self.at = 0
        self.spots: list[Spot] = []
        #: Output of the last step that ran.
        self.last: Json = None
        self.halted = False

    @property
    def above(self) -> "Block | None":
        """The block that this one is inside of, undo blocks aside."""
        owner = self.owner
        if isinstance(owner, Spot):
            return owner.block
        if isinstance(owner, Frame) and owner.owner is not None:
            return owner.owner.block
        return None

    @property
    def undo(self) -> "Undo | None":
        """The undo that this block is part of."""
        at: Block | None = self
        while at is not None:
            if isinstance(at.owner, Undo):
                return at.owner
            at = at.above
        return None

    @property
    def stopped(self) -> bool:
        """Whether it, or a block around it, starts no new step."""
        at: Block | None = self
        while at is not None:
            if at.halted:
                return True
            at = at.above
        return False


class Undo:
    """The undo of one spot."""

    __slots__ = ("attempts", "block", "ended_at", "fault", "plan", "spot", "started_at", "status")

    def __init__(self, spot: Spot, plan: "Plan", now: int) -> None:
        self.spot = spot
        self.plan = plan
        self.status = "running"
        self.started_at = now
        self.ended_at: int | None = None
        self.attempts = 0
        self.fault: Fault | None = None
        self.block: Block


class Plan:
    """What is to be undone in one frame, in order, and how far that has come."""

    __slots__ = ("at", "cause", "entries", "frame", "over", "running", "stopped", "then")

    def __init__(self, frame: Frame, entries: "list[Spot | Plan]") -> None:
        self.frame = frame
        self.entries = entries
        self.at = 0
        self.running = 0
        #: `onExhausted: fail` was met.
        self.stopped = False
        self.over = False
        self.cause: Fault | None = None
        #: The spot (a caught step, a failed child) or the frame (the run) that waits for the end of it.
        self.then: Spot | Frame | Plan | None = None

    def paths(self) -> Iterator[str]:
        """Every path to undo, in order."""
        for entry in self.entries:
            if isinstance(entry, Spot):
                yield entry.path
            else:
                yield from entry.paths()


Owner: TypeAlias = Frame | Spot | Undo
