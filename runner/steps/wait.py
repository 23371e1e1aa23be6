"""`wait`: time passes, durably."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from registry.base.values import Json
from runner.saga import walking
from runner.saga.evaluation import ExpressionFailed
from runner.saga.expression import Expression
from runner.saga.functions_time import read_duration, read_time
from runner.saga.shape import Bare, Duration, Either, Entry, Record
from runner.saga.state import State
from runner.saga.template import Template
from runner.saga.tree import Spot
from runner.steps.leaf import Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Leaf):
    """For a duration (milliseconds, or a template that gives duration text), or until an ISO time."""

    duration: int | Template | None = None
    until: Expression | None = None

    KEY: ClassVar[str] = "wait"
    SHAPE: ClassVar[Either] = Either(
        of=(
            Duration(filled=True),
            Record(
                doc="Until a moment.",
                keys={
                    "until": Entry(shape=Bare(), doc="Gives an ISO time; a past one goes on at once.", required=True)
                },
            ),
        )
    )
    DOC: ClassVar[str] = "A duration, or `{until: expression giving an ISO time}`; survives a restart."

    @classmethod
    def build(cls, v: Any) -> Self:
        if isinstance(v, Mapping):
            return cls(until=v["until"])
        return cls(duration=v)

    def begin(self, run: State, spot: Spot) -> None:
        if self.until is not None:
            until = _moment(self.until(spot.scope))
        else:
            until = run.now + (self.duration if isinstance(self.duration, int) else self._filled(spot))
        if until <= run.now:
            walking.done(run, spot, None)
        else:
            walking.wait(run, spot, until=until)

    def _filled(self, spot: Spot) -> int:
        assert isinstance(self.duration, Template)
        text = self.duration(spot.scope)
        if not isinstance(text, str):
            raise ExpressionFailed("`wait` needs a duration as text, like '30s'")
        return int(read_duration(text).total_seconds() * 1000)


def _moment(value: Json) -> int:
    if not isinstance(value, str):
        raise ExpressionFailed("`wait.until` needs an ISO time as text, like '2026-05-01T10:00:00Z'")
    return int(read_time(value).timestamp() * 1000)
