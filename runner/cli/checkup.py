"""What would keep a runner from starting, or from working once it has: one question per outside thing.

A check only looks. It starts nothing, changes nothing, and leaves a runner at work alone; where it has to ask
over a network it gives up after two seconds (a name that no resolver answers may take the resolver's own time).
"""

import fcntl
import os
import re
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from registry.base.guest import CannotListen, listening, url_of
from registry.base.values import Json
from runner.adapters.stores.sqlite_file import FORMAT
from runner.app import load_definitions
from runner.cli.http import Server
from runner.definitions.findings import ERROR as BROKEN
from runner.definitions.findings import as_text
from runner.settings import Settings, not_yet, refusals
from runner.settings.streams import KafkaStream

#: Seconds that anything asked over a network has.
PATIENCE: Final = 2.0
OK: Final = "ok"
#: `saga run` starts, and something of it may not work.
WARNING: Final = "warning"
#: `saga run` does not start.
ERROR: Final = "error"

_PORTS: Final = {
    "http": 80,
    "https": 443,
    "redis": 6379,
    "rediss": 6379,
    "redis-cluster": 6379,
    "redis-sentinel": 26379,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one look gave."""

    #: The setting, or the section, that it is about.
    name: str
    #: `ok`, `warning` or `error`.
    status: str
    #: What was found, and how to mend it.
    told: str

    def plain(self) -> dict[str, Json]:
        """`{name, status, told}`."""
        return {"name": self.name, "status": self.status, "told": self.told}


def checkup(settings: Settings, *, insecure: bool = False) -> Iterator[Check]:
    """Every check, in order, as each is done. `insecure`: as `saga run --insecure` would start."""
    yield Check(name="settings", status=OK, told="valid")
    for sentence in refusals(settings, insecure=insecure):
        yield Check(name="settings", status=ERROR, told=sentence)
    for sentence in not_yet(settings):
        yield Check(name="settings", status=WARNING, told=sentence)
    yield from _definitions(settings)
    yield _journal(settings)
    yield _port("runner.port", settings.runner.host, settings.runner.port)
    if settings.registry.url is None and settings.registry.port:
        yield _port("registry.port", settings.runner.host, settings.registry.port)
    connections = list(_connections(settings))
    with ThreadPoolExecutor(max_workers=16) as pool:
        yield from pool.map(lambda ask: ask(), connections)


def _definitions(settings: Settings) -> Iterator[Check]:
    loaded = load_definitions(settings)
    warnings = len(loaded.findings) - loaded.errors
    count = f"{_count(len(loaded.catalog), 'saga')}, {len(loaded.catalog.active)} of them active"
    if loaded.errors:
        broken = [finding for finding in loaded.findings if finding.severity == BROKEN]
        first = as_text(broken[:1]).splitlines()
        yield Check(
            name="definitions",
            status=ERROR,
            told=f"{_count(loaded.errors, 'error')}, see them all: saga check. {first[0]} {first[1].strip()}",
        )
    elif not len(loaded.catalog):
        yield Check(name="definitions", status=WARNING, told="there is no saga, so nothing can be started")
    elif warnings:
        yield Check(name="definitions", status=WARNING, told=f"{count}; {_count(warnings, 'warning')}, see: saga check")
    else:
        yield Check(name="definitions", status=OK, told=count)
    for sentence in loaded.not_yet:
        yield Check(name="definitions", status=WARNING, told=sentence)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# ---------------------------------------------------------------------- the journal


def _journal(settings: Settings) -> Check:
    path = settings.journal.url.path
    if path is None:
        lasting = settings.journal.url.store != "memory"
        told = str(settings.journal.url) if lasting else "in memory: runs end with the process"
        return Check(name="journal.url", status=OK if lasting else WARNING, told=told)
    status, told = _file(path.resolve())
    return Check(name="journal.url", status=status, told=f"{path} {told}")


def _file(path: Path) -> tuple[str, str]:
    """Whether a runner could have the journal at `path`: status and sentence."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if there != path:
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            return OK, "is not there yet, and will be made"
        return ERROR, f"cannot be made: give this user the right to write in {there}, or mend journal.url"
    if path.is_dir():
        return ERROR, "is a folder: name a file in journal.url"
    holder = _holder(Path(f"{path}.lock"))
    if holder:
        return OK, f"is in use by a running runner ({holder})"
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK):
        return ERROR, "cannot be written: give this user the right to write the file and its folder"
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=PATIENCE)
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            tables = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            runs = connection.execute("SELECT count(*) FROM runs").fetchone()[0] if "runs" in tables else 0
        finally:
            connection.close()
    except sqlite3.Error as error:
        return ERROR, f"cannot be read ({error}): put a good copy in its place, or name another file in journal.url"
    if tables and not {"runs", "records"} <= tables:
        return ERROR, "is another program's database: name a file of the runner's own in journal.url"
    if version > FORMAT:
        return ERROR, f"has format {version}, and this version knows {FORMAT}: start the newer version that wrote it"
    return OK, f"can be opened; {_count(int(runs), 'run')} in it"


