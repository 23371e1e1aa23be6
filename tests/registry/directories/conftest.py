"""Real servers, and directories in them that are closed in the end."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from registry.base.clock import SystemClock
from registry.directories.redis import RedisDirectory
from registry.directories.redis_address import read_address
from tests.registry.directories.at_redis import Opened
from tests.support.redis_servers import RedisServer, redis_server


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    """A server for tests that do it no harm; empty."""
    with shared.client() as client:
        client.flushall()
    return shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A server for tests that pause or kill it."""
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def open_one(url: str, **more: Any) -> RedisDirectory:
            directory = RedisDirectory(read_address(url), SystemClock(), **more)
            await directory.open()
            stack.push_async_callback(directory.close)
            return directory

        yield open_one
