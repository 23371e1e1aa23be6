"""What the language has and this runner does not enforce yet.

Told at load, so that nobody relies on it in silence.
"""

from collections.abc import Callable
from typing import Any, Final

from runner.definitions.draft import SagaDraft
from runner.definitions.world import World

#: What is told, and when.
_HEADER: Final[tuple[tuple[str, Callable[[dict[str, Any]], bool]], ...]] = (
    ("circuitBreaker", lambda box: "circuitBreaker" in box),
    ("timer", lambda box: "timer" in box),
    ("cache", lambda box: "cache" in box),
    ("roles", lambda box: "roles" in box),
    ("schema.validated", lambda box: _schema(box).get("validated") is True),
    ("schema.mock", lambda box: _schema(box).get("mock") is True),
    ("deprecated", lambda box: box.get("deprecated", False) is not False),
)


def not_yet(saga: SagaDraft, world: World) -> list[str]:
    """One sentence for each thing that the saga says and that is only checked."""
    says = [what for what, is_said in _HEADER if is_said(saga.box)]
    says += [f"the cache of the step {draft.place}" for draft in saga.drafts if "cache" in draft.box]
    found = [f"{saga.id}: {what} is checked but not in force on this runner yet" for what in says]
    streams = world.streams or {}
    used = {alias for alias in saga.box.get("streams", ()) if streams.get(alias) == "kafka"}
    for draft in saga.drafts:
        value = draft.box.get("emit")
        if isinstance(value, dict) and streams.get(value.get("stream", "")) == "kafka":
            used.add(value["stream"])
    found += [
        f"{saga.id}: the Kafka stream {alias} is checked but not connected on this runner yet" for alias in sorted(used)
    ]
    return found


def _schema(box: dict[str, Any]) -> dict[str, Any]:
    value = box.get("schema")
    return value if isinstance(value, dict) else {}
