"""Operators of a simulated world: some look before they act, some are late, some mean a step that is not there."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

from runner.ports import Signal, Stored
from runner.saga.journal import decode
from runner.saga.scope import key_of
from tests.support.sim_runner import SimRunner

#: What is asked for, and its body.
Act: TypeAlias = tuple[str, dict[str, Any]]

CANCEL = "cancel"
#: To look first, and to do what fits.
LOOK = "look"
ACTIONS = ("retry", "skip", "resolve", "resume", CANCEL)


def any_act(rng: Random, kept: Stored | None, action: str | None = None) -> Act:
    """Something that an operator might send without having looked: to any step, with any body."""
    action = action or rng.choice(ACTIONS)
    if action in (CANCEL, "resume"):
        return action, {}
    paths = [] if kept is None else [getattr(decode(body), "path", "") for body in kept.records]
    body: dict[str, Any] = {"step": rng.choice(["nowhere", *filter(None, paths)])} if rng.random() < 0.4 else {}
    if action == "retry" and rng.random() < 0.3:
        body["render"] = True
    if action == "resolve" and rng.random() < 0.9:
        body["done"] = rng.random() < 0.5
    if action in ("skip", "resolve") and rng.random() < 0.5:
        body["output"] = {"by": "hand"}
    return action, body


def fitting_act(rng: Random, kept: Stored, effects: Mapping[str, int]) -> Act:
    """What somebody would send who has read why the run is parked, and has asked its service what it knows."""
    reason, _, path = kept.row.reason.partition(": ")
    if reason == "poison":
        return "resume", {}
    known = key_of(kept.row.id, path) in effects
    fits: Sequence[Act] = {
        "undo-exhausted": (("retry", {}), ("skip", {"step": path}), ("resolve", {"step": path, "done": True})),
        "pivot-unknown": (
            ("retry", {"render": rng.random() < 0.5}),
            ("resolve", {"step": path, "done": known, "output": {"by": "hand"}}),
            (CANCEL, {}),
        ),
    }.get(reason, (("retry", {"step": path}), ("skip", {"step": path, "output": {"by": "hand"}})))
    return rng.choice(fits)


async def send(runner: SimRunner, run: str, act: Act, *, late: str = "") -> str:
    """Through the product's own operator; `late`: as the signal of this id, whatever the state is by now."""
    action, body = act
    if late:
        signal = Signal(id=f"late {late}", name=f"${action}", body=body, subject="ops", reason="late")
        return await runner.driver.journals.signal(run, signal)
    if action == CANCEL:
        return await runner.operator.cancel(run, subject="ops", reason="by seed")
    answer, _ = await runner.operator.act(run, action, body, subject="ops", reason="by seed")
    return answer
