"""`listen`: until somebody sends the run a signal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from runner.saga import walking
from runner.saga.shape import Entry, Many, Record, Word
from runner.saga.state import State
from runner.saga.tree import Spot
from runner.steps.leaf import Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen(Leaf):
    """The signal's name, and who may send it."""

    signal: str
    #: None: `saga-admin` where authentication is set up, anybody else where it is not.
    roles: tuple[str, ...] | None = None

    KEY: ClassVar[str] = "listen"
    SHAPE: ClassVar[Record] = Record(
        doc="Until a signal of this name comes; the output is its body.",
        keys={
            "signal": Entry(
                shape=Word(pattern=r"[A-Za-z][A-Za-z0-9._-]{0,127}", told="a signal name"),
                doc="Name of the signal: `POST /api/v1/runs/{id}/signals/{name}`.",
                required=True,
            ),
            "roles": Entry(shape=Many(of=Word()), doc="Who may send it; default `saga-admin` where `auth` is set."),
        },
    )

    @classmethod
    def build(cls, v: Mapping[str, Any]) -> Self:
        roles = v.get("roles")
        return cls(signal=v["signal"], roles=None if roles is None else tuple(roles))

    def begin(self, run: State, spot: Spot) -> None:
        kept = walking.heard(run, self.signal)
        if kept is not None:
            walking.deliver(run, spot, kept)
            return
        timeout = spot.step.timeout
        walking.wait(run, spot, until=None if timeout is None else run.now + timeout, signal=self.signal)
