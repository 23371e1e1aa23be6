"""Every directory on a clock that the test moves."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import fakeredis
import pytest

from registry.base.clock import ManualClock
from registry.directories.kept import KeptDirectory
from registry.directories.memory import MemoryDirectory
from registry.directories.redis import RedisDirectory
from registry.directories.redis_address import read_address
from registry.directories.redis_link import Connection
from registry.directories.redis_nodes import Connect
from registry.directory import Directory

#: Where fakeredis looks at the time.
_TIMED = (
    "fakeredis._socket._base",
    "fakeredis._helpers",
    "fakeredis.commands_mixins.server_mixin",
    "fakeredis.model._stream",
)


class World(Protocol):
    """Makes directories of one kind."""

    clock: ManualClock

    def make(self, **more: Any) -> Directory:
        """A directory, not yet opened; those of one world share what can be shared."""
        ...


class MemoryWorld:
    def __init__(self) -> None:
        self.clock = ManualClock()

    def make(self, **more: Any) -> Directory:
        return MemoryDirectory(self.clock, **more)


class KeptWorld:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self._path = folder / "kept.json"

    def make(self, **more: Any) -> Directory:
        return KeptDirectory(self.clock, self._path, **more)


class FakeRedisWorld:
    """Directories over one Redis that is in this process and goes by the test's clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        self.server = fakeredis.FakeServer()
        for module in _TIMED:
            monkeypatch.setattr(sys.modules[module], "time", SimpleNamespace(time=self.clock.now))

    def make(self, **more: Any) -> Directory:
        return RedisDirectory(read_address("redis://fake"), self.clock, connect=fake_connections(self.server), **more)


def fake_connections(server: fakeredis.FakeServer) -> Connect:
    """Connections to a server in this process."""

    def connect(_node: tuple[str, int], _sentinel: bool) -> Connection:
        connection: Connection = fakeredis.FakeAsyncRedis(
            server=server, protocol=2, socket_timeout=None
        ).connection_pool.make_connection()
        return connection

    return connect
