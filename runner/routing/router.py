"""Which saga answers: the rules of selection, in their order, each with its reason."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from runner.saga.definition import Saga, walk

#: The verbs that a saga without `methods` takes.
VERBS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The saga that answers, and why each other candidate lost, by `id@version`."""

    saga: Saga
    lost: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """Nobody has this path (404)."""

    why: str
    lost: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAllowed:
    """The path is there, the verb is not (405)."""

    allow: tuple[str, ...]
    lost: tuple[tuple[str, str], ...] = ()


Selection: TypeAlias = Chosen | NotFound | NotAllowed


def select(
    candidates: Sequence[Saga], *, stream: str, runner: str, method: str = "", version: int | None = None
) -> Selection:
    """Choose among the active sagas of one path, given in order of declaration.

    `method` is empty for what is not HTTP.
    """
    if len(candidates) == 1 and _takes(candidates[0], stream, runner, method, version):
        return Chosen(saga=candidates[0])
    lost: list[tuple[str, str]] = []

    def keep(sagas: Iterable[Saga], holds: "list[bool]", why: str) -> list[Saga]:
        kept = []
        for saga, good in zip(sagas, holds, strict=True):
            if good:
                kept.append(saga)
            else:
                lost.append((saga.ref, why))
        return kept

    left = list(candidates)
    left = keep(left, [not s.runners or runner in s.runners for s in left], f"not for runner {runner}")
    left = keep(left, [not s.streams or stream in s.streams for s in left], f"not on stream {stream}")
    if not left:
        return NotFound(why="no active saga has this path on this stream and runner", lost=tuple(lost))
    if method:
        allowed = [methods_of(s) for s in left]
        if not any(method in a for a in allowed):
            lost += [(s.ref, f"does not take {method}") for s in left]
            return NotAllowed(allow=tuple(sorted({verb for a in allowed for verb in a})), lost=tuple(lost))
        left = keep(left, [method in a for a in allowed], f"does not take {method}")
    if version is not None:
        left = keep(left, [s.version == version for s in left], f"is not version {version}")
        if not left:
            return NotFound(why=f"no saga of this path has version {version}", lost=tuple(lost))
    if any(s.streams for s in left):
        left = keep(left, [bool(s.streams) for s in left], "another names the stream outright")
    if any(s.runners for s in left):
        left = keep(left, [bool(s.runners) for s in left], "another names the runner outright")
    highest = max(s.version for s in left)
    left = keep(left, [s.version == highest for s in left], "another has a higher version")
    lost += [(s.ref, "another of the same rank was declared first") for s in left[1:]]
    return Chosen(saga=left[0], lost=tuple(lost))


def _takes(saga: Saga, stream: str, runner: str, method: str, version: int | None) -> bool:
    """Whether a lone candidate is the one: what nearly every request comes to."""
    return (
        (not saga.runners or runner in saga.runners)
        and (not saga.streams or stream in saga.streams)
        # HEAD depends on the steps, which only `methods_of` looks at.
        and (not method or (method != "HEAD" and method in (saga.methods or VERBS)) or method in methods_of(saga))
        and (version is None or saga.version == version)
    )


def methods_of(saga: Saga) -> tuple[str, ...]:
    """The verbs that a saga takes; HEAD where it takes GET and has no effects."""
    verbs = saga.methods or VERBS
    if "GET" in verbs and "HEAD" not in verbs and not has_effects(saga):
        return (*verbs, "HEAD")
    return verbs if "HEAD" not in verbs or not has_effects(saga) else tuple(v for v in verbs if v != "HEAD")


def has_effects(saga: Saga) -> bool:
    """Whether a step of the saga itself may change something outside; a `run` counts as one."""
    return any(step.verb.effects or step.verb.KEY == "run" for step in walk(saga.steps))
