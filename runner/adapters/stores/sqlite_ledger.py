"""The writing side of the SQLite journal: every operation of the port, within one transaction at a time.

Many operations share a transaction. They are judged one after the other on the entries in memory
(`sqlite_changes`), each before it changes anything, so that one that is refused spoils none.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from registry.base.clock import Clock
from runner.adapters.stores import entry as rules
from runner.adapters.stores.entry import Entry
from runner.adapters.stores.sqlite_changes import Changes
from runner.adapters.stores.sqlite_reads import blobs_of
from runner.engine.killpoints import reached
from runner.ports import Blobs, Claimed, Compaction, Created, Hold, NewRun, Note, Signal, Unread

#: Bundles that one sweep forgets.
_BUNDLES: Final = 100


class Ledger:
    """The writing connection, for the incarnation `owner` of the runner `name`; belongs to one thread.

    Operations are called between `begin` and `commit`. They raise `StoreError` where they refuse, having
    changed nothing; anything else that is raised asks for `rollback`.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock, name: str, owner: str) -> None:
        """Raises `ValueError` where `owner` has been an owner before."""
        self._connection = connection
        self._clock = clock
        self._owner = owner
        self._now = 0
        connection.execute("INSERT INTO names (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
        found = connection.execute("SELECT ns FROM names WHERE name = ?", (name,)).fetchone()
        #: Number of the runner's name in the file.
        self.ns = int(found[0])
        known = connection.execute(
            "SELECT 1 FROM runs WHERE ns = ? AND owner <> '' AND owner = ? LIMIT 1", (self.ns, owner)
        ).fetchone()
        if known or not owner:
            raise ValueError(f"{owner!r} cannot be an owner: each incarnation needs a name that no other has.")
        self._changes = Changes(connection, self.ns)

    def begin(self, runs: Iterable[str]) -> None:
        """Start a transaction that will concern `runs`."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._now = self._clock.millis()
        self._changes.load(runs)

    def commit(self, runs: Iterable[str]) -> None:
        """Make the transaction that concerned `runs` durable."""
        self._changes.write()
        reached("ledger.written")
        self._connection.execute("COMMIT")
        reached("ledger.committed")
        self._changes.settle(runs)

    def rollback(self) -> None:
        """Nothing of this transaction has been."""
        self._changes.drop()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; the last one folds the log into the database."""
        self._connection.close()

    def create(self, new: NewRun, note: Note, start: bool) -> Created:
        entry = self._changes.get(new.id)
        if entry is not None:
            if entry.repeats(new, self._owner) and list(self._records(entry, 0).values()) == list(new.records):
                return Created(hold=entry.hold(self._owner), existing=None)
            return Created(hold=None, existing=entry.row())
        entry = self._bear(new, note, start=start)
        reached("ledger.created")
        return Created(hold=entry.hold(self._owner) if start else None, existing=None)

    def append(
        self,
        hold: Hold,
        records: Sequence[bytes],
        note: Note,
        blobs: Blobs,
        compaction: Compaction | None,
        taken: int,
        spawn: Sequence[tuple[NewRun, Note]],
    ) -> tuple[Unread, ...]:
        entry = self._changes.get(hold.run)
        if entry is None:
            raise rules.forgotten(hold)
        if entry.admits(hold, len(records), note):
            before = (entry.status, entry.reason, entry.owner, entry.taken)
            entry.extend(records, note, taken, self._now)
            if compaction is None:
                self._changes.extend(entry.key, hold.length, records)
            else:
                self._changes.replace(
                    entry.key, compaction.since, hold.length + compaction.at, records[compaction.at :]
                )
            if blobs:
                self._changes.put_blobs(entry.key, blobs)
            reached("ledger.extended")
            if before == (entry.status, entry.reason, entry.owner, entry.taken):
                self._changes.moved(entry)
            else:
                self._changes.changed(entry)
                self._empty_inbox(entry, before[3])
            for new, first in spawn:
                if self._changes.get(new.id) is None:
                    reached("ledger.spawn")
                    self._bear(new, first, start=False)
        elif self._records(entry, hold.length) != rules.kept(hold.length, records, compaction):
            raise entry.fenced(hold)
        return self._unread(entry)

    def claim(self, run: str) -> Claimed | None:
        entry = self._changes.get(run)
        # The file's lock is ours, so whoever else owned the run is dead.
        if entry is None or not entry.claim(self._owner, dead=True):
            return None
        self._changes.changed(entry)
        reached("ledger.claim")
        return Claimed(
            hold=entry.hold(self._owner),
            row=entry.row(),
            records=tuple(self._records(entry, 0).values()),
            blobs=blobs_of(self._connection, entry.key),
            unread=self._unread(entry),
            takeovers=entry.claims,
        )

    def signal(self, run: str, signal: Signal) -> str:
        entry = self._changes.get(run)
        if entry is None:
            return "unknown"
        seen = self._connection.execute(
            "SELECT 1 FROM inbox WHERE run = ? AND signal = ?", (entry.key, signal.id)
        ).fetchone()
        verdict = entry.take_signal(seen=seen is not None, now=self._now)
        if verdict == "taken":
            self._connection.execute(
                "INSERT INTO inbox (run, number, signal, body) VALUES (?, ?, ?, ?)",
                (entry.key, entry.signals, signal.id, rules.encode_signal(signal)),
            )
            reached("ledger.signal")
            self._changes.changed(entry)
        return verdict

    def put_bundle(self, digest: str, body: bytes) -> None:
        self._connection.execute(
            "INSERT INTO bundles (ns, digest, body, owner, put_at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET owner = excluded.owner, put_at = excluded.put_at",
            (self.ns, digest, body, self._owner, self._now),
        )
        reached("ledger.bundle")

    def sweep_runs(self, ended_before: int, limit: int) -> int:
        """Forget at most `limit` runs, the longest ended first; how many it were."""
        self._changes.write()
        found = self._connection.execute(
            "SELECT key, id, labels, started_at FROM runs WHERE ns = ? AND ended_at < ? ORDER BY ended_at, key LIMIT ?",
            (self.ns, ended_before, limit),
        ).fetchall()
        for key, run, labels, started_at in found:
            for name, value in rules.decode_labels(labels).items():
                self._connection.execute(
                    "DELETE FROM labels WHERE ns = ? AND name = ? AND value = ? AND started_at = ? AND run = ?",
                    (self.ns, name, value, started_at, key),
                )
            self._connection.execute("DELETE FROM records WHERE run = ?", (key,))
            self._connection.execute("DELETE FROM blobs WHERE run = ?", (key,))
            reached("ledger.sweep-run")
            self._connection.execute("DELETE FROM inbox WHERE run = ?", (key,))
            self._connection.execute("DELETE FROM runs WHERE key = ?", (key,))
            self._changes.forget(run)
        return len(found)

    def sweep_bundles(self, put_before: int) -> None:
        """Forget bundles that no run names, except this incarnation's, which may be about to name them, and those put
        since `put_before` (milliseconds)."""
        self._changes.write()
        self._connection.execute(
            "DELETE FROM bundles WHERE rowid IN ("
            "SELECT b.rowid FROM bundles b WHERE b.ns = ? AND b.owner <> ? AND b.put_at < ? "
            "AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.ns = b.ns AND r.bundle = b.digest) LIMIT ?)",
            (self.ns, self._owner, put_before, _BUNDLES),
        )
        reached("ledger.sweep-bundles")

    def _bear(self, new: NewRun, note: Note, *, start: bool) -> Entry:
        entry = rules.born(self._changes.next_key(), new, note, self._owner, self._now, start=start)
        self._changes.bear(entry, new.records)
        if new.blobs:
            self._changes.put_blobs(entry.key, new.blobs)
        return entry

    def _records(self, entry: Entry, start: int) -> dict[int, bytes]:
        """Stored records by sequence number, ascending from `start`."""
        self._changes.write()
        found = self._connection.execute(
            "SELECT seq, body FROM records WHERE run = ? AND seq >= ? ORDER BY seq", (entry.key, start)
        )
        return dict(found)

    def _unread(self, entry: Entry) -> tuple[Unread, ...]:
        if entry.signals == entry.taken:
            return ()
        found = self._connection.execute(
            "SELECT number, body FROM inbox WHERE run = ? AND number > ? ORDER BY number",
            (entry.key, entry.taken),
        )
        return tuple(Unread(run=entry.id, number=number, signal=rules.decode_signal(body)) for number, body in found)

    def _empty_inbox(self, entry: Entry, taken: int) -> None:
        """Drop the bodies after number `taken` that are taken now; the ids stay, to be known again."""
        if entry.taken > taken:
            self._connection.execute(
                "UPDATE inbox SET body = x'' WHERE run = ? AND number > ? AND number <= ?",
                (entry.key, taken, entry.taken),
            )
            reached("ledger.inbox")
