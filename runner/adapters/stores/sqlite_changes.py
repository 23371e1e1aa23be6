"""The entries of runs in hand, and what has changed in them and is yet to be written: few statements for all.

Every statement gives the interpreter lock away and has to win it back from a busy event loop, so a batch must
not cost a statement per operation: what there is to write of one kind is one statement, filled up with rows of
nulls to a power of two, so that only few are ever prepared. The entries are what the tables say, since only this
connection writes; where another program wrote all the same (`data_version`), they are read again.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import repeat
from typing import Any, Final

from runner.adapters.stores import entry as rules
from runner.adapters.stores.entry import Entry
from runner.engine.killpoints import reached
from runner.ports import Blobs

#: Rows of one statement; a power of two.
_ROWS: Final = 128
#: Entries kept between transactions; more are forgotten and read again.
_KEPT: Final = 20_000

_COLUMNS: Final = (
    "key, id, fingerprint, saga, version, bundle, labels, started_at, status, reason, owner, epoch, length, "
    "due_at, ended_at, signals, taken, claims, claimed"
)


def _rows(width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return ", ".join([row] * count)


# The statements are made of this file's own constants; S608 cannot see that.


def _insert(into: str, width: int, count: int) -> str:
    columns = ", ".join(f"column{at + 1}" for at in range(width))
    rows = f"(VALUES {_rows(width, count)})"
    return f"INSERT INTO {into} SELECT {columns} FROM {rows} WHERE column1 IS NOT NULL"  # noqa: S608 - as said above


@cache
def _find(count: int) -> str:
    return f"SELECT {_COLUMNS} FROM runs WHERE ns = ? AND id IN {_rows(count, 1)}"  # noqa: S608 - as said above


@cache
def _insert_runs(count: int) -> str:
    return _insert(f"runs (ns, {_COLUMNS})", 20, count)


@cache
def _insert_records(count: int) -> str:
    return _insert("records (run, seq, body)", 3, count)


@cache
def _insert_labels(count: int) -> str:
    return _insert("labels (ns, name, value, started_at, run)", 5, count)


@cache
def _move_on(count: int) -> str:
    # These columns are in no index, so nothing but the row is written.
    return (
        "UPDATE runs SET length = v.column2, claims = v.column3 "  # noqa: S608 - as said above
        f"FROM (VALUES {_rows(3, count)}) AS v WHERE runs.key = v.column1"
    )


@cache
def _change(count: int) -> str:
    return (
        "UPDATE runs SET length = v.column2, claims = v.column3, status = v.column4, "  # noqa: S608 - as said above
        "reason = v.column5, owner = v.column6, epoch = v.column7, due_at = v.column8, ended_at = v.column9, "
        "signals = v.column10, taken = v.column11, claimed = v.column12 "
        f"FROM (VALUES {_rows(12, count)}) AS v WHERE runs.key = v.column1"
    )


@cache
def _insert_blobs(count: int) -> str:
    return _insert("blobs (run, digest, body)", 3, count) + " ON CONFLICT DO NOTHING"


def _entry(found: tuple[Any, ...]) -> Entry:
    return Entry(
        key=found[0],
        id=found[1],
        fingerprint=found[2],
        saga=found[3],
        version=found[4],
        bundle=found[5],
        labels=rules.decode_labels(found[6]),
        started_at=found[7],
        status=found[8],
        reason=found[9],
        owner=found[10],
        epoch=found[11],
        length=found[12],
        due_at=found[13],
        ended_at=found[14],
        signals=found[15],
        taken=found[16],
        claims=found[17],
        claimed=found[18],
    )


class Changes:
    """Entries by run id, and what is to be written of them, for runners of the name numbered `ns`."""

    def __init__(self, connection: sqlite3.Connection, ns: int) -> None:
        self._connection = connection
        self._ns = ns
        self._entries: dict[str, Entry] = {}
        self._version: int | None = None
        self._last_key = 0
        # What is yet to be written: new entries, those whose length alone has moved, those with more.
        self._born: dict[int, Entry] = {}
        self._moved: dict[int, Entry] = {}
        self._changed: dict[int, Entry] = {}
        self._records: list[int | bytes] = []
        self._labels: list[int | str] = []
        self._blobs: list[int | str | bytes] = []

    def load(self, runs: Iterable[str]) -> None:
        """Have the entries of `runs` at hand; to be called in a transaction."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._entries.clear()
            (last,) = self._connection.execute("SELECT max(key) FROM runs").fetchone()
            self._last_key = last or 0
            self._version = version
        missing = [run for run in dict.fromkeys(runs) if run not in self._entries]
        for part in _filled(missing, 1):
            for found in self._connection.execute(_find(len(part)), [self._ns, *part]):
                self._entries[found[1]] = _entry(found)

    def get(self, run: str) -> Entry | None:
        """The entry of a loaded run; None: there is no such run."""
        return self._entries.get(run)

    def next_key(self) -> int:
        """The number of a run about to be born."""
        self._last_key += 1
        return self._last_key

    def bear(self, entry: Entry, records: Sequence[bytes]) -> None:
        """A new run with its first records."""
        self._entries[entry.id] = self._born[entry.key] = entry
        self.extend(entry.key, 0, records)
        for name, value in entry.labels.items():
            self._labels += (self._ns, name, value, entry.started_at, entry.key)

    def extend(self, key: int, length: int, records: Sequence[bytes]) -> None:
        """Records behind the first `length` ones."""
        for seq, body in enumerate(records, length):
            self._records += (key, seq, body)

    def replace(self, key: int, since: int, length: int, records: Sequence[bytes]) -> None:
        """Records behind the first `length` ones, in place of those from number `since` on."""
        self.write()
        self._connection.execute("DELETE FROM records WHERE run = ? AND seq >= ?", (key, since))
        self.extend(key, length, records)

    def put_blobs(self, key: int, blobs: Blobs) -> None:
        """Blobs beside the records of a run; those that are there stay."""
        for digest, body in blobs.items():
            self._blobs += (key, digest, body)

    def moved(self, entry: Entry) -> None:
        """Nothing but `length` and `claims` has changed."""
        self._moved[entry.key] = entry

    def changed(self, entry: Entry) -> None:
        """Anything but what was given at birth has changed."""
        self._changed[entry.key] = entry

    def forget(self, run: str) -> None:
        """The run is no more."""
        self._entries.pop(run, None)

    def write(self) -> None:
        """Write all that is to be written."""
        if self._born:
            rows: list[Any] = []
            for e in self._born.values():
                rows += (self._ns, e.key, e.id, e.fingerprint, e.saga, e.version, e.bundle)
                rows += (rules.encode_labels(e.labels), e.started_at, e.status, e.reason, e.owner, e.epoch)
                rows += (e.length, e.due_at, e.ended_at, e.signals, e.taken, e.claims, e.claimed)
            self._execute(_insert_runs, 20, rows)
            self._born.clear()
        if self._moved:
            rows = []
            for e in self._moved.values():
                rows += (e.key, e.length, e.claims)
            self._execute(_move_on, 3, rows)
            self._moved.clear()
        if self._changed:
            rows = []
            for e in self._changed.values():
                rows += (e.key, e.length, e.claims, e.status, e.reason, e.owner, e.epoch)
                rows += (e.due_at, e.ended_at, e.signals, e.taken, e.claimed)
            self._execute(_change, 12, rows)
            self._changed.clear()
        reached("changes.runs")
        if self._records:
            self._execute(_insert_records, 3, self._records)
            self._records.clear()
        if self._labels:
            self._execute(_insert_labels, 5, self._labels)
            self._labels.clear()
        if self._blobs:
            self._execute(_insert_blobs, 3, self._blobs)
            self._blobs.clear()

    def settle(self, runs: Iterable[str]) -> None:
        """The transaction is committed; drop those of `runs` that are in nobody's hand."""
        entries = self._entries
        if len(entries) > _KEPT:
            entries.clear()
        for run in runs:
            entry = entries.get(run)
            if entry is not None and not entry.owner:
                del entries[run]

    def drop(self) -> None:
        """The transaction is rolled back: what the entries say may never have been."""
        for entries in (self._entries, self._born, self._moved, self._changed):
            entries.clear()
        self._records.clear()
        self._labels.clear()
        self._blobs.clear()
        self._version = None

    def _execute(self, statement: Callable[[int], str], width: int, values: Sequence[Any]) -> None:
        for part in _filled(values, width):
            self._connection.execute(statement(len(part) // width), part)


def _filled(values: Sequence[Any], width: int) -> Iterator[Sequence[Any]]:
    """`values`, the rows of a table `width` wide one behind the other, in pieces of as many rows as a power of two
    says; the last one is filled up with nulls."""
    most = _ROWS * width
    for at in range(0, len(values), most):
        part = values[at : at + most]
        rows = len(part) // width
        lacking = (1 << (rows - 1).bit_length()) - rows
        yield [*part, *repeat(None, lacking * width)] if lacking else part
