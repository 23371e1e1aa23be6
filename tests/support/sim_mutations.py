"""Every safety rule, switched off by itself: what the judge must find, or he is no judge.

The product has no such switches. Each of these puts another function in the place of one of its own for as long as the
`with` lasts.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import msgspec

from runner.adapters.stores.entry import Entry
from runner.engine.drive import Driver
from runner.engine.live import Live
from runner.engine.perform import Performer
from runner.ports import Hold, Note
from runner.saga import attempts, turning, undoing, walking
from runner.saga.advance import RunState
from runner.saga.attempts import Fail
from runner.saga.command import Attempt, Command
from runner.saga.exchange import Request, StreamRecord
from runner.saga.journal import Ended, Refused, Unknown
from runner.saga.state import PIVOT_DONE, State
from runner.saga.tree import COMPLETED, Block, Frame, Plan, Spot


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One rule without which something must go wrong."""

    name: str
    #: Makes the product, while it lasts, break the rule. None: a service breaks it.
    off: Callable[[], Any] | None


@contextmanager
def _takeover_trusts_what_is_open() -> Iterator[None]:
    """R6 off: who takes over sends again, and forgets that the first copy may have had its effect."""
    outstanding = State.outstanding

    def all_open(self: State) -> list[Command]:
        begun = [spot for spot in self.open.values() if spot.begun]
        return outstanding(self) + [Attempt(spot.path, spot.block.dir, spot.attempts + 1) for spot in begun]

    with patch.object(State, "interrupted", lambda self: []), patch.object(State, "outstanding", all_open):
        yield


@contextmanager
def _only_completed_steps_are_undone() -> Iterator[None]:
    """R7 off."""
    wants = undoing._wants_undo

    def completed(spot: Spot) -> bool:
        return wants(spot) and spot.phase == COMPLETED

    with patch.object(undoing, "_wants_undo", completed):
        yield


@contextmanager
def _a_refusal_settles_what_was_unknown() -> Iterator[None]:
    """R8 off."""
    apply = RunState._apply_failed

    def forgetful(self: RunState, record: Refused | Unknown) -> None:
        if isinstance(record, Refused):
            self.spot(record.path).unknown = False
        apply(self, record)

    with patch.object(RunState, "_apply_failed", forgetful):
        yield


@contextmanager
def _requests_leave_before_their_intent() -> Iterator[None]:
    append = Driver._append

    async def hasty(self: Driver, live: Live, release: bool) -> None:
        send, live.send = live.send, []
        for spot, request, number in send:
            self._start(live, spot, request, number)
        await append(self, live, release)

    with patch.object(Driver, "_append", hasty):
        yield


@contextmanager
def _a_halted_block_goes_on() -> Iterator[None]:
    """Forward records behind `X`."""
    with patch.object(Block, "stopped", property(lambda self: False)):
        yield


@contextmanager
def _the_end_does_not_wait_for_the_last_undo() -> Iterator[None]:
    """`Z` as soon as the last undo has begun: what it comes to has no place any more."""
    pump = turning.pump

    def hurried(run: State, plan: Plan) -> bool:
        if pump(run, plan):
            return True
        if plan.over or plan.at < len(plan.entries) or not isinstance(plan.then, Frame):
            return False
        plan.over = True
        return True

    with patch.object(turning, "pump", hurried):
        yield


@contextmanager
def _the_end_is_written_before_what_led_to_it() -> Iterator[None]:
    """Something follows `Z`."""
    append = Driver._append

    async def early(self: Driver, live: Live, release: bool) -> None:
        live.pending.sort(key=lambda one: not isinstance(one, Ended))
        await append(self, live, release)

    with patch.object(Driver, "_append", early):
        yield


