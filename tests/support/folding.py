"""Plays a saga on the fold alone, without an engine: every attempt is answered at once, by a rule."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runner.saga.advance import RunState
from runner.saga.command import Attempt, Command, Write
from runner.saga.definition import Program
from runner.saga.journal import Begun, Record, Started
from tests.support.builders import RUN, done

#: The record of an attempt's outcome.
Rule = Callable[[Attempt], Record]


def succeeds(wish: Attempt) -> Record:
    return done(wish.path, attempt=wish.number, way=wish.dir, output={"of": wish.path})


@dataclass(slots=True)
class Folding:
    """A run that is played until it ends or only a person could move it on."""

    state: RunState
    rule: Rule = succeeds
    records: list[Record] = field(default_factory=list)
    now: int = 0

    def add(self, record: Record) -> None:
        self.records.append(record)
        self.state.apply(record)

    def play(self, *, records: int | None = None) -> None:
        """Go on from what is outstanding; `records`: no further than to so many."""
        wishes = self.state.outstanding()
        while records is None or len(self.records) < records:
            wishes = self._perform(wishes) or self._later()
            if not wishes:
                return

    def _perform(self, wishes: list[Command]) -> list[Command]:
        state = self.state
        for wish in wishes:
            if isinstance(wish, Write) and state.owes(wish):
                self.add(wish.record)
            elif isinstance(wish, Attempt) and wish.path in state.open:
                if state.open[wish.path].step.verb.effects:
                    self.add(Begun(t=self.now, path=wish.path, dir=wish.dir, attempt=wish.number, digest="d"))
                self.add(self.rule(wish))
        return state.take()

    def _later(self) -> list[Command]:
        """The wishes of the next timer."""
        state = self.state
        if state.ended is not None or state.open or state.owed or not state.timers:
            return []
        key, at = min(state.timers.items(), key=lambda item: item[1])
        self.now = max(self.now, at)
        return state.fire(key, self.now)


def folding(program: Program, given: Any = None, rule: Rule = succeeds) -> Folding:
    """A run that has just started."""
    at = Folding(RunState(program, RUN), rule)
    at.add(Started(t=0, bundle=program.digest, saga=program.saga.ref, input=given, event={"id": RUN}))
    return at
