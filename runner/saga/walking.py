"""Walking: steps begin, end and fail, blocks and sagas with them; errors find their `catch` on the way out.

Verbs call what is here to say how they went on; the journal's records come in through `advance`. It is over 400 lines
because steps, blocks and sagas end and fail into each other in a circle: cut anywhere, a reader would need both halves.
"""

import msgspec

from registry.base.clock import iso
from registry.base.values import Json
from runner.saga import budget, halting, turning, undoing
from runner.saga.command import Arm
from runner.saga.definition import CONTINUE, FAIL, Saga, Step
from runner.saga.evaluation import ExpressionFailed
from runner.saga.expression import falsy
from runner.saga.fault import Fault, named
from runner.saga.journal import CATCH, FORWARD, UNDO, Ended, Signalled, Waiting
from runner.saga.scope import Scope
from runner.saga.state import NO_PIVOT, PIVOT_DONE, PIVOT_SENT, State
from runner.saga.template import texts
from runner.saga.tree import (
    CATCHER,
    CATCHING,
    COMPLETED,
    FAILED,
    INNER,
    SAGA,
    SKIPPED,
    UNDOER,
    VERB,
    WAITING,
    Block,
    Frame,
    Plan,
    Spot,
    Undo,
)

#: Steps that one run may begin, pure ones included.
MOST_STEPS = 100_000
#: Sagas inside sagas.
DEEPEST = 20


def done(run: State, spot: Spot, output: Json) -> None:
    """The step has come to its end; its block goes on."""
    spot.phase, spot.output = COMPLETED, output
    run.leave(spot)
    block = spot.block
    block.last = output
    block.at += 1
    if spot.step.pivot and block.dir == FORWARD:
        _pivot_done(run, spot.frame)
    if run.halts:
        halting.settled(run, spot)
    run.agenda.append(block)


def fail(run: State, spot: Spot, fault: Fault) -> None:
    """The step has failed for good: its `catch` takes it, or the error goes on outwards."""
    if not fault.step:
        fault = msgspec.structs.replace(fault, step=spot.step.place)
    spot.fault, spot.phase = fault, FAILED
    run.leave(spot)
    if spot.block.stopped:
        halting.settled(run, spot)
        return
    reason = _must_park(spot)
    if reason:
        run.park(spot, reason)
        return
    if spot.step.pivot and run.pivot == PIVOT_SENT and _pivot_refused(run):
        return
    at = _entry(spot)
    if at < 0:
        block_failed(run, spot.block, spot.fault)
        return
    spot.catch_at = at
    plan = undoing.plan_for_caught(spot)
    if plan.entries and not spot.frame.forward_only:
        turning.turn_scope(run, spot, plan)
    else:
        _catch(run, spot)


def broken(run: State, spot: Spot, failed: ExpressionFailed) -> None:
    """An expression of the step could not be evaluated."""
    fail(run, spot, Fault(kind="expression", detail=failed.detail))


def wait(run: State, spot: Spot, *, until: int | None, signal: str | None = None) -> None:
    """Wish to wait for a time (milliseconds), a signal, or whichever comes first."""
    spot.phase = WAITING
    run.live[spot.path] = spot
    run.owe(Waiting(t=run.now, path=spot.path, dir=spot.block.dir, until=until, signal=signal), spot.path)


def heard(run: State, name: str) -> Signalled | None:
    """The oldest signal of this name that nobody has listened to yet."""
    box = run.mailbox.get(name)
    if not box:
        return None
    run.kept -= 1
    return box.popleft()


def deliver(run: State, spot: Spot, signal: Signalled) -> None:
    """A `listen` gets its signal."""
    spot.event = {
        "subject": signal.subject or None,
        "roles": list(signal.roles),
        "time": iso(signal.t / 1000),
    }
    done(run, spot, signal.body)


def open_block(
    run: State, spot: Spot, segment: str, steps: tuple[Step, ...], *, index: int = 0, scope: Scope | None = None
) -> Block:
    """A step list below this step."""
    block = Block(
        steps=steps,
        path=f"{spot.path}/{segment}/",
        scope=scope if scope is not None else spot.scope,
        dir=spot.block.dir,
        role=VERB,
        owner=spot,
        index=index,
    )
    spot.phase = INNER
    spot.blocks.append(block)
    run.agenda.append(block)
    return block


def open_child(run: State, spot: Spot, saga: Saga, given: Json) -> None:
    """Another saga below this step, with its own context and its own undo."""
    outer = spot.frame
    if outer.depth >= DEEPEST:
        fail(run, spot, Fault(kind="exhausted", detail=f"sagas run {DEEPEST} deep at most"))
        return
    frame = new_frame(run, saga, given, spot, outer.depth + 1)
    frame.forward_only = outer.forward_only
    limits = [limit for limit in (spot.step.timeout, saga.timeout) if limit is not None]
    if limits and not frame.forward_only:
        run.limit(frame, run.now + min(limits))
    spot.phase = INNER
    spot.blocks.append(frame.block)
    run.agenda.append(frame.block)


