"""What the times that a state keeps mean now."""

from runner.saga.journal import UNDO
from runner.saga.state import NO_PIVOT, State
from runner.saga.tree import Frame, Spot


def overdue(state: State, now: int) -> list[str]:
    """Keys of the timers that should have gone off by now (milliseconds)."""
    keys = [key for key, at in state.timers.items() if at <= now] if state.timers else []
    for path, at in state.deadlines.items():
        if at <= now:
            keys.append("!" + path)
    return keys


def deadline(state: State, spot: Spot) -> int | None:
    """When the timeout of a saga around this attempt would break it off, milliseconds; None: never."""
    if not state.deadlines or state.pivot != NO_PIVOT or spot.block.dir == UNDO:
        return None
    if spot.scope.frame is state.root:
        return state.deadlines.get("")
    ends: list[int] = []
    frame: Frame | None = spot.scope.frame
    while frame is not None:
        if frame.path in state.deadlines:
            ends.append(state.deadlines[frame.path])
        frame = None if frame.owner is None else frame.owner.frame
    return min(ends, default=None)
