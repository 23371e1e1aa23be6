"""The journal's file: who may have it, what is in it, how a connection to it behaves.

One process has the journal: `Lock` is held for as long as it is open, and the kernel lets it go with the
process, so whoever gets it knows that every former owner is dead. The lock is on a file of its own
(`<path>.lock`, never removed): SQLite has locks of its own on the database.
"""

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from runner.engine.killpoints import reached
from runner.ports import StoreUnavailable

#: Version of the tables, kept as `user_version`.
FORMAT: Final = 2
#: `SAGA` in ASCII, kept as `application_id`: the `file` command and we can tell whose database it is.
_APPLICATION: Final = 0x53414741
#: The first version that knows `UPDATE ... FROM` with all that we use around it.
_OLDEST_SQLITE: Final = (3, 35, 0)
#: Bytes of the write-ahead log that are kept after a checkpoint.
_LOG_KEPT: Final = 64 * 1024 * 1024

_BLOBS: Final = "CREATE TABLE blobs (run INTEGER, digest TEXT, body BLOB NOT NULL, PRIMARY KEY (run, digest));"
#: What format 2 has more than format 1.
_SINCE_1: Final = f"{_BLOBS} ALTER TABLE bundles ADD COLUMN put_at INTEGER NOT NULL DEFAULT 0;"

# `key` numbers the runs of the file, so that records and indexes need not repeat long ids. `ns` is the
# runner's name. Partial indexes hold only what their question is about: an append that changes none of their
# columns costs nothing.
_SCHEMA: Final = f"""
CREATE TABLE names (ns INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE runs (
    key INTEGER PRIMARY KEY,
    ns INTEGER NOT NULL,
    id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    saga TEXT NOT NULL,
    version INTEGER NOT NULL,
    bundle TEXT NOT NULL,
    labels TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    owner TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    length INTEGER NOT NULL,
    due_at INTEGER,
    ended_at INTEGER,
    signals INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    claims INTEGER NOT NULL,
    claimed INTEGER,
    UNIQUE (ns, id)
);
CREATE INDEX runs_started ON runs (ns, started_at);
CREATE INDEX runs_saga ON runs (ns, saga, started_at);
CREATE INDEX runs_status ON runs (ns, status, started_at);
CREATE INDEX runs_bundle ON runs (ns, bundle);
CREATE INDEX runs_due ON runs (ns, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX runs_ended ON runs (ns, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX runs_owned ON runs (ns, owner, id) WHERE owner <> '';
CREATE INDEX runs_unread ON runs (ns, owner) WHERE signals > taken;
CREATE TABLE records (run INTEGER, seq INTEGER, body BLOB NOT NULL, PRIMARY KEY (run, seq)) WITHOUT ROWID;
CREATE TABLE inbox (
    run INTEGER, number INTEGER, signal TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (run, number), UNIQUE (run, signal)
) WITHOUT ROWID;
CREATE TABLE labels (
    ns INTEGER, name TEXT, value TEXT, started_at INTEGER, run INTEGER,
    PRIMARY KEY (ns, name, value, started_at, run)
) WITHOUT ROWID;
CREATE TABLE bundles (
    ns INTEGER, digest TEXT, body BLOB NOT NULL, owner TEXT NOT NULL, put_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (ns, digest)
);
{_BLOBS}
"""


def unavailable(path: Path, error: BaseException) -> StoreUnavailable:
    """What SQLite or the system said, as a sentence that names the file and what to look at."""
    said = str(error)
    if "locked" in said or "busy" in said:
        hint = "Another program holds the database (a shell with an open transaction, a backup): let it finish."
    elif "full" in said:
        hint = "Make room on its disk; then the same works."
    elif "malformed" in said or "not a database" in said:
        hint = "It is damaged or no journal: put a good copy in its place, or set journal.url to another file."
    elif "readonly" in said:
        hint = "Give this user the right to write the file and its folder."
    else:
        hint = "Look at its disk, its folder and their rights."
    return StoreUnavailable(f"The journal {path} cannot be used now: {said}. {hint}")


class Lock:
    """The exclusive right to the journal at `path`, until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """Raises `StoreUnavailable` where another process, or another part of this one, has it."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unavailable(path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 32).decode("ascii", "replace").strip()
            os.close(self._file)
            raise StoreUnavailable(
                f"The journal {path} is in use by another runner (process {holder or 'unknown'}). "
                "Stop that one, or set journal.url to a file of this runner's own."
            ) from None
        except OSError as error:
            os.close(self._file)
            raise unavailable(path, error) from error
        with contextlib.suppress(OSError):  # it only tells the next one who is here
            os.truncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        reached("file.locked")

    def release(self) -> None:
        """Let another open the journal."""
        os.close(self._file)


def connect(path: Path, busy_timeout: float) -> sqlite3.Connection:
    """The connection that writes; makes the file and its tables where there are none.

    `busy_timeout`: seconds to wait for another program that writes. Raises `StoreUnavailable` where the file
    cannot be used, is another program's, or was written by a newer version of this one.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        needed = ".".join(map(str, _OLDEST_SQLITE))
        raise StoreUnavailable(f"SQLite {needed} or newer is needed; this Python has {sqlite3.sqlite_version}.")
    try:
        # Made here, because SQLite would make it readable for everybody; its side files take over the mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = _connect(path, busy_timeout)
    except (OSError, sqlite3.Error) as error:
        raise unavailable(path, error) from error
    try:
        _prepare(path, connection)
    except sqlite3.Error as error:
        connection.close()
        raise unavailable(path, error) from error
    except StoreUnavailable:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, busy_timeout: float) -> sqlite3.Connection:
    """A connection that sees what was committed and cannot write. Raises `StoreUnavailable`."""
    try:
        connection = _connect(path, busy_timeout)
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    return connection


def _connect(path: Path, busy_timeout: float) -> sqlite3.Connection:
    # Each connection belongs to one thread; the check is off only because another one may close it at the
    # end.
    return sqlite3.connect(
        path, timeout=busy_timeout, isolation_level=None, check_same_thread=False, cached_statements=256
    )


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if tables and application != _APPLICATION:
        raise StoreUnavailable(f"{path} is another program's database. Set journal.url to a file of the runner's own.")
    if version > FORMAT:
        raise StoreUnavailable(
            f"The journal {path} has format {version}, and this runner knows formats up to {FORMAT}. "
            "Start the newer version of the runner that wrote it, or set journal.url to another file."
        )
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreUnavailable(
            f"The journal {path} cannot have a write-ahead log (SQLite stays with {mode!r}), as is so on "
            "network file systems. Set journal.url to a file on a local disk."
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone leaves it in the disk's cache
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT}")
    if not tables:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION}; "
            f"PRAGMA user_version = {FORMAT}; COMMIT;"
        )
    elif version < FORMAT:
        connection.executescript(f"BEGIN IMMEDIATE; {_SINCE_1} PRAGMA user_version = {FORMAT}; COMMIT;")
    reached("file.made")