def _holder(lock: Path) -> str:
    """Which process has the lock: `process 17`; empty where nobody has.

    Asked by trying it, shared and for an instant: that disturbs no runner that has it. One that starts in that
    very instant would find it taken, and has to be started again.
    """
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        number = os.read(file, 32).decode("ascii", "replace").strip()
        return f"process {number}" if number.isdigit() else "process unknown"
    finally:
        os.close(file)
    return ""


# ---------------------------------------------------------------------- ports and connections


def _port(name: str, host: str, port: int) -> Check:
    if not port:
        return Check(name=name, status=OK, told="any free one")
    try:
        with listening(host, port, "the runner"):
            return Check(name=name, status=OK, told=f"{host}:{port} is free")
    except CannotListen as error:
        version = _answering(host, port)
        if version is None:
            return Check(name=name, status=ERROR, told=str(error))
        return Check(name=name, status=OK, told=f"{host}:{port} is answered by a running saga, version {version}")


def _answering(host: str, port: int) -> str | None:
    """The version of the runner or registry that answers there; None where it is something else, or nothing."""
    asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared with, not listened on
    try:
        health = Server(url_of(asked, port), timeout_s=PATIENCE).send("GET", "/health").document()
    except click.ClickException:
        return None
    known = health.get("status") in ("healthy", "unhealthy") and isinstance(health.get("version"), str)
    return str(health["version"]) if known else None


def _connections(settings: Settings) -> Iterator[Callable[[], Check]]:
    """A question for every address that the settings name."""
    named = {f"services.{name}.url": service.url for name, service in settings.services.items()}
    if settings.registry.url != "redis":
        named["registry.url"] = settings.registry.url
    if settings.auth is not None:
        named["auth.jwt.jwksUrl"] = settings.auth.jwt.jwks_url
    named["telemetry.otlpEndpoint"] = settings.telemetry.otlp_endpoint
    for name, url in named.items():
        if url is not None:
            yield partial(_reached, name, _places(url))
    if settings.redis is not None:
        url = settings.redis.url.reveal()
        if urlsplit(url).scheme in ("redis", "rediss"):
            yield partial(_redis, url, settings.redis.url.shown)
        else:
            yield partial(_reached, "redis.url", _places(url))
    for alias, stream in settings.streams.items():
        if isinstance(stream, KafkaStream):
            brokers = [_place(broker, 9092) for broker in stream.bootstrap.split(",")]
            yield partial(_reached, f"streams.{alias}.bootstrap", brokers)


def _places(url: str) -> list[tuple[str, int]]:
    """`(host, port)` of each host that a URL names."""
    parts = urlsplit(url)
    default = _PORTS.get(parts.scheme, 80)
    return [_place(host, default) for host in parts.netloc.rpartition("@")[2].split(",")]


def _place(text: str, default: int) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]+))?", text)
    assert found is not None, "settings hold valid addresses only"
    return found[1].strip("[]"), int(found[2] or default)


def _reached(name: str, places: Sequence[tuple[str, int]]) -> Check:
    """One place that answers is enough: the others are found through it."""
    wrong = []
    for host, port in places:
        try:
            with socket.create_connection((host, port), timeout=PATIENCE):
                return Check(name=name, status=OK, told=f"{host}:{port} can be reached")
        except OSError as error:
            wrong.append(f"{host}:{port} ({_reason(error)})")
    told = f"cannot be reached: {', '.join(wrong)}; start what should be there, or mend {name}"
    return Check(name=name, status=WARNING, told=told)


def _redis(url: str, shown: str) -> Check:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry

    try:
        with Redis.from_url(
            url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE, retry=Retry(NoBackoff(), 0)
        ) as client:
            client.ping()
    except (RedisError, OSError, ValueError, TypeError) as error:  # the last: an option that the client has not
        # Only the kind and the shown address: what the client says may hold the password.
        told = f"{shown} does not answer PING ({_reason(error)}); start Redis there, or mend redis.url"
        return Check(name="redis.url", status=WARNING, told=told)
    return Check(name="redis.url", status=OK, told=f"{shown} answers PING")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower():
        return f"no answer in {PATIENCE:g} s"
    return getattr(error, "strerror", None) or type(error).__name__
