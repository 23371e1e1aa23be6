"""The tree of a run while it is folded: frames (sagas), blocks (step lists), spots (one occurrence of a step).

These nodes are mutable because the fold owns them and nobody else writes them; everything they hold is decided by
definition and journal alone.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from registry.base.clock import iso
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


class Frame(msgspec.Struct, kw_only=True, eq=False):
    """One saga at work: the run itself, or a `run` step's child."""

    saga: Saga
    #: The run's id.
    run: str
    input: Json
    events: dict[str, Json]
    vars: Any
    #: When the run started, milliseconds.
    started_at: int
    #: The `run` step that this is the child of; None: the root.
    owner: "Spot | None"
    depth: int
    #: What its steps' paths begin with.
    prefix: str = ""
    #: The pivot is done: nothing in here is undone any more.
    forward_only: bool = False
    returned: bool = False
    settled: bool = False
    output: Json = None
    block: "Block" = None  # type: ignore[assignment]  # set by whoever makes the frame

    @property
    def meta(self) -> dict[str, Json]:
        """`saga`, as expressions see it."""
        return {
            "id": self.saga.id,
            "version": self.saga.version,
            "runId": self.run,
            "startedAt": iso(self.started_at / 1000),
        }

    @property
    def path(self) -> str:
        return "" if self.owner is None else self.owner.path


class Spot(msgspec.Struct, eq=False):
    """One occurrence of a step."""

    step: Step
    path: str
    block: "Block"
    scope: Scope
    begun_at: int
    phase: str = READY
    output: Json = None
    response: dict[str, Json] | None = None
    event: dict[str, Json] | None = None
    fault: Fault | None = None
    #: Attempts that have an outcome.
    attempts: int = 0
    #: Whether an attempt is journaled as about to be sent and has no outcome yet.
    begun: bool = False
    #: Sticks: an attempt's outcome is unknown.
    unknown: bool = False
    caught: bool = False
    #: Left unfinished because its block was halted.
    abandoned: bool = False
    digest: str | None = None
    #: The rendered request, kept to send the same bytes again.
    request: Request | StreamRecord | None = None
    #: When the first attempt was journaled.
    first_at: int | None = None
    #: What `maxDuration` counts from: the first attempt, or the first since an operator said to try again.
    since: int | None = None
    ended_at: int | None = None
    #: What a retry delay or a wait ends at.
    until: int | None = None
    #: Blocks opened by the verb, in declaration or index order.
    blocks: "list[Block]" = []
    catch_block: "Block | None" = None
    catch_at: int = -1
    undo: "Undo | None" = None
    #: The verb's own state.
    data: Any = None

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


class Block(msgspec.Struct, kw_only=True, eq=False):
    """A step list at work, one step after the other."""

    steps: tuple[Step, ...]
    #: Prefix of its spots' paths, ending in `/` (empty at the root).
    path: str
    scope: Scope
    #: The journal's direction.
    dir: str
    role: str
    owner: "Owner"
    #: Which of its owner's blocks it is: case, branch or item.
    index: int = 0
    at: int = 0
    spots: list[Spot] = []
    #: Output of the last step that ran.
    last: Json = None
    halted: bool = False

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
        if self.halted:
            return True
        at = self.above
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
