"""Steering: what an operator says about a run that is stuck: try again, go on without it, it was done, it was not.

Each is a signal in the journal, so that it holds after a crash, too. `objection` says beforehand why one cannot be;
a signal that has become pointless by the time it is merged changes nothing.
"""

from typing import Any, Final

from registry.base.values import Json
from runner.saga import turning, walking
from runner.saga.fault import Fault
from runner.saga.journal import UNDO, Signalled
from runner.saga.state import PIVOT_SENT, State
from runner.saga.tree import DELAY, FAILED, SKIPPED, Spot

#: Names of the signals. `RESUME` concerns the store alone: the run may be claimed again.
RETRY: Final = "$retry"
SKIP: Final = "$skip"
RESOLVE: Final = "$resolve"
RESUME: Final = "$resume"
NAMES: Final = frozenset({RETRY, SKIP, RESOLVE})


def objection(run: State, name: str, body: dict[str, Any]) -> str:
    """Why the action cannot be now, as a sentence; empty where it can."""
    spots = _meant(run, name, body)
    if not spots:
        at = body.get("step")
        pivot = _pivot_sent(run) if name == RESOLVE else None
        if pivot is not None and at in (None, pivot.path):
            return f"{pivot.path} is on its way at this moment; say it again when its answer is known."
        return f"Nothing is parked at {at}." if at else "Nothing of the run is parked."
    if name == RETRY:
        return ""
    if len(spots) > 1:
        paths = ", ".join(spot.path for spot in spots)
        return f"Several steps are parked ({paths}); name one as `step`."
    return _objection_to_skip(spots[0], body) if name == SKIP else _objection_to_resolve(run, spots[0], body)


def steer(run: State, record: Signalled) -> None:
    """Do what an operator asked for."""
    body = record.body if isinstance(record.body, dict) else {}
    if objection(run, record.name, body):
        return
    spots = _meant(run, record.name, body)
    if record.name == RETRY:
        for spot in spots:
            _retry(run, spot, render=body.get("render") is True)
    elif record.name == SKIP:
        _skip(run, spots[0], body.get("output"))
    elif body["done"]:
        walking.done(run, spots[0], body.get("output"))
    else:
        spots[0].unknown = False
        fault = spots[0].fault
        detail = record.reason or "an operator says that it was not done"
        walking.fail(run, spots[0], fault or Fault(kind="unexpected", detail=detail))


def _meant(run: State, name: str, body: dict[str, Any]) -> list[Spot]:
    """The spots that the operator means: the parked one that is named, else all.

    A pivot of unknown outcome can be resolved between two attempts, too: what a service answers to them may settle
    nothing for as long as the policy allows, and a person may know better.
    """
    spots = [run.live[path] for path in run.parks if path in run.live]
    pivot = _pivot_sent(run) if name == RESOLVE else None
    if pivot is not None and pivot.phase == DELAY:
        spots.append(pivot)
    return [spot for spot in spots if body.get("step") in (None, spot.path)]


def _pivot_sent(run: State) -> Spot | None:
    """The pivot, while it is unknown whether it has been done."""
    if run.pivot != PIVOT_SENT:
        return None
    return next((spot for spot in run.live.values() if spot.step.pivot and spot.unknown), None)


def _objection_to_skip(spot: Spot, body: dict[str, Any]) -> str:
    if spot.block.dir == UNDO:
        return ""
    if not spot.frame.forward_only:
        return f"{spot.path} is before the pivot: cancel the run, or resolve the step."
    return _objection_to_silence(spot, body)


def _objection_to_resolve(run: State, spot: Spot, body: dict[str, Any]) -> str:
    if not isinstance(body.get("done"), bool):
        return "Say `done: true` or `done: false`."
    if not spot.unknown:
        return f"The outcome of {spot.path} is known; retry or skip it."
    if body["done"]:
        return _objection_to_silence(spot, body)
    if spot.block.dir == UNDO or not (spot.step.pivot and run.pivot == PIVOT_SENT):
        return f"{spot.path} cannot turn the run any more: retry it, or skip it."
    return ""


def _objection_to_silence(spot: Spot, body: dict[str, Any]) -> str:
    if spot.step.read & {"output", "*"} and "output" not in body:
        return f"The output of {spot.path} is read by other steps: give one as `output`."
    return ""


def _retry(run: State, spot: Spot, *, render: bool) -> None:
    """The same bytes again, counters at zero; `render` renders anew."""
    run.parks.pop(spot.path, None)
    spot.attempts, spot.since = 0, None
    if render:
        spot.digest, spot.request = None, None
    if spot.step.verb.KEY in ("call", "emit"):
        run.ask(spot)
    else:
        walking.begin(run, spot)


def _skip(run: State, spot: Spot, output: Json) -> None:
    undo = spot.block.undo
    if undo is not None:
        spot.phase = FAILED
        run.leave(spot)
        turning.undo_skipped(run, undo)
        return
    spot.phase, spot.output = SKIPPED, output
    run.leave(spot)
    spot.block.last = output
    spot.block.at += 1
    run.agenda.append(spot.block)
