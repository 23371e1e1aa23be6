"""What a simulated world is to be like, and what became of it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from runner.ports import RunRow
from runner.saga.journal import Record, Signalled, encode
from tests.support.sim_chronicle import Chronicle, known_id
from tests.support.sim_definitions import Made
from tests.support.sim_services import Weather, storm
from tests.support.sim_shelf import MEMORY


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything; the seed decides when and to whom."""

    runners: int = 2
    runs: int = 6
    kills: int = 4
    #: Chance of a kill at each step of a runner's way, as long as there are kills left.
    deadly: float = 0.012
    pauses: int = 3
    #: Chance that a runner is stopped in good order.
    drains: float = 0.0
    outages: int = 2
    jumps: int = 2
    cancels: float = 0.2
    #: Chance that operators meddle with a run, and look after what is parked at the end.
    operators: float = 0.5
    #: What operators ask of each run besides: seconds after the one before, and what (see `sim_operate`).
    acts: tuple[tuple[int, str], ...] = ()
    #: `memory` or `sqlite`; and whether one runner at a time has it, as is always so with SQLite.
    kept_in: str = MEMORY
    alone: bool = False
    storm: Callable[[], Weather] = storm
    store: float = 0.02
    barrier: bool = True
    #: See `Reaper.strikes` and `Services.script`.
    strikes: frozenset[int] = frozenset()
    script: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Takes the place of the programs that the seed would choose.
    programs: tuple[Made, ...] = ()


#: What a seed plays unless it is told otherwise.
USUAL = Plan()


@dataclass(slots=True, kw_only=True)
class Told:
    """One run as the store has it at the end."""

    made: Made
    row: RunRow
    records: list[Record]


@dataclass(slots=True, kw_only=True)
class Played:
    """What became of a world."""

    seed: int
    runs: dict[str, Told] = field(default_factory=dict)
    #: Triggers that nobody ever took.
    lost: list[str] = field(default_factory=list)
    chronicle: Chronicle
    effects: dict[str, int]
    #: Final replies by run: status and body.
    replies: dict[str, list[tuple[int, bytes]]]
    #: What a task of a runner broke with, which nobody expected.
    broken: list[str] = field(default_factory=list)
    #: Runs that no trigger and no `onFail` accounts for.
    strangers: list[str] = field(default_factory=list)
    #: Runs that the store takes for owned, or due.
    owned: list[str] = field(default_factory=list)
    due: list[str] = field(default_factory=list)
    #: Runs that are still there after a sweep of all that ever ended.
    unswept: list[str] = field(default_factory=list)

    @property
    def hash(self) -> str:
        """Of every journal and every request, in order."""
        hashed = hashlib.sha256()
        for run, kept in self.known():
            hashed.update(f"{run} {kept.row.status} {kept.row.reason}".encode())
            for record in kept.records:
                hashed.update(encode(record))
        for event in self.chronicle.events:
            hashed.update(repr(event).encode())
        return hashed.hexdigest()[:16]

    def known(self) -> list[tuple[str, Told]]:
        """Every run as far as the seed decides it, in the order of their ids."""
        return [
            (run, replace(told, records=[_known(one) for one in told.records]))
            for run, told in sorted(self.runs.items())
        ]


def _known(record: Record) -> Record:
    if isinstance(record, Signalled):
        return msgspec.structs.replace(record, id=known_id(record.name, record.id))
    return record
