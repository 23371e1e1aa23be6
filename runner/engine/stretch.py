"""The records of a run since its last snapshot, kept at hand so that the next one can stand in for them.

Nothing is kept of a run that has had none: the first one reads the stretch back from the journal, once.
"""

from collections.abc import Sequence

from runner.engine.insist import insist
from runner.ports import Compaction, Hold, Journals
from runner.saga.journal import Record
from runner.saga.snapshot import last_in, since_last, snapshot
from runner.saga.state import State


class Stretch:
    """What was appended since the last snapshot, as it is stored."""

    __slots__ = ("_bodies", "_snapshots")

    def __init__(self) -> None:
        #: None: the journal has to be asked.
        self._bodies: list[bytes] | None = None
        self._snapshots = 0

    def know(self, state: State, stored: Sequence[bytes]) -> None:
        """All records of the run are these, as they are stored."""
        if state.snapshots:
            self._bodies, self._snapshots = since_last(stored), state.snapshots

    async def grow(
        self, journals: Journals, state: State, hold: Hold, records: Sequence[Record], encoded: list[bytes]
    ) -> Compaction | None:
        """An append comes; the last snapshot in it, where there is a new one, is filled."""
        if state.snapshots == self._snapshots:
            if self._bodies is not None:
                self._bodies += encoded
            return None
        before = await _stored(journals, hold) if self._bodies is None else self._bodies
        at = last_in(records)
        encoded[at] = snapshot([*before, *encoded[:at]], records[at].t, exact=state.exact)
        self._bodies, self._snapshots = encoded[at + 1 :], state.snapshots
        return Compaction(at=at, since=hold.length - len(before))

    def begin(self, state: State, records: Sequence[Record], encoded: list[bytes]) -> list[bytes]:
        """What a run is born with, as it is to be stored: behind `S` a snapshot stands in for what is before it."""
        if not state.snapshots:
            return encoded
        at = last_in(records)
        filled = snapshot(encoded[1:at], records[at].t, exact=state.exact)
        self._bodies, self._snapshots = encoded[at + 1 :], state.snapshots
        return [encoded[0], filled, *encoded[at + 1 :]]


async def _stored(journals: Journals, hold: Hold) -> list[bytes]:
    stored = await insist(hold.run, lambda: journals.read(hold.run))
    return [] if stored is None else since_last(stored.records)
