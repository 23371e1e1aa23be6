"""Every safety rule, switched off by itself: what the judge must find, or he is no judge.

The product has no such switches. Each of these puts another function in the place of one of its own for as long as the
`with` lasts.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import msgspec

from runner.adapters.stores.entry import Entry
from runner.adapters.stores.memory import MemoryJournals
from runner.engine.adopt import Adopter
from runner.engine.drive import Driver
from runner.engine.live import Live
from runner.engine.perform import Performer
from runner.engine.programs import Programs
from runner.ports import Fenced, Hold, NewRun, Note, StoreUnavailable, Unread
from runner.saga import attempts, steering, turning, undoing, walking
from runner.saga.advance import RunState
from runner.saga.attempts import Fail
from runner.saga.command import Attempt, Command
from runner.saga.exchange import Request, StreamRecord
from runner.saga.journal import Ended, Refused, Unknown
from runner.saga.state import PIVOT_DONE, State
from runner.saga.tree import COMPLETED, Block, Frame, Plan, Spot
from tests.support.sim_store import SimJournals


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


@contextmanager
def _an_append_is_not_known_again() -> Iterator[None]:
    """R2 off: what was stored and whose answer was lost is refused when it comes again."""
    admits = Entry.admits

    def strict(self: Entry, hold: Hold, count: int, note: Note) -> bool:
        if not admits(self, hold, count, note):
            raise self.fenced(hold)
        return True

    with patch.object(Entry, "admits", strict):
        yield


@contextmanager
def _a_lost_claim_is_forgotten() -> Iterator[None]:
    """R3 off: a run that the store gave us without our hearing of it is nobody's to drive."""
    adopt = Adopter.adopt

    async def careless(self: Adopter, run: str) -> bool:
        try:
            return await adopt(self, run)
        finally:
            self.unsure.clear()

    with patch.object(Adopter, "adopt", careless):
        yield


@contextmanager
def _an_unknown_append_is_taken_for_done() -> Iterator[None]:
    """R4 off: what depends on an append leaves although nobody knows of it."""
    append = SimJournals.append

    async def hopeful(self: SimJournals, hold: Hold, *args: Any, **more: Any) -> Any:
        try:
            return await append(self, hold, *args, **more)
        except StoreUnavailable:
            hold.length += len(args[0])
            return ()

    with patch.object(SimJournals, "append", hopeful):
        yield


@contextmanager
def _who_is_fenced_goes_on() -> Iterator[None]:
    """R5 off."""
    append = Driver._append

    async def deaf(self: Driver, live: Live, release: bool) -> None:
        with suppress(Fenced):
            await append(self, live, release)

    with patch.object(Driver, "_append", deaf):
        yield


@contextmanager
def _what_onfail_names_is_started_by_itself() -> Iterator[None]:
    """The run exists before the end that it follows, or without one."""
    follow_up = Programs.follow_up

    async def apart(self: Programs, state: RunState, now: int) -> tuple[tuple[NewRun, Note], ...]:
        for new, note in await follow_up(self, state, now):
            with suppress(StoreUnavailable):
                await self._journals.create(new, note, start=False)
        return ()

    with patch.object(Programs, "follow_up", apart):
        yield


@contextmanager
def _what_onfail_started_has_an_onfail() -> Iterator[None]:
    def wants(state: RunState) -> bool:
        return state.ended is not None and state.ended.status != "completed" and bool(state.program.saga.on_fail)

    with patch("runner.engine.drive.wants_follow_up", wants), patch("runner.engine.start.wants_follow_up", wants):
        yield


@contextmanager
def _a_signal_is_taken_in_whenever_it_is_told_of() -> Iterator[None]:
    def eager(self: Live, unread: tuple[Unread, ...]) -> None:
        self.inbox.extend(unread)
        self.rouse()

    with patch.object(Live, "hear", eager):
        yield


@contextmanager
def _a_signal_wakes_nobody() -> Iterator[None]:
    """A run that is let go, or was, does not become due by a signal."""
    with patch.object(Entry, "wake", lambda self, now: None):
        yield


@contextmanager
def _an_operator_may_do_anything_to_what_is_parked() -> Iterator[None]:
    def easy(run: State, name: str, body: dict[str, Any]) -> str:
        return "" if steering._meant(run, body) else "Nothing of the run is parked."

    with patch.object(steering, "objection", easy), patch("runner.engine.operate.objection", easy):
        yield


@contextmanager
def _a_run_is_cancelled_behind_its_pivot() -> Iterator[None]:
    def any_time(self: State) -> bool:
        return self.ended is None and self.turned is None and not self.owed and not self.root.block.halted

    with patch.object(State, "cancellable", property(any_time)):
        yield


@contextmanager
def _an_undo_that_is_skipped_counts_as_done() -> Iterator[None]:
    with patch.object(turning, "undo_skipped", turning.undo_done):
        yield


@contextmanager
def _a_sweep_forgets_what_is_parked() -> Iterator[None]:
    sweep = MemoryJournals.sweep

    async def thorough(self: MemoryJournals, ended_before: int, limit: int) -> int:
        for run in self._shelf.runs.values():
            if run.entry.status == "parked":
                run.entry.ended_at = 0
        return await sweep(self, ended_before, limit)

    with patch.object(MemoryJournals, "sweep", thorough):
        yield


MUTATIONS: Sequence[Mutation] = (
    Mutation(name="R1 fencing", off=_nobody_is_fenced),
    Mutation(name="R2 an append that comes again is known", off=_an_append_is_not_known_again),
    Mutation(name="R3 a claim without an answer is sent again", off=_a_lost_claim_is_forgotten),
    Mutation(name="R4 an append without an answer is sent again first", off=_an_unknown_append_is_taken_for_done),
    Mutation(name="R5 who is fenced stops", off=_who_is_fenced_goes_on),
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
    Mutation(name="onFail in the append of the end", off=_what_onfail_names_is_started_by_itself),
    Mutation(name="onFail has no onFail", off=_what_onfail_started_has_an_onfail),
    Mutation(name="a signal is merged once", off=_a_signal_is_taken_in_whenever_it_is_told_of),
    Mutation(name="a signal wakes its run", off=_a_signal_wakes_nobody),
    Mutation(name="an action that does not fit changes nothing", off=_an_operator_may_do_anything_to_what_is_parked),
    Mutation(name="no cancel behind the pivot", off=_a_run_is_cancelled_behind_its_pivot),
    Mutation(name="an undo that is skipped is left over", off=_an_undo_that_is_skipped_counts_as_done),
    Mutation(name="a sweep forgets only what has ended", off=_a_sweep_forgets_what_is_parked),
)