def end_saga(run: State, spot: Spot, value: Json) -> None:
    """`return`: the saga that this step is in is completed, here."""
    frame = spot.frame
    at: Spot | None = spot
    while at is not None:
        at.caught = at.phase == CATCHING
        at.phase = FAILED if at.caught else COMPLETED
        run.leave(at)
        above = at.block.owner
        at = above if isinstance(above, Spot) and at.block is not frame.block else None
    frame.returned, frame.output = True, value
    _saga_done(run, frame)


def step(run: State, block: Block) -> None:
    """Begin the block's next step, or end the block."""
    if run.halted and block.stopped:
        return
    if block.at == len(block.steps):
        _block_done(run, block)
        return
    step = block.steps[block.at]
    segment = step.segment if block.role != UNDOER else str(block.at)
    spot = Spot(step, block.path + segment, block, block.scope, run.now)
    block.spots.append(spot)
    run.begun += 1
    if run.begun > MOST_STEPS:
        fail(run, spot, Fault(kind="exhausted", detail=f"a run begins {MOST_STEPS} steps at most"))
        return
    if step.when is not None:
        try:
            skipped = falsy(step.when(block.scope))
        except ExpressionFailed as failed:
            broken(run, spot, failed)
            return
        if skipped:
            spot.phase = SKIPPED
            run.leave(spot)
            block.at += 1
            run.agenda.append(block)
            return
    begin(run, spot)


def begin(run: State, spot: Spot) -> None:
    """Let the step's verb start, where the record budget has room for it."""
    if run.stored + 2 * len(run.live) > budget.NEARLY_SPENT:
        short = budget.shortage(run, spot)
        if short:
            fail(run, spot, Fault(kind="exhausted", detail=short))
            return
    try:
        spot.step.verb.begin(run, spot)
    except ExpressionFailed as failed:
        broken(run, spot, failed)


def _block_done(run: State, block: Block) -> None:
    owner = block.owner
    if isinstance(owner, Frame):
        _saga_done(run, owner)
    elif isinstance(owner, Undo):
        turning.undo_done(run, owner)
    elif block.role == CATCHER:
        _caught(run, owner, block.scope, block.last)
    else:
        try:
            owner.step.verb.block_done(run, owner, block)
        except ExpressionFailed as failed:
            broken(run, owner, failed)


def block_failed(run: State, block: Block, fault: Fault) -> None:
    owner = block.owner
    if isinstance(owner, Frame):
        saga_failed(run, owner, fault)
    elif isinstance(owner, Undo):
        turning.undo_failed(run, owner, fault)
    elif block.role == CATCHER:
        owner.fault, owner.phase = fault, FAILED
        run.leave(owner)
        block_failed(run, owner.block, fault)
    else:
        owner.step.verb.block_failed(run, owner, block, fault)


def _must_park(spot: Spot) -> str:
    """Why a person is needed, where neither a `catch` nor a turn can take the spot's fault; empty otherwise."""
    assert spot.fault is not None
    undo = spot.block.undo
    if undo is not None:
        if undo.spot.frame.saga.compensation.on_exhausted in (CONTINUE, FAIL):
            return ""
        reason = "undo-exhausted"
    elif spot.frame.forward_only:
        reason = "failed-after-pivot"
    else:
        return ""
    at: Spot | None = spot
    offered = True
    while at is not None:
        if offered and any(named(entry.errors, spot.fault) for entry in at.step.catch or ()):
            return ""
        block = at.block
        offered = block.role != CATCHER
        owner = block.owner.owner if isinstance(block.owner, Frame) else block.owner
        at = owner if isinstance(owner, Spot) else None
    return reason


def _entry(spot: Spot) -> int:
    """Index of the `catch` entry that takes the spot's fault; -1: none."""
    fault = spot.fault
    assert fault is not None
    for at, entry in enumerate(spot.step.catch or ()):
        if not named(entry.errors, fault):
            continue
        if entry.when is not None:
            try:
                if falsy(entry.when(spot.scope.inner(error=fault.view()))):
                    continue
            except ExpressionFailed as failed:
                spot.fault = Fault(kind="expression", detail=failed.detail, step=spot.step.place)
                return -1
        return at
    return -1


