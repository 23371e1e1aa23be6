"""A real registry for the tests of a service: in this process, over real HTTP, gone when the test is.

    pytest_plugins = ["registry.testing"]  # in conftest.py

    def test_payment_is_found(saga_registry):
        saga_registry.client.register("payment", "http://10.0.0.2:9002", ["rest"])
        assert checkout().paid_at == "http://10.0.0.2:9002"

While the fixture `saga_registry` is there, `SAGA_SERVICE_URL` names it, so that the clients in what is tested find it;
`saga_registry_on_redis` is the same on fakeredis. Without pytest's fixtures: `with LocalRegistry() as registry: ...`.
Nothing has to be waited for: `forget` is an expiry, `stop` and `start` are a registry that is away and comes back
empty.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Final, Self

import pytest

from registry.app import serve
from registry.base.clock import SystemClock
from registry.client import Record, ServiceNotFound, SyncRegistryClient
from registry.directories.memory import MemoryDirectory
from registry.directory import Directory
from registry.settings import Settings

#: Seconds in which it has started or stopped, or never will.
_PATIENCE: Final = 10.0


class LocalRegistry:
    """A registry in a thread of this process, on a free port of 127.0.0.1 that it keeps over `stop` and `start`."""

    def __init__(
        self, *, registration_ttl: float = 60, heartbeat_interval: float = 30, fake_redis: bool = False
    ) -> None:
        """`fake_redis`: keep services as a registry on Redis does, in fakeredis (`pip install "fakeredis[lua]"`)."""
        self._settings = Settings(port=0, registration_ttl=registration_ttl, heartbeat_interval=heartbeat_interval)
        self._fake_redis = fake_redis
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """What `SAGA_SERVICE_URL` is to be."""
        return f"http://127.0.0.1:{self._settings.port}"

    @property
    def client(self) -> SyncRegistryClient:
        """A client of it that keeps nothing, so that it sees what is so now."""
        return SyncRegistryClient(self.url, cache_ttl=0)

    def instances(self, name: str) -> list[Record]:
        """The live instances of a service, none where it is not registered."""
        try:
            return self.client.discover(name)["instances"]
        except ServiceNotFound:
            return []

    def forget(self, name: str) -> None:
        """Lose every instance of a service, as if none had been heard of for too long."""
        self.client.unregister(name, all=True)

    def start(self) -> None:
        """Serve from now on; empty, as after each `stop`."""
        assert self._thread is None, "it is started already"
        serving: Future[int] = Future()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(serving)), name="registry", daemon=True)
        thread.start()
        self._settings = replace(self._settings, port=serving.result(_PATIENCE))
        self._thread = thread

    def stop(self) -> None:
        """Be away. A second time does nothing."""
        if self._thread is None:
            return
        assert self._loop is not None
        assert self._ending is not None
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(_PATIENCE)
        self._thread = None

    async def _serve(self, started: "Future[int]") -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with (
                _directory(self._fake_redis) as directory,
                serve(self._settings, directory=directory) as serving,
            ):
                started.set_result(serving.port)
                await self._ending.wait()
        except OSError as error:
            started.set_exception(error)


@contextlib.asynccontextmanager
async def _directory(fake_redis: bool) -> AsyncIterator[Directory]:
    clock = SystemClock()
    directory: Directory = MemoryDirectory(clock)
    if fake_redis:
        import fakeredis  # here, because it need not be installed

        from registry.directories.redis import RedisDirectory
        from registry.directories.redis_address import read_address

        server = fakeredis.FakeServer()

        def connect(_node: object, _sentinel: bool) -> Any:
            pool: Any = fakeredis.FakeAsyncRedis(server=server, protocol=2).connection_pool
            return pool.make_connection()

        directory = RedisDirectory(read_address("redis://fakeredis"), clock, connect=connect)
    await directory.open()
    try:
        yield directory
    finally:
        await directory.close()


@pytest.fixture
def saga_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRegistry]:
    """A registry of this test's own, and `SAGA_SERVICE_URL` names it."""
    with LocalRegistry() as registry:
        monkeypatch.setenv("SAGA_SERVICE_URL", registry.url)
        yield registry


@pytest.fixture
def saga_registry_on_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRegistry]:
    """As `saga_registry`, with the directory in Redis, which fakeredis stands in for."""
    with LocalRegistry(fake_redis=True) as registry:
        monkeypatch.setenv("SAGA_SERVICE_URL", registry.url)
        yield registry
