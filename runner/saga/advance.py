"""The fold: a run is a pure function of its definition and its journal.

`RunState.apply(record)` takes one fact and moves the tree on as far as it goes without the world: conditions, `set`,
`switch`, the next turn of a `for`. It costs the depth of the tree. `take()` gives the wishes that have newly come up,
`outstanding()` all that are open. Whoever performs a wish answers with a record, appends it, applies it, asks again.
`advance(program, run, records)` is the same from the beginning; starting, continuing, recovering, testing and
explaining a run are one call. So a crash is nothing special: the wishes of a state do not depend on how it was reached.

Four ideas carry the rest:

- **Blocks wait in an agenda**, not on the call stack: a loop of ten thousand turns is a loop here, too.
- **Decisions are owed.** Where the fold decides something that must be durable before it acts on it (a retry, a wait,
  a turn, the end), it wishes for a `Write` and goes on only when that very record is applied.
- **Unknown sticks.** Only a provable refusal takes a step off the undo list; see `undoing` for the order.
- **A halt** (cancel, timeout, fail-fast) lets what is in flight settle, abandons what merely waits, and then turns.

Nothing here knows the time: `now` is the time of the last record.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from runner.saga import budget, halting, steering, turning, undoing, walking
from runner.saga.attempts import Again, Fail, Park, Resend, decide
from runner.saga.command import Command, Write
from runner.saga.definition import Program
from runner.saga.fault import Fault
from runner.saga.journal import (
    CANCEL,
    FORWARD,
    TIMEOUT,
    UNDO,
    Begun,
    Done,
    Ended,
    Record,
    Refused,
    RetryPlanned,
    ScopeTurned,
    Signalled,
    Snapshot,
    Started,
    Turned,
    Unknown,
    Waiting,
)
from runner.saga.state import NO_PIVOT, PIVOT_SENT, JournalInvalid, State
from runner.saga.tree import ASKED, DELAY, WAITING, Block, Frame, Plan, Spot

#: Signals kept for a `listen` that has not begun.
MOST_SIGNALS = 1_000


class RunState(State):
    """A state that takes records."""

    __slots__ = ()

    def apply(self, record: Record) -> None:
        """Take one fact. Raises `JournalInvalid` where it cannot follow."""
        self.now = record.t
        if self.ended is not None:
            raise JournalInvalid(f"run {self.id}: nothing may follow the end, but {record!r} does")
        getattr(self, _TAKE[type(record)])(record)
        agenda = self.agenda
        while agenda:
            item = agenda.popleft()
            if isinstance(item, Block):
                walking.step(self, item)
            elif turning.pump(self, item):
                self._undone(item)

    def fire(self, key: str, now: int) -> list[Command]:
        """A timer has come: its wishes. A timer that is no longer wanted has none."""
        if key.startswith("!"):
            path = key[1:]
            if path not in self.deadlines or self.pivot != NO_PIVOT:
                return []
            return [Write(Signalled(t=now, id=f"timeout:{path}", name=TIMEOUT, body=path))]
        if self.timers.pop(key, None) is None:
            return []
        spot = self.spot(key)
        if spot.phase == DELAY:
            self.ask(spot)
            return self.take()
        if spot.step.verb.KEY == "listen":
            fault = Fault(kind="timeout", detail="no signal came in time", step=spot.step.place)
            return [Write(Refused(t=now, path=key, dir=spot.block.dir, fault=fault))]
        return [Write(Done(t=now, path=key, dir=spot.block.dir, output=None))]

    def _apply_started(self, record: Started) -> None:
        self.started = record
        self.stored = self.mark = 1
        self.root = walking.new_frame(self, self.program.saga, record.input, None, 0)
        if record.deadline is not None:
            self.limit(self.root, record.deadline)
        self.agenda.append(self.root.block)

    def _apply_retry(self, record: RetryPlanned) -> None:
        spot = self.spot(record.path)
        self.paid(RetryPlanned, record.path)
        if spot.block.dir != UNDO:
            self.stored += 1
        spot.phase, spot.until = DELAY, record.at
        self.arm(record.path, record.at)

    def _apply_turned(self, record: Turned) -> None:
        self.paid(Turned, "")
        self.turned = record
        plan = undoing.plan_for_frame(self.root)
        plan.cause, plan.then = record.fault, self.root
        self.agenda.append(plan)

    def _apply_ended(self, record: Ended) -> None:
        self.paid(Ended, "")
        self.ended = record
        self.timers.clear()
        self.deadlines.clear()

    def _apply_snapshot(self, record: Snapshot) -> None:
        for one in record.records:  # none where they have been applied: to whoever has it written it is empty
            self.apply(one)
        self.now = record.t
        self.owed.pop((Snapshot, ""), None)
        self.snapshots += 1
        self.stored = self.mark = self.mark + 1

    def _apply_begun(self, record: Begun) -> None:
        path = record.path
        spot = self.spot(path)
        forth = spot.block.dir
        if forth != UNDO:
            self.stored += 1
        spot.begun = True
        spot.phase = ASKED
        self.open[path] = spot
        if self.timers:
            self.timers.pop(path, None)
        if spot.first_at is None or spot.since is None:
            spot.since = record.t
            if spot.first_at is None:
                spot.first_at = record.t
        if spot.digest is None:
            spot.digest = record.digest
        if spot.step.pivot and forth == FORWARD and self.pivot == NO_PIVOT:
            self.pivot = PIVOT_SENT

    def _apply_done(self, record: Done) -> None:
        spot = self.spot(record.path)
        spot.attempts = record.attempt
        if record.status:
            spot.response = {"status": record.status, "headers": record.headers}
        if spot.block.dir == UNDO:
            turning.count_attempt(spot)
        else:
            self.stored += 1
        walking.done(self, spot, record.output)

    def _apply_failed(self, record: Refused | Unknown) -> None:
        spot = self.spot(record.path)
        fault = record.fault
        spot.begun = False
        self.open.pop(record.path, None)
        if spot.since is None:
            spot.since = record.t
        if isinstance(record, Unknown):
            spot.unknown = True
            if not record.crash:
                spot.attempts = record.attempt
        else:
            spot.attempts = record.attempt
        if fault.status:
            spot.response = {"status": fault.status, "headers": fault.headers}
        if spot.block.dir == UNDO:
            turning.count_attempt(spot)
        else:
            self.stored += 1
        spot.fault = fault
        if self.halted and spot.block.stopped:
            walking.fail(self, spot, fault)
            return
        match decide(spot, record, run=self.id, now=self.now):
            case Resend():
                self.ask(spot)
            case Again(at):
                self._again(spot, at)
            case Park(reason):
                self.park(spot, reason)
            case Fail(fault, settled):
                if settled:
                    spot.unknown = False
                walking.fail(self, spot, fault)
            case None:
                walking.done(self, spot, None)

    def _again(self, spot: Spot, at: int) -> None:
        """The next attempt is due at this time, where the record budget has room for it."""
        short = budget.shortage(self, spot, again=True) if self.reserved > budget.NEARLY_SPENT else ""
        if not short:
            spot.phase = DELAY
            planned = RetryPlanned(t=self.now, path=spot.path, dir=spot.block.dir, attempt=spot.attempts + 1, at=at)
            self.owe(planned, spot.path)
        elif spot.step.pivot and spot.block.dir == FORWARD and spot.unknown:
            self.park(spot, "pivot-unknown")
        else:
            walking.fail(self, spot, Fault(kind="exhausted", detail=short))

    def _apply_waiting(self, record: Waiting) -> None:
        spot = self.spot(record.path)
        self.paid(Waiting, record.path)
        self.stored += 1
        spot.phase, spot.until = WAITING, record.until
        if record.until is not None:
            self.arm(record.path, record.until)
        if record.signal is None:
            return
        # One that was merged after the listen began, but before this record, lies in the mailbox.
        kept = walking.heard(self, record.signal)
        if kept is not None:
            walking.deliver(self, spot, kept)
        else:
            self.listeners.setdefault(record.signal, deque()).append(spot)

    def _apply_signal(self, record: Signalled) -> None:
        if record.name == CANCEL:
            if self.pivot == PIVOT_SENT:
                self.cancel_asked = record
            elif self.cancellable:
                walking.halt_run(
                    self, "cancel", Fault(kind="cancelled", detail=record.reason or "cancelled on request")
                )
            return
        if record.name == TIMEOUT:
            self._apply_timeout(str(record.body))
            return
        if record.name in steering.NAMES:
            steering.steer(self, record)
            return
        if record.name == steering.RESUME:
            return
        waiting = self.listeners.get(record.name)
        while waiting:
            spot = waiting.popleft()
            if spot.phase == WAITING:
                walking.deliver(self, spot, record)
                return
        if self.kept < MOST_SIGNALS:
            self.kept += 1
            self.mailbox.setdefault(record.name, deque()).append(record)

    def _apply_timeout(self, path: str) -> None:
        frame = self.frames.get(path)
        if frame is None or self.pivot != NO_PIVOT or self.deadlines.pop(path, None) is None or frame.settled:
            return
        fault = Fault(kind="timeout", detail=f"{frame.saga.id} took longer than its timeout", step=frame.saga.id)
        if frame is self.root:
            walking.halt_run(self, "timeout", fault)
        elif not frame.block.stopped:
            halting.halt(self, [frame.block], fault, lambda: self._out_of_time(frame, fault), abort=True)

    def _out_of_time(self, frame: Frame, fault: Fault) -> None:
        """Nothing of a child is in flight any more; where more than it is halted meanwhile, that undoes it, too."""
        assert frame.owner is not None
        if not frame.owner.block.stopped:
            walking.saga_failed(self, frame, fault)

    def _apply_scope_turned(self, record: ScopeTurned) -> None:
        spot = self.spot(record.path)
        self.paid(ScopeTurned, record.path)
        plan = (
            undoing.plan_for_caught(spot) if spot.catch_at >= 0 else undoing.plan_for_frame(spot.blocks[-1].scope.frame)
        )
        plan.cause, plan.then = record.fault, spot
        self.agenda.append(plan)

    def _undone(self, plan: Plan) -> None:
        """A plan has come to its end: whoever waits for it goes on."""
        then = plan.then
        if isinstance(then, Plan):
            then.running -= 1
            self.agenda.append(then)
        elif isinstance(then, Spot):
            walking.scope_undone(self, then, plan)
        else:
            turning.end(self)


#: The method that takes each kind of record.
_TAKE: Final[dict[type[Record], str]] = {
    Started: "_apply_started",
    Begun: "_apply_begun",
    Done: "_apply_done",
    Refused: "_apply_failed",
    Unknown: "_apply_failed",
    RetryPlanned: "_apply_retry",
    Waiting: "_apply_waiting",
    Signalled: "_apply_signal",
    ScopeTurned: "_apply_scope_turned",
    Turned: "_apply_turned",
    Ended: "_apply_ended",
    Snapshot: "_apply_snapshot",
}


def advance(program: Program, run: str, records: Iterable[Record]) -> RunState:
    """The state of a run after these records, from the beginning."""
    state = RunState(program, run)
    for record in records:
        state.apply(record)
    state.take()
    return state
