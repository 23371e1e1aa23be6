"""Halting: nothing new starts in a part of the tree, what is in flight settles, and then it goes on from there.

A cancel, a saga's timeout and a fail-fast fork all do this; only a timeout also breaks off what is in flight.
"""

from collections.abc import Callable, Iterable

from runner.saga.command import Abort
from runner.saga.fault import Fault
from runner.saga.state import Halt, State
from runner.saga.tree import ASKED, CATCHING, FAILED, INNER, SETTLED, UNDOING, Block, Spot


def halt(run: State, blocks: Iterable[Block], fault: Fault, then: Callable[[], None], *, abort: bool = False) -> None:
    """Start nothing new in these blocks, let what is in flight settle (or break it off), then go on."""
    run.halted = run.exact = True
    halt = Halt(set(), then)
    for block in blocks:
        block.halted = True
        _quiet(run, block, halt, fault, abort)
    if halt.pending:
        run.halts.append(halt)
    else:
        then()


def settled(run: State, spot: Spot) -> None:
    """A spot that a halt may wait for has come to its end."""
    for halt in list(run.halts):
        halt.pending.discard(spot)
        if not halt.pending:
            run.halts.remove(halt)
            halt.then()


def _quiet(run: State, block: Block, halt: Halt, fault: Fault, abort: bool) -> None:
    if not block.spots or block.spots[-1].phase in SETTLED:
        return
    spot = block.spots[-1]
    if spot.phase == INNER:
        for below in spot.blocks:
            _quiet(run, below, halt, fault, abort)
    elif spot.phase == CATCHING:
        assert spot.catch_block is not None
        _quiet(run, spot.catch_block, halt, fault, abort)
    elif spot.phase == UNDOING:
        halt.pending.add(spot)
    elif spot.phase == ASKED and (spot.begun or not (spot.step.verb.effects or spot.attempts)):
        # A read that is tried again is not waited for: no record says whether its delay was over when this came.
        halt.pending.add(spot)
        if abort:
            run.out.append(Abort(spot.path))
    else:
        spot.abandoned = True
        spot.fault, spot.phase = fault, FAILED
        run.leave(spot)
