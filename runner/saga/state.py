"""The state of one run: what its journal has told so far, and what it asks of the world by that.

Only data and the questions put to it are here; what moves it on is in `advance` (records), `walking` (steps),
`turning` (undo) and `halting`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from runner.saga.command import Arm, Attempt, Command, Write
from runner.saga.definition import Program
from runner.saga.fault import Fault
from runner.saga.journal import (
    UNDO,
    Ended,
    Record,
    RetryPlanned,
    Signalled,
    Snapshot,
    Started,
    Turned,
    UndoError,
    Unknown,
    Waiting,
)
from runner.saga.scope import key_of, undo_key, whole_key
from runner.saga.tree import ASKED, DELAY, PARKED, Block, Frame, Plan, Spot, Undo

NO_PIVOT, PIVOT_SENT, PIVOT_DONE = "none", "sent", "done"


class JournalInvalid(Exception):
    """A record that cannot follow what is before it: the journal is not one of this definition."""


@dataclass(slots=True)
class Halt:
    """What is still in flight below halted blocks, and what happens then."""

    pending: set[Spot]
    then: Callable[[], None]


class State:
    """One run, as far as its journal tells. Not thread-safe; one writer."""

    __slots__ = (
        "agenda",
        "begun",
        "cancel_asked",
        "deadlines",
        "ended",
        "exact",
        "frames",
        "halted",
        "halts",
        "id",
        "kept",
        "listeners",
        "live",
        "mailbox",
        "mark",
        "now",
        "open",
        "out",
        "owed",
        "parks",
        "pivot",
        "program",
        "root",
        "snapshots",
        "started",
        "stored",
        "timers",
        "turned",
        "undo_errors",
        "undone",
        "undos",
    )

    def __init__(self, program: Program, run: str) -> None:
        self.program = program
        self.id = run
        #: Time of the last record, milliseconds.
        self.now = 0
        self.started: Started | None = None
        self.ended: Ended | None = None
        self.turned: Turned | None = None
        self.root: Frame
        self.pivot = NO_PIVOT
        #: Attempts wished for or on their way, by path.
        self.open: dict[str, Spot] = {}
        #: Every spot that a record may name next, by path.
        self.live: dict[str, Spot] = {}
        #: Due times of waits and retries by path, and of sagas' timeouts by frame path.
        self.timers: dict[str, int] = {}
        self.deadlines: dict[str, int] = {}
        #: Why spots are parked, by path.
        self.parks: dict[str, str] = {}
        self.undo_errors: list[UndoError] = []
        self.undone = 0
        #: Every undo, in the order in which they began.
        self.undos: list[Undo] = []
        self.mailbox: dict[str, deque[Signalled]] = {}
        self.listeners: dict[str, deque[Spot]] = {}
        #: Decisions that wait to be durable, by kind and path.
        self.owed: dict[tuple[type, str], Write] = {}
        #: Wishes since the last `take`.
        self.out: list[Command] = []
        #: Blocks and plans that go on next.
        self.agenda: deque[Block | Plan] = deque()
        self.halts: list[Halt] = []
        #: Whether anything was ever halted: else nobody needs to look.
        self.halted = False
        #: Every saga of the run by the path of its `run` step; the root's is empty.
        self.frames: dict[str, Frame] = {}
        #: A cancel that waits for the pivot to be settled.
        self.cancel_asked: Signalled | None = None
        #: Signals in `mailbox`.
        self.kept = 0
        #: Steps begun so far.
        self.begun = 0
        #: Records so far that count against the budget, and how many it were at the last snapshot.
        self.stored = 0
        self.mark = 0
        #: Snapshots so far.
        self.snapshots = 0
        #: Whether anything has asked how far attempts had come: a halt, or a budget that is spent. Snapshots then keep
        #: every record, so that it would be told the same again.
        self.exact = False

    def take(self) -> list[Command]:
        """The wishes that came up since the last `take`."""
        out = self.out
        self.out = []
        return out

    def outstanding(self) -> list[Command]:
        """All wishes that are open, for one who takes the run over. Attempts that are journaled as begun are not
        among them: their outcome is unknown, and a record must say so first (see `interrupted`)."""
        self.out = []
        out: list[Command] = list(self.owed.values())
        out += [Attempt(spot.path, spot.block.dir, spot.attempts + 1) for spot in self.open.values() if not spot.begun]
        out += [Arm(path, at) for path, at in self.timers.items()]
        out += [Arm("!" + path, at) for path, at in self.deadlines.items()]
        return out

    def interrupted(self) -> list[Unknown]:
        """For each attempt that was open when its runner died: the record that says so, to be dated and appended."""
        return [
            Unknown(
                t=self.now,
                path=spot.path,
                dir=spot.block.dir,
                attempt=spot.attempts + 1,
                crash=True,
                fault=Fault(
                    kind="timeout",
                    detail="the runner stopped while this was on its way",
                    step=spot.step.place,
                ),
            )
            for spot in self.open.values()
            if spot.begun
        ]

    @property
    def status(self) -> str:
        """running, waiting, compensating, parked, or the end's own word."""
        if self.ended is not None:
            return self.ended.status
        if self.open or self.owed:
            return "running" if self.turned is None else "compensating"
        if not self.timers and self.parks:
            return "parked"
        return "waiting" if self.turned is None else "compensating"

    @property
    def reason(self) -> str:
        """Why it is parked or what it waits for; empty otherwise."""
        status = self.status
        if status == "parked":
            path, reason = next(iter(self.parks.items()))
            return f"{reason}: {path}"
        if status == "waiting":
            return "; ".join(
                f"{spot.path} waits for signal {spot.step.verb.signal}"  # type: ignore[attr-defined]
                if spot.step.verb.KEY == "listen"
                else f"{spot.path} waits for its next attempt"
                if spot.phase == DELAY
                else f"{spot.path} waits for its time"
                for spot in list(self.live.values())[:3]
            )
        return ""

    @property
    def quiet(self) -> bool:
        """Nothing is in flight or owed: only time or a signal moves it on."""
        return not self.open and not self.owed and self.ended is None

    @property
    def next_at(self) -> int | None:
        """The earliest due time, milliseconds."""
        times = list(self.timers.values())
        if self.pivot == NO_PIVOT:
            times += self.deadlines.values()
        return min(times, default=None)

    @property
    def cancellable(self) -> bool:
        """Whether `cancel` may still turn it, now or once the pivot in flight is settled."""
        turning = self.turned is not None or (Turned, "") in self.owed or (Ended, "") in self.owed
        return self.ended is None and not turning and not self.root.block.halted and self.pivot != PIVOT_DONE

    @property
    def reserved(self) -> int:
        """Records that count against the budget: those that are there, and two for each step that is under way."""
        return self.stored + 2 * len(self.live)

    def dissolve(self) -> None:
        """Cut the circles of the tree, so that it goes without the garbage collector. Only for one that has ended and
        that nobody reads any more."""
        blocks = [self.root.block]  # those of child sagas are below it
        while blocks:
            block = blocks.pop()
            for spot in block.spots:
                if spot.blocks:
                    blocks += spot.blocks
                    spot.blocks = []
                if spot.catch_block is not None:
                    blocks.append(spot.catch_block)
                if spot.undo is not None:
                    blocks.append(spot.undo.block)
                    spot.undo = None
            block.spots = []
            block.scope.names.clear()
            del block.owner
        for frame in self.frames.values():
            del frame.block
        self.frames.clear()

    def key(self, spot: Spot) -> str:
        """The idempotency key of a spot's requests."""
        if spot.block.dir == UNDO:
            return undo_key(self.id, spot.path)
        step = spot.step
        if step.spelled and not spot.scope.frame.prefix:
            return whole_key(self.id, step.spelled)
        return key_of(self.id, spot.path)

    def spot(self, path: str) -> Spot:
        """The open spot that a record names. Raises JournalInvalid."""
        spot = self.live.get(path)
        if spot is None:
            raise JournalInvalid(f"run {self.id}: a record names {path!r}, where nothing is open")
        return spot

    def ask(self, spot: Spot) -> None:
        """Wish for the spot's next attempt."""
        spot.phase = ASKED
        self.live[spot.path] = spot
        self.open[spot.path] = spot
        self.out.append(Attempt(spot.path, spot.block.dir, spot.attempts + 1))

    def park(self, spot: Spot, reason: str) -> None:
        """The spot waits for a person."""
        spot.phase = PARKED
        self.live[spot.path] = spot
        self.open.pop(spot.path, None)
        self.parks[spot.path] = reason

    def leave(self, spot: Spot) -> None:
        """The spot has an end, or none any more: nothing is expected of the world."""
        path = spot.path
        self.live.pop(path, None)
        self.open.pop(path, None)
        if self.timers or self.parks or self.owed:
            self.timers.pop(path, None)
            self.parks.pop(path, None)
            self.owed.pop((Waiting, path), None)
            self.owed.pop((RetryPlanned, path), None)
        spot.begun = False
        spot.request = None
        spot.ended_at = self.now
        if spot.step.name:
            spot.scope.names[spot.step.name] = spot

    def owe(self, record: Record, path: str) -> None:
        """Wish for a record that must be durable before anything follows from it."""
        write = Write(record)
        self.owed[(type(record), path)] = write
        self.out.append(write)

    def snapshot(self) -> None:
        """Wish for a snapshot."""
        if (Snapshot, "") not in self.owed:
            self.owe(Snapshot(t=self.now), "")

    def owes(self, write: Write) -> bool:
        """Whether this very wish still stands: a halt drops those of what it abandons."""
        record = write.record
        return self.owed.get((type(record), getattr(record, "path", ""))) is write

    def paid(self, kind: type, path: str) -> None:
        """A record that was wished for has come. Raises JournalInvalid where it was not."""
        if self.owed.pop((kind, path), None) is None:
            raise JournalInvalid(f"run {self.id}: {kind.__name__} of {path!r} is not what follows here")

    def arm(self, path: str, at: int) -> None:
        """The spot at `path` waits for this time."""
        self.timers[path] = at
        self.out.append(Arm(path, at))

    def limit(self, frame: Frame, at: int) -> None:
        """The saga may take until this time."""
        self.deadlines[frame.path] = at
        self.out.append(Arm("!" + frame.path, at))
