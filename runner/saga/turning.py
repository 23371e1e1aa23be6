"""Turning: a run, a failed child or a caught step is undone, in the order that the tree gives."""

import msgspec

from runner.saga import undoing
from runner.saga.definition import CONTINUE, FAIL, PARALLEL
from runner.saga.fault import Fault
from runner.saga.journal import UNDO, Ended, ScopeTurned, Turned, UndoError
from runner.saga.state import State
from runner.saga.tree import COMPLETED, FAILED, SKIPPED, UNDOER, UNDOING, Block, Plan, Spot, Undo


def turn_scope(run: State, spot: Spot, plan: Plan) -> None:
    """A caught step, or a failed child, is to be undone before the run goes on."""
    assert spot.fault is not None
    spot.phase = UNDOING
    run.live[spot.path] = spot
    run.owe(ScopeTurned(t=run.now, path=spot.path, fault=spot.fault, undo=tuple(plan.paths())), spot.path)


def turn(run: State, cause: str, fault: Fault) -> None:
    """The run is to be undone: no forward step follows."""
    undo = tuple(undoing.plan_for_frame(run.root).paths())
    run.deadlines.clear()
    run.root.settled = True
    run.owe(Turned(t=run.now, cause=cause, fault=fault, undo=undo), "")


def pump(run: State, plan: Plan) -> bool:
    """Begin what of a plan may begin now; whether the plan has come to its end by that."""
    parallel = plan.frame.saga.compensation.order == PARALLEL
    while not plan.stopped and plan.at < len(plan.entries) and (parallel or plan.running == 0):
        entry = plan.entries[plan.at]
        plan.at += 1
        plan.running += 1
        if isinstance(entry, Spot):
            _begin(run, entry, plan)
        else:
            entry.cause, entry.then = plan.cause, plan
            run.agenda.append(entry)
    if plan.running or plan.over or not (plan.stopped or plan.at == len(plan.entries)):
        return False
    plan.over = True
    return True


def _begin(run: State, spot: Spot, plan: Plan) -> None:
    undo = Undo(spot, plan, run.now)
    spot.undo = undo
    run.undos.append(undo)
    assert plan.cause is not None
    undo.block = Block(
        steps=spot.step.compensate or (),
        path=f"{spot.path}/$undo/",
        scope=spot.scope.inner(names={}, error=plan.cause.view()),
        dir=UNDO,
        role=UNDOER,
        owner=undo,
    )
    run.agenda.append(undo.block)


def undo_done(run: State, undo: Undo) -> None:
    """A step is undone."""
    undo.status, undo.ended_at = COMPLETED, run.now
    run.undone += 1
    undo.plan.running -= 1
    run.agenda.append(undo.plan)


def undo_failed(run: State, undo: Undo, fault: Fault) -> None:
    """A step could not be undone, and nothing caught that: `onExhausted` decides."""
    undo.fault = fault
    policy = undo.spot.frame.saga.compensation.on_exhausted
    if policy not in (CONTINUE, FAIL):
        run.park(undo.block.spots[-1], "undo-exhausted")
        return
    undo.status, undo.ended_at = FAILED, run.now
    run.undo_errors.append(UndoError(step=undo.spot.path, kind=fault.kind, status=fault.status, detail=fault.detail))
    undo.plan.running -= 1
    undo.plan.stopped = undo.plan.stopped or policy == FAIL
    run.agenda.append(undo.plan)


def undo_skipped(run: State, undo: Undo) -> None:
    """An operator goes on without this undo: its step is left as it is."""
    undo.status, undo.ended_at = SKIPPED, run.now
    undo.plan.running -= 1
    run.agenda.append(undo.plan)


def end(run: State) -> None:
    """The undo of the run is over: its end follows from what is left."""
    assert run.turned is not None
    left = tuple(undoing.leftovers_of_frame(run.root))
    clean = not left and not run.undo_errors
    if clean and run.turned.cause == "cancel":
        status = "cancelled"
    else:
        status = "compensated" if clean and run.undone else "failed"
    ended = Ended(
        t=run.now,
        status=status,
        error=_told(run.turned.fault),
        leftovers=left,
        undo_errors=tuple(run.undo_errors),
    )
    run.owe(ended, "")


def count_attempt(spot: Spot) -> None:
    """An attempt inside an undo has an outcome."""
    undo = spot.block.undo
    if undo is not None:
        undo.attempts += 1


def _told(fault: Fault) -> Fault:
    """A fault as the end of a run keeps it: without what a service said, unless a `raise` said it."""
    return fault if fault.raised else msgspec.structs.replace(fault, body=None, headers={})