@contextmanager
def _any_refusal_settles_a_pivot() -> Iterator[None]:
    decide = attempts._of_unknown_pivot

    def trusting(spot: Spot, record: Refused | Unknown, crashed: bool, run: str, now: int) -> Any:
        if isinstance(record, Refused):
            return Fail(record.fault, settled=True)
        return decide(spot, record, crashed, run, now)

    with patch.object(attempts, "_of_unknown_pivot", trusting):
        yield


@contextmanager
def _a_run_turns_behind_its_pivot() -> Iterator[None]:
    def done(run: State, frame: Frame) -> None:
        run.pivot = PIVOT_DONE
        run.cancel_asked = None

    with patch.object(walking, "_pivot_done", done):
        yield


@contextmanager
def _requests_are_rendered_anew_and_unchecked() -> Iterator[None]:
    """The bytes of a resend are others, and the digest does not see it."""
    render = Performer.render

    def anew(self: Performer, state: RunState, spot: Spot, now: int) -> Request | StreamRecord | Refused:
        request = render(self, state, spot, now)
        if isinstance(request, Request) and "x-now" not in dict(request.headers):
            request = msgspec.structs.replace(request, headers=(*request.headers, ("x-now", str(now))))
            spot.request = request
        return request

    with patch.object(Performer, "render", anew), patch.object(Request, "digest", lambda self: "same"):
        yield


@contextmanager
def _nobody_is_fenced() -> Iterator[None]:
    """R1 off: whoever has ever held a run may write to it."""

    def admits(self: Entry, hold: Hold, count: int, note: Note) -> bool:
        return True

    with patch.object(Entry, "admits", admits):
        yield


@contextmanager
def _what_is_not_idempotent_is_resent() -> Iterator[None]:
    decide = attempts.decide

    def bold(spot: Spot, record: Refused | Unknown, *, run: str, now: int) -> Any:
        if spot.step.idempotent is False and isinstance(record, Unknown) and record.crash:
            return attempts.Resend()
        return decide(spot, record, run=run, now=now)

    with patch("runner.saga.advance.decide", bold):
        yield


@contextmanager
def _undo_in_the_order_of_the_steps() -> Iterator[None]:
    """The first step is undone first."""
    plan = undoing.plan_for_frame

    def forward(frame: Frame) -> Plan:
        made = plan(frame)
        made.entries.reverse()
        return made

    with patch.object(undoing, "plan_for_frame", forward):
        yield


@contextmanager
def _a_caught_step_is_not_undone() -> Iterator[None]:
    with patch.object(undoing, "plan_for_caught", lambda spot: Plan(spot.frame, [])):
        yield


MUTATIONS: Sequence[Mutation] = (
    Mutation(name="R1 fencing", off=_nobody_is_fenced),
    Mutation(name="R6 a takeover marks the open step unknown first", off=_takeover_trusts_what_is_open),
    Mutation(name="R7 all that may have run is undone", off=_only_completed_steps_are_undone),
    Mutation(name="R8 unknown sticks", off=_a_refusal_settles_what_was_unknown),
    Mutation(name="R11 the barrier in the services", off=None),
    Mutation(name="intent before sending", off=_requests_leave_before_their_intent),
    Mutation(name="nothing forward after X", off=_a_halted_block_goes_on),
    Mutation(name="nothing after Z: outcomes", off=_the_end_is_written_before_what_led_to_it),
    Mutation(name="nothing after Z: the last undo", off=_the_end_does_not_wait_for_the_last_undo),
    Mutation(name="a refusal settles a pivot only where it is idempotent", off=_any_refusal_settles_a_pivot),
    Mutation(name="no undo behind the pivot", off=_a_run_turns_behind_its_pivot),
    Mutation(name="same bytes", off=_requests_are_rendered_anew_and_unchecked),
    Mutation(name="what is not idempotent is never resent", off=_what_is_not_idempotent_is_resent),
    Mutation(name="undo in reverse", off=_undo_in_the_order_of_the_steps),
    Mutation(name="a caught step is undone first", off=_a_caught_step_is_not_undone),
)
