"""What the demo services remember: one SQLite file that survives a kill at any moment.

Four tables. `effects` is what is in force, `closed` the ids that were undone, some before they ever came,
`keys` each idempotency key with the answer it got, `requests` everything that came. One request is one
transaction over all four: the answer under a key and its effect are stored together or not at all.

The file only grows; deleting it opens a new shop.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from registry.base.clock import Clock, iso
from registry.base.values import Json, canonical

_T = TypeVar("_T")

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS effects (
    number INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
    body TEXT NOT NULL, key TEXT NOT NULL, run TEXT NOT NULL, at TEXT NOT NULL, UNIQUE (service, id)) STRICT;
CREATE TABLE IF NOT EXISTS closed (
    service TEXT NOT NULL, id TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (service, id)) STRICT;
CREATE TABLE IF NOT EXISTS keys (
    service TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, status INTEGER NOT NULL,
    body TEXT NOT NULL, late INTEGER NOT NULL, PRIMARY KEY (service, key)) STRICT;
CREATE TABLE IF NOT EXISTS requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    key TEXT NOT NULL, run TEXT NOT NULL, at TEXT NOT NULL, status INTEGER NOT NULL,
    effect TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS requests_by_key ON requests (service, key);
CREATE INDEX IF NOT EXISTS requests_by_path ON requests (service, path);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, as far as the ledger cares."""

    service: str
    method: str
    #: URL path as it was sent, without the query.
    path: str
    #: `Idempotency-Key`; empty: none came, or the request only reads.
    key: str = ""
    #: `X-Saga-Run`; empty: none came.
    run: str = ""
    #: Digest of method, path and body: what a key may be repeated with.
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One reply."""

    status: int
    body: Json
    #: Sent only after the caller has lost patience; what it tells of is in force all the same.
    late: bool = False
    #: Repeated to every request under the same key. False where a later attempt may fare better.
    kept: bool = True


class Books:
    """One service's part of the ledger, inside the transaction of one request."""

    def __init__(self, db: sqlite3.Connection, asked: Asked, at: str) -> None:
        self._db = db
        self._asked = asked
        self._at = at
        #: What became of the request: `applied`, `undone`, or empty where it changed nothing.
        self.effect = ""

    def find(self, id_: str) -> Json | None:
        """The body of the effect in force under this id."""
        row = self._db.execute(
            "SELECT body FROM effects WHERE service = ? AND id = ?", (self._asked.service, id_)
        ).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def closed(self, id_: str) -> bool:
        """Was this id undone, or undone before it came?"""
        return (
            self._db.execute("SELECT 1 FROM closed WHERE service = ? AND id = ?", (self._asked.service, id_)).fetchone()
            is not None
        )

    def put(self, id_: str, kind: str, body: Json) -> None:
        """Bring an effect into force; the id must be neither in force nor closed."""
        self._db.execute(
            "INSERT INTO effects (service, id, kind, body, key, run, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self._asked.service,
                id_,
                kind,
                canonical(body).decode(),
                self._asked.key,
                self._asked.run,
                self._at,
            ),
        )
        self.effect = "applied"

    def close(self, id_: str) -> bool:
        """Undo what is in force under this id and let nothing come under it again. False: nothing was."""
        self._db.execute("INSERT OR IGNORE INTO closed VALUES (?, ?, ?)", (self._asked.service, id_, self._at))
        gone = self._db.execute("DELETE FROM effects WHERE service = ? AND id = ?", (self._asked.service, id_))
        if gone.rowcount == 0:
            return False
        self.effect = "undone"
        return True

    def attempts(self) -> int:
        """How many requests came before under this request's key."""
        return self._count("key", self._asked.key)

    def looks(self) -> int:
        """How many requests came before for this request's path."""
        return self._count("path", self._asked.path)

    def _count(self, column: str, value: str) -> int:
        query = f"SELECT count(*) FROM requests WHERE service = ? AND {column} = ?"  # noqa: S608 - our own two words
        count: int = self._db.execute(query, (self._asked.service, value)).fetchone()[0]
        return count


