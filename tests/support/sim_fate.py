"""What a journal tells of one path of a run: read off `B`, `D`, `F`, `U`, and off what operators said of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runner.saga.journal import Begun, Done, Record, Refused, RetryPlanned, Signalled, Unknown

#: Signals of operators that concern a step.
STEERING = frozenset({"$retry", "$skip", "$resolve"})


@dataclass(slots=True)
class Fate:
    """What the journal tells of one path so far."""

    open: bool = False
    done: bool = False
    unknown: bool = False
    #: Kind of the last fault; empty: none since.
    refused: str = ""
    #: Its last attempt failed, and no other is planned: where it is not given up, it is parked.
    stands: bool = False
    #: An operator had it sent again; and it has not been since.
    sent_again: bool = False
    may_be_sent: bool = False
    #: He went without it, or said what came of it: from then on it is his word. And: that it was not done.
    by_hand: bool = False
    denied: bool = False

    def take(self, record: Record) -> None:
        self.stands = isinstance(record, Refused | Unknown)
        if isinstance(record, Begun):
            self.unknown = self.unknown or self.open
            self.open, self.may_be_sent = True, False
        elif isinstance(record, Done):
            self.open, self.done, self.refused = False, True, ""
        elif isinstance(record, Refused):
            self.open, self.refused = False, record.fault.kind
        elif isinstance(record, Unknown):
            self.open, self.unknown, self.refused = False, True, ""

    @property
    def may_have_run(self) -> bool:
        return self.open or self.done or self.unknown


def take_into(fates: dict[str, Fate], record: Record) -> None:
    """Take a record that names a path."""
    if isinstance(record, RetryPlanned):
        fates.setdefault(record.path, Fate()).stands = False
    elif isinstance(record, Begun | Done | Refused | Unknown):
        fates.setdefault(record.path, Fate()).take(record)


def steer(fates: Mapping[str, Fate], signal: Signalled) -> None:
    """Take what an operator said, of every path that it may be about."""
    body = signal.body if isinstance(signal.body, dict) else {}
    named = body.get("step")
    for fate in _standing(fates, named):
        if signal.name == "$retry":
            fate.sent_again = fate.may_be_sent = True
        else:
            fate.by_hand = True
            fate.denied = signal.name == "$resolve" and body.get("done") is False
            fate.done = fate.done or (signal.name == "$resolve" and body.get("done") is True and fate.unknown)


def _standing(fates: Mapping[str, Fate], named: object) -> Iterable[Fate]:
    return [fate for path, fate in fates.items() if fate.stands and named in (None, path)]
