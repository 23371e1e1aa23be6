"""Questions to the SQLite journal that change nothing; asked on a connection of their own, beside the writer.

A reader sees every commit that was acknowledged before it asked, and never waits for the writer.
"""

import sqlite3
from typing import Final

from runner.adapters.stores import entry as rules
from runner.ports import Filter, Page, RunRow, Stored, Unread

_ROW: Final = (
    "r.key, r.id, r.saga, r.version, r.status, r.reason, r.labels, r.bundle, r.fingerprint, "
    "r.started_at, r.ended_at, r.owner, r.epoch, r.length"
)


def _row(found: tuple[int, str, str, int, str, str, str, str, str, int, int | None, str, int, int]) -> RunRow:
    return RunRow(
        id=found[1],
        saga=found[2],
        version=found[3],
        status=found[4],
        reason=found[5],
        labels=rules.decode_labels(found[6]),
        bundle=found[7],
        fingerprint=found[8],
        started_at=found[9],
        ended_at=found[10],
        owner=found[11],
        epoch=found[12],
        length=found[13],
    )


def blobs_of(connection: sqlite3.Connection, key: int) -> dict[str, bytes]:
    """The blobs of the run numbered `key`."""
    return dict(connection.execute("SELECT digest, body FROM blobs WHERE run = ?", (key,)))


class Reads:
    """The questions, for runners of one name (`ns`). Every method may raise `sqlite3.Error`."""

    def __init__(self, connection: sqlite3.Connection, ns: int) -> None:
        self._connection = connection
        self._ns = ns

    def bundle(self, digest: str) -> bytes | None:
        found = self._connection.execute(
            "SELECT body FROM bundles WHERE ns = ? AND digest = ?", (self._ns, digest)
        ).fetchone()
        return None if found is None else bytes(found[0])

    def due(self, now: int, limit: int) -> tuple[str, ...]:
        return self._ids(
            "SELECT id FROM runs WHERE ns = ? AND due_at <= ? ORDER BY due_at, key LIMIT ?",
            (self._ns, now, max(limit, 0)),
        )

    def next_due(self) -> int | None:
        found = self._connection.execute(
            "SELECT min(due_at) FROM runs WHERE ns = ? AND due_at IS NOT NULL", (self._ns,)
        ).fetchone()
        return None if found[0] is None else int(found[0])

    def orphans(self, owner: str, limit: int) -> tuple[str, ...]:
        """Whoever else once owned a run is dead: the file's lock says so."""
        return self._ids(
            "SELECT id FROM runs WHERE ns = ? AND owner <> '' AND owner <> ? LIMIT ?",
            (self._ns, owner, max(limit, 0)),
        )

    def _ids(self, query: str, values: tuple[int | str, ...]) -> tuple[str, ...]:
        return tuple(run for (run,) in self._connection.execute(query, values))

    def unread(self, owner: str) -> tuple[Unread, ...]:
        found = self._connection.execute(
            "SELECT r.id, i.number, i.body FROM runs r "
            "CROSS JOIN inbox i ON i.run = r.key AND i.number > r.taken "
            "WHERE r.ns = ? AND r.owner = ? AND r.signals > r.taken ORDER BY r.key, i.number",
            (self._ns, owner),
        )
        return tuple(Unread(run=run, number=number, signal=rules.decode_signal(body)) for run, number, body in found)

    def stored(self, run: str) -> Stored | None:
        # One transaction, so that the records are those that the row counts.
        self._connection.execute("BEGIN")
        try:
            found = self._connection.execute(
                f"SELECT {_ROW} FROM runs r WHERE r.ns = ? AND r.id = ?",  # noqa: S608 - a constant of this file
                (self._ns, run),
            ).fetchone()
            if found is None:
                return None
            records = self._connection.execute("SELECT body FROM records WHERE run = ? ORDER BY seq", (found[0],))
            return Stored(
                row=_row(found),
                records=tuple(body for (body,) in records),
                blobs=blobs_of(self._connection, found[0]),
            )
        finally:
            self._connection.execute("COMMIT")

    def page(self, wanted: Filter) -> Page:
        """Raises `ValueError` where the cursor is none of a list."""
        size = rules.page_size(wanted)
        query, values = self._question(wanted)
        found = self._connection.execute(query, [*values, size + 1]).fetchall()
        more = len(found) > size
        del found[size:]
        return Page(
            rows=tuple(_row(item) for item in found),
            next=rules.cursor(found[-1][9], found[-1][0]) if more else None,
        )

    def _question(self, wanted: Filter) -> tuple[str, list[int | str]]:
        """The query whose first index is the narrowest: a label's, else the status's, else the saga's.

        Without statistics SQLite would guess between status and saga. Nearly all runs have completed, so that
        status says less than the saga does; any other says more.
        """
        tests: list[str] = []
        values: list[int | str] = []
        by_saga = wanted.saga is not None and wanted.status in (None, "completed")
        if wanted.label is not None:
            # CROSS JOIN: SQLite keeps the order of the tables.
            table, first, key = "labels l CROSS JOIN runs r ON r.key = l.run", "l", "l.run"
            tests.append("l.name = ? AND l.value = ?")
            values += wanted.label
        else:
            index = "runs_saga" if by_saga else "runs_status" if wanted.status is not None else "runs_started"
            table, first, key = f"runs r INDEXED BY {index}", "r", "r.key"
        if wanted.saga is not None:
            tests.append("r.saga = ?")
            values.append(wanted.saga)
        if wanted.status is not None:
            tests.append("r.status = ?")
            values.append(wanted.status)
        if wanted.since is not None:
            tests.append(f"{first}.started_at >= ?")
            values.append(wanted.since)
        if wanted.cursor is not None:
            tests.append(f"({first}.started_at, {key}) < (?, ?)")
            values += rules.place(wanted.cursor)
        where = "".join(f" AND {test}" for test in tests)
        query = (
            f"SELECT {_ROW} FROM {table} WHERE {first}.ns = ?{where} "  # noqa: S608 - made of this file's constants
            f"ORDER BY {first}.started_at DESC, {key} DESC LIMIT ?"
        )
        return query, [self._ns, *values]