#: What a service makes of a request. Runs inside the transaction, so it must not wait for anything.
Rule: TypeAlias = Callable[[Books], Answer]


class Ledger:
    """The shop's file. One thread owns the connection, so that a slow disk never holds up the event loop."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shop-ledger")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file, made with its folder where it is missing. Raises OSError or sqlite3.Error."""
        await self._do(self._open)

    async def close(self) -> None:
        """Close the file; what was asked before is done first."""
        await self._do(self._close)
        self._thread.shutdown()

    async def answer(self, asked: Asked, rule: Rule) -> Answer:
        """Answer one request and remember it, in one transaction.

        - A key that is new: what `rule` says, kept under the key with its effect.
        - The same key and digest again: the answer kept, and no second effect.
        - The same key with another digest: 422, and no effect.
        """
        return await self._do(partial(self._answer, asked, rule))

    async def effects(self, service: str) -> list[Json]:
        """What is in force, in the order it came: `{id, kind, key, run, at, body}`."""
        rows = await self._do(
            partial(
                self._select,
                "SELECT id, kind, key, run, at, body FROM effects WHERE service = ? ORDER BY number",
                (service,),
            )
        )
        return [
            {
                "id": r[0],
                "kind": r[1],
                "key": r[2],
                "run": r[3],
                "at": r[4],
                "body": msgspec.json.decode(r[5]),
            }
            for r in rows
        ]

    async def requests(self, service: str, limit: int) -> list[Json]:
        """The latest `limit` requests, oldest first: `{method, path, key, run, at, status, effect}`.

        `effect` is `applied`, `undone`, `repeated` (answered from its key) or empty.
        """
        names = ("method", "path", "key", "run", "at", "status", "effect")
        rows = await self._do(
            partial(
                self._select,
                "SELECT method, path, key, run, at, status, effect FROM requests"
                " WHERE service = ? ORDER BY number DESC LIMIT ?",
                (service, limit),
            )
        )
        return [dict(zip(names, row, strict=True)) for row in reversed(rows)]

    async def _do(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(self._path, isolation_level=None, timeout=5.0)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_TABLES)

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise RuntimeError("the shop's ledger is not open: await open() before asking it")
        return self._db

    def _select(self, query: str, values: Sequence[str | int]) -> list[tuple[Any, ...]]:
        return self._connection().execute(query, values).fetchall()

    def _answer(self, asked: Asked, rule: Rule) -> Answer:
        db = self._connection()
        db.execute("BEGIN IMMEDIATE")
        try:
            answer = self._settle(db, asked, rule)
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        return answer

    def _settle(self, db: sqlite3.Connection, asked: Asked, rule: Rule) -> Answer:
        at = iso(self._clock.now())
        known = self._known(db, asked) if asked.key else None
        if known is not None:
            answer, effect = known, "repeated"
        else:
            books = Books(db, asked, at)
            answer = rule(books)
            effect = books.effect
            if asked.key and answer.kept:
                db.execute(
                    "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        asked.service,
                        asked.key,
                        asked.digest,
                        answer.status,
                        canonical(answer.body).decode(),
                        answer.late,
                    ),
                )
        db.execute(
            "INSERT INTO requests (service, method, path, key, run, at, status, effect)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (asked.service, asked.method, asked.path, asked.key, asked.run, at, answer.status, effect),
        )
        return answer

    def _known(self, db: sqlite3.Connection, asked: Asked) -> Answer | None:
        row = db.execute(
            "SELECT digest, status, body, late FROM keys WHERE service = ? AND key = ?",
            (asked.service, asked.key),
        ).fetchone()
        if row is None:
            return None
        if row[0] != asked.digest:
            reason = f"the key {asked.key} was used before with another request: a new request needs a new key"
            return Answer(status=422, body={"reason": reason})
        return Answer(status=row[1], body=msgspec.json.decode(row[2]), late=bool(row[3]))