def _catch(run: State, spot: Spot) -> None:
    assert spot.step.catch is not None
    assert spot.fault is not None
    entry = spot.step.catch[spot.catch_at]
    scope = spot.scope.inner(error=spot.fault.view())
    if not entry.steps:
        _caught(run, spot, scope, None)
        return
    spot.phase = CATCHING
    spot.catch_block = Block(
        steps=entry.steps,
        path=f"{spot.path}/$catch.{spot.catch_at}/",
        scope=scope,
        dir=UNDO if spot.block.dir == UNDO else CATCH,
        role=CATCHER,
        owner=spot,
    )
    run.agenda.append(spot.catch_block)


def _caught(run: State, spot: Spot, scope: Scope, last: Json) -> None:
    assert spot.step.catch is not None
    entry = spot.step.catch[spot.catch_at]
    spot.phase = FAILED
    run.leave(spot)
    if entry.output is not None:
        try:
            last = entry.output(scope)
        except ExpressionFailed as failed:
            spot.fault = Fault(kind="expression", detail=failed.detail, step=spot.step.place)
            block_failed(run, spot.block, spot.fault)
            return
    spot.caught, spot.output = True, last
    block = spot.block
    block.last = last
    block.at += 1
    run.agenda.append(block)


def new_frame(run: State, saga: Saga, given: Json, owner: Spot | None, depth: int) -> Frame:
    assert run.started is not None
    frame = Frame(
        saga=saga,
        run=run.id,
        input=given,
        events=run.started.event,
        vars=run.program.vars,
        started_at=run.started.t,
        owner=owner,
        depth=depth,
        prefix="" if owner is None else owner.path + "/",
    )
    frame.block = Block(
        steps=saga.steps,
        path=frame.prefix,
        scope=Scope(frame),
        dir=FORWARD if owner is None else owner.block.dir,
        role=SAGA,
        owner=frame,
    )
    run.frames[frame.path] = frame
    return frame


def _saga_done(run: State, frame: Frame) -> None:
    saga, scope = frame.saga, frame.block.scope
    value = frame.output if frame.returned else frame.block.last
    headers: dict[str, str] = {}
    try:
        if saga.output is not None and not frame.returned:
            value = saga.output(scope)
        if frame.owner is None:
            headers = {name: ", ".join(values) for name, values in texts(saga.reply.headers, scope)}
    except ExpressionFailed as failed:
        saga_failed(run, frame, Fault(kind="expression", detail=failed.detail, step="output"))
        return
    frame.settled = True
    run.deadlines.pop(frame.path, None)
    if frame.owner is not None:
        done(run, frame.owner, value)
        return
    left = tuple(undoing.leftovers_of_completed(frame))
    run.owe(Ended(t=run.now, status="completed", output=value, headers=headers, leftovers=left), "")


def saga_failed(run: State, frame: Frame, fault: Fault) -> None:
    if frame.forward_only:
        _fail_forward(run, frame, fault)
        return
    frame.settled = True
    if frame.owner is None:
        turning.turn(run, "error", fault)
        return
    run.deadlines.pop(frame.path, None)
    owner = frame.owner
    owner.fault = fault
    plan = undoing.plan_for_frame(frame)
    if plan.entries:
        turning.turn_scope(run, owner, plan)
    else:
        fail(run, owner, fault)


def _fail_forward(run: State, frame: Frame, fault: Fault) -> None:
    """Past the pivot nothing is undone: a `catch` outside takes it, or a person must."""
    if frame.owner is not None:
        fail(run, frame.owner, fault)
    else:
        run.park(frame.block.spots[-1], "failed-after-pivot")


def _pivot_done(run: State, frame: Frame) -> None:
    run.pivot = PIVOT_DONE
    run.cancel_asked = None
    at: Frame | None = frame
    while at is not None:
        at.forward_only = True
        run.deadlines.pop(at.path, None)
        at = None if at.owner is None else at.owner.frame


def _pivot_refused(run: State) -> bool:
    """The saga stays before the pivot: what had to wait for it acts now. Whether the run turns by that."""
    run.pivot = NO_PIVOT
    if run.cancel_asked is not None:
        record, run.cancel_asked = run.cancel_asked, None
        halt_run(run, "cancel", Fault(kind="cancelled", detail=record.reason or "cancelled on request"))
        return True
    for path, at in run.deadlines.items():
        run.out.append(Arm("!" + path, at))
    return False


def halt_run(run: State, cause: str, fault: Fault) -> None:
    if run.root.block.halted:
        return
    halting.halt(run, [run.root.block], fault, lambda: turning.turn(run, cause, fault), abort=cause == "timeout")


def scope_undone(run: State, spot: Spot, plan: Plan) -> None:
    assert spot.fault is not None
    run.leave(spot)
    spot.phase = FAILED
    if spot.block.stopped:
        halting.settled(run, spot)
    elif plan.stopped:
        block_failed(run, spot.block, spot.fault)
    elif spot.catch_at < 0:
        fail(run, spot, spot.fault)
    else:
        _catch(run, spot)
