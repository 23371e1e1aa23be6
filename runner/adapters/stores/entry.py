"""What a store knows of a run besides its records, and the rules that every store applies to it.

The rules are here once: a store finds the entry, asks it, and keeps what has changed, all inside one
transaction of its own. Every check comes before the first change, so a refusal leaves the entry as it was.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from runner.ports import Compaction, Conflict, Fenced, Filter, Hold, NewRun, Note, RunRow, Signal, TooManySignals

#: `due_at` of what waits for no time: not the time of a clock, which may be set back the next moment.
AT_ONCE: Final = 0
#: Unread signals that one run may have.
MAX_UNREAD: Final = 1_000
#: Rows of one page of a list.
MAX_PAGE: Final = 1_000

_CURSOR: Final = re.compile(r"(-?[0-9]{1,18})\.([0-9]{1,18})")

_encode = msgspec.json.Encoder().encode
_decode_signal = msgspec.json.Decoder(Signal).decode
_decode_labels = msgspec.json.Decoder(dict[str, str]).decode

#: How the records begin that a run leaves even when it gets nowhere: a call begun, and the same call found
#: open.
_NO_PROGRESS: Final = frozenset((b'["B"', b'["U"'))


class Entry(msgspec.Struct, kw_only=True, gc=False):
    """One run as a store keeps it. Times in milliseconds; an empty `owner` is nobody."""

    #: Number of the run in its store, growing with each creation; the tie-break of runs that started
    #: together.
    key: int
    id: str
    fingerprint: str
    saga: str
    version: int
    bundle: str
    labels: dict[str, str]
    started_at: int
    status: str
    reason: str
    owner: str
    epoch: int
    length: int
    #: When somebody is to look; only unowned runs have one.
    due_at: int | None
    ended_at: int | None
    #: Signals ever put into the inbox: the number of the newest.
    signals: int = 0
    #: Signals up to this number are merged.
    taken: int = 0
    #: Claims in a row without progress.
    claims: int = 0
    #: Length at which the present owner claimed it; None where the owner created it.
    claimed: int | None = None

    def row(self) -> RunRow:
        """The run as lists show it."""
        return RunRow(
            id=self.id,
            saga=self.saga,
            version=self.version,
            status=self.status,
            reason=self.reason,
            labels=dict(self.labels),
            bundle=self.bundle,
            fingerprint=self.fingerprint,
            started_at=self.started_at,
            ended_at=self.ended_at,
            owner=self.owner,
            epoch=self.epoch,
            length=self.length,
        )

    def hold(self, owner: str) -> Hold:
        """The right to append as `owner` at the present epoch and length."""
        return Hold(run=self.id, owner=owner, epoch=self.epoch, length=self.length)

    def repeats(self, new: NewRun, owner: str) -> bool:
        """Whether `owner` may be sending a creation again: then the stored records decide.

        Raises `Conflict` where both fingerprints are set and differ.
        """
        if self.fingerprint and new.fingerprint and self.fingerprint != new.fingerprint:
            raise Conflict(
                f"The run {self.id} was started by another payload "
                f"(fingerprint {self.fingerprint}, not {new.fingerprint}). "
                "Send the first payload again, or use another key."
            )
        return (
            self.owner == owner
            and self.claimed is None
            and self.length == len(new.records)
            and self.started_at == new.started_at
        )

    def admits(self, hold: Hold, count: int, note: Note) -> bool:
        """True: `count` records may be appended. False: they may be there already, compare. Else `Fenced`.

        A run that its owner has let go still answers the append that let it go: the epoch says that nobody
        has claimed it since.
        """
        if self.epoch == hold.epoch:
            if self.owner == hold.owner:
                if self.length == hold.length:
                    return True
                if count and self.length == hold.length + count:
                    return False
            elif not self.owner and (note.release or note.ended) and self.length == hold.length + count:
                return False
        raise self.fenced(hold)

    def fenced(self, hold: Hold) -> Fenced:
        """The refusal, with both sides of the fence."""
        return Fenced(
            f"The run {self.id} belongs to {self.owner or 'nobody'} at epoch {self.epoch} with {self.length} "
            f"records; the append came from {hold.owner} at epoch {hold.epoch} with {hold.length}. "
            "Stop driving it."
        )

    def extend(self, records: Sequence[bytes], note: Note, taken: int, now: int) -> None:
        """`records` are appended and the note holds."""
        self.length += len(records)
        if self.claims and made_progress(records):
            self.claims = 0
        if taken > self.taken:
            self.taken = min(taken, self.signals)
        self._settle(note, now)

    def _settle(self, note: Note, now: int) -> None:
        self.status = note.status
        self.reason = note.reason
        if note.ended:
            self.owner = ""
            self.due_at = None
            self.ended_at = now
            self.taken = self.signals
        elif note.release:
            self.owner = ""
            self.due_at = note.due_at
            if self.signals > self.taken and not note.deaf:
                self.wake(now)

    def wake(self, now: int) -> None:
        """Due at once, or since earlier."""
        if self.due_at is None or self.due_at > now:
            self.due_at = AT_ONCE

    def claim(self, owner: str, *, dead: bool) -> bool:
        """Whether `owner` has the run now; `dead`: its present owner is known to be.

        Claiming again what was claimed, with nothing appended since, changes nothing.
        """
        if self.ended_at is not None:
            return False
        if self.owner == owner:
            return self.claimed == self.length
        if self.owner and not dead:
            return False
        self.owner = owner
        self.epoch += 1
        self.claims += 1
        self.claimed = self.length
        self.due_at = None
        return True

    def take_signal(self, *, seen: bool, now: int) -> str:
        """`again`, `ended` or `taken`: then it is number `signals` of the inbox. Raises `TooManySignals`."""
        if seen:
            return "again"
        if self.ended_at is not None:
            return "ended"
        if self.signals - self.taken >= MAX_UNREAD:
            raise TooManySignals(
                f"The run {self.id} has {MAX_UNREAD} unread signals, the most there may be. "
                "Wait until it has read some, or cancel it."
            )
        self.signals += 1
        if not self.owner:
            self.wake(now)
        return "taken"


def born(key: int, new: NewRun, note: Note, owner: str, now: int, *, start: bool) -> Entry:
    """The entry of a new run: `owner`'s, or nobody's and due now; the note may end it, or let it go."""
    entry = Entry(
        key=key,
        id=new.id,
        fingerprint=new.fingerprint,
        saga=new.saga,
        version=new.version,
        bundle=new.bundle,
        labels=dict(new.labels),
        started_at=new.started_at,
        status=note.status,
        reason=note.reason,
        owner=owner if start else "",
        epoch=1,
        length=len(new.records),
        due_at=None if start else AT_ONCE,
        ended_at=None,
    )
    if note.ended or (start and note.release):
        entry._settle(note, now)
    return entry


def forgotten(hold: Hold) -> Fenced:
    """The refusal where there is no such run (any more)."""
    return Fenced(f"There is no run {hold.run}: it ended and was forgotten. Stop driving it.")


def made_progress(records: Sequence[bytes]) -> bool:
    """Whether anything but begun and unknown calls is among encoded `records`.

    Records are opaque to a store except for this: their first four bytes are `["` and the letter and `"`.
    """
    return any(record[:4] not in _NO_PROGRESS for record in records)


def kept(length: int, records: Sequence[bytes], compaction: Compaction | None) -> dict[int, bytes]:
    """What an append behind `length` records leaves in the store, by sequence number."""
    first = 0 if compaction is None else compaction.at
    return {length + at: records[at] for at in range(first, len(records))}


def page_size(wanted: Filter) -> int:
    """Rows to show: at least one, at most `MAX_PAGE`."""
    return max(1, min(wanted.limit, MAX_PAGE))


def cursor(started_at: int, key: int) -> str:
    """The place behind a row in a list; runs that come later lie before it."""
    return f"{started_at}.{key}"


def place(text: str) -> tuple[int, int]:
    """`(started_at, key)` of a cursor. Raises `ValueError` with a sentence where it is none."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no cursor of a list of runs: pass on `next` of the page before, unchanged.")
    return int(found[1]), int(found[2])


def encode_signal(signal: Signal) -> bytes:
    """A signal as it lies in an inbox."""
    return _encode(signal)


def decode_signal(body: bytes) -> Signal:
    """The signal again."""
    return _decode_signal(body)


def encode_labels(labels: dict[str, str]) -> str:
    """Labels as a JSON object."""
    return _encode(labels).decode() if labels else "{}"


def decode_labels(text: str) -> dict[str, str]:
    """The labels again."""
    return {} if text == "{}" else _decode_labels(text)
