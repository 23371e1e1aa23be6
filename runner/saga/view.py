"""A run as people see it: its steps, attempts and undo in words and ISO times. Read off the fold, nothing else."""

from collections.abc import Iterator

from registry.base.clock import iso
from registry.base.values import Json
from runner.saga.advance import RunState
from runner.saga.fault import Fault
from runner.saga.journal import FORWARD, Ended, Leftover, UndoError
from runner.saga.tree import DELAY, PARKED, WAITING, Block, Spot, Undo

#: Directions of the journal in words.
DIRECTIONS = {"f": "forward", "c": "catch", "u": "undo"}


def steps_of(state: RunState) -> list[dict[str, Json]]:
    """Every step that has begun, in the order of the tree; an undo stands with the step that it undoes."""
    return [_step(state, spot) for spot in _spots(state.root.block)]


def fault_view(fault: Fault | None) -> dict[str, Json] | None:
    """A fault without bodies and headers."""
    if fault is None:
        return None
    return {
        "kind": fault.kind,
        "status": fault.status or None,
        "detail": fault.detail,
        "step": fault.step,
        **({"title": fault.title} if fault.title else {}),
    }


def end_of(ended: Ended | None) -> dict[str, Json]:
    """Output, error and what was left of a run; nulls and empty lists before its end."""
    if ended is None:
        return {"output": None, "error": None, "leftovers": [], "undoErrors": []}
    return {
        "output": ended.output,
        "error": fault_view(ended.error),
        "leftovers": [leftover_view(item) for item in ended.leftovers],
        "undoErrors": [undo_error_view(item) for item in ended.undo_errors],
    }


def leftover_view(item: Leftover) -> dict[str, Json]:
    return {"step": item.step, "outcome": item.outcome}


def undo_error_view(item: UndoError) -> dict[str, Json]:
    return {"step": item.step, "kind": item.kind, "status": item.status or None, "detail": item.detail}


def _spots(block: Block) -> Iterator[Spot]:
    for spot in block.spots:
        yield spot
        for below in spot.stretch():
            yield from _spots(below)


def _step(state: RunState, spot: Spot) -> dict[str, Json]:
    verb = spot.step.verb
    return {
        "name": spot.step.name or spot.step.place,
        "path": spot.path,
        "kind": verb.KEY,
        "target": _target(spot),
        "status": "parked" if spot.phase == PARKED else spot.status,
        "caught": spot.caught,
        "unknown": spot.unknown,
        "attempts": spot.attempts,
        "direction": DIRECTIONS.get(spot.block.dir, FORWARD),
        "key": state.key(spot),
        "startedAt": iso(spot.begun_at / 1000),
        "endedAt": None if spot.ended_at is None else iso(spot.ended_at / 1000),
        "durationMs": None if spot.ended_at is None else spot.ended_at - spot.begun_at,
        "output": spot.output,
        "error": fault_view(spot.fault),
        "undo": None if spot.undo is None else _undo(spot.undo),
        "waitingFor": _waiting(state, spot),
    }


def _undo(undo: Undo) -> dict[str, Json]:
    spots = list(_spots(undo.block))
    parked = any(spot.phase == PARKED for spot in spots)
    last = next((spot.fault for spot in reversed(spots) if spot.fault is not None), None)
    fault = undo.fault if undo.fault is not None or undo.ended_at is not None else last
    return {
        "status": "parked" if parked else undo.status,
        "attempts": undo.attempts,
        "startedAt": iso(undo.started_at / 1000),
        "endedAt": None if undo.ended_at is None else iso(undo.ended_at / 1000),
        "durationMs": None if undo.ended_at is None else undo.ended_at - undo.started_at,
        "error": fault_view(fault),
    }


def _target(spot: Spot) -> str | None:
    verb = spot.step.verb
    for name in ("service", "stream", "saga", "signal"):
        value = getattr(verb, name, None)
        if isinstance(value, str) and value:
            return value
    return None


def _waiting(state: RunState, spot: Spot) -> str | None:
    if spot.phase == PARKED:
        return f"an operator ({state.parks.get(spot.path, 'parked')})"
    until = "" if spot.until is None else iso(spot.until / 1000)
    if spot.phase == DELAY:
        return f"attempt {spot.attempts + 1} at {until}"
    if spot.phase == WAITING:
        signal = getattr(spot.step.verb, "signal", None)
        if signal:
            return f"signal {signal}" + (f" until {until}" if until else "")
        return until or None
    return None
