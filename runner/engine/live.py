"""A run in our hands: its state, the right to append to it, and what is under way for it."""

import asyncio
from collections import deque
from typing import Any, TypeAlias

from runner.engine.stretch import Stretch
from runner.ports import Hold, Unread
from runner.saga.advance import RunState
from runner.saga.definition import Program
from runner.saga.exchange import Request, StreamRecord
from runner.saga.fault import Fault
from runner.saga.journal import Ended, Record
from runner.saga.state import PIVOT_DONE, PIVOT_SENT
from runner.saga.tree import Spot


class Verdict:
    """What a run came to, as far as a caller has to know."""

    __slots__ = ("ended", "fault", "pivot_sent", "program", "status")

    def __init__(
        self, *, program: Program, status: str, ended: Ended | None, fault: Fault | None, pivot_sent: bool
    ) -> None:
        self.program = program
        self.status = status
        #: None: it parked, or went out of our hands.
        self.ended = ended
        self.fault = fault
        self.pivot_sent = pivot_sent


def verdict_of(state: RunState) -> Verdict:
    """The verdict of a state that has ended or parked, or is given away."""
    fault = state.turned.fault if state.turned is not None else None
    if fault is None and state.parks:
        spot = state.live.get(next(iter(state.parks)))
        fault = None if spot is None else spot.fault
    return Verdict(
        program=state.program,
        status=state.status,
        ended=state.ended,
        fault=fault,
        pivot_sent=state.pivot in (PIVOT_SENT, PIVOT_DONE),
    )


Waiter: TypeAlias = "asyncio.Future[Verdict]"


class Live:
    """One run that this process drives."""

    __slots__ = (
        "fault",
        "hold",
        "inbox",
        "pending",
        "results",
        "send",
        "state",
        "stretch",
        "taken",
        "task",
        "tasks",
        "timer",
        "unread_seen",
        "wake",
    )

    def __init__(self, state: RunState, hold: Hold | None) -> None:
        self.state = state
        #: None: the saga is not durable, nothing is journaled.
        self.hold = hold
        #: Applied, not yet appended.
        self.pending: list[Record] = []
        #: Appended since the last snapshot.
        self.stretch = Stretch()
        #: Attempts whose intent is in `pending`, to be sent once that is durable: spot, request, number.
        self.send: list[tuple[Spot, Request | StreamRecord, int]] = []
        #: Signals not yet merged.
        self.inbox: deque[Unread] = deque()
        #: Highest inbox number merged, and highest put into `inbox`.
        self.taken = 0
        self.unread_seen = 0
        #: Attempts on their way, by path, and the outcomes that have come in.
        self.tasks: dict[str, asyncio.Task[Record]] = {}
        self.results: deque[Record] = deque()
        #: An attempt's own fault, never a service's: it ends the driving.
        self.fault: BaseException | None = None
        self.timer: asyncio.TimerHandle | None = None
        #: Set while the driver waits for whatever comes first.
        self.wake: asyncio.Future[None] | None = None
        #: The task that drives it: its own, or a caller's.
        self.task: asyncio.Task[Any] | None = None

    def ring(self) -> None:
        """The timer has gone off. A loop may be a moment early, so only this says that it has, never its time."""
        self.timer = None
        self.rouse()

    def rouse(self) -> None:
        """Something has come: let the driver look."""
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)

    def hear(self, unread: tuple[Unread, ...]) -> None:
        """Take in signals of the inbox, each once."""
        for item in unread:
            if item.number > self.unread_seen:
                self.unread_seen = item.number
                self.inbox.append(item)
        self.rouse()
