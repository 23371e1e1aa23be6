"""What tests of directories in a real Redis share: what they wait for, and what another registry writes."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from registry.directories.redis import RedisDirectory

#: Seconds that a test waits for what has to come.
PATIENCE = 20.0

Opened = Callable[..., Awaitable[RedisDirectory]]


async def state(directory: RedisDirectory, redis: str) -> None:
    """Wait until the directory is connected, or until it is not."""
    async with asyncio.timeout(PATIENCE):
        if redis == "connected":
            await directory._line.wait_up()
        while (await directory.check()).redis != redis:
            pass  # each look is an exchange with Redis, or an end of it


async def moved(directory: RedisDirectory, index: int, name: str = "payment") -> int:
    """The version after the next change."""
    found = await directory.wait(name, index, PATIENCE)
    assert found != index
    return found


def seed(name: str, url: str = "http://old.test", service_id: str = "0d6f8a1e-0000-4000-8000-000000000001") -> str:
    return json.dumps(
        {
            "service_name": name,
            "service_url": url,
            "service_id": service_id,
            "registered_at": "2025-12-22T14:30:38.531328+00:00",
            "last_heartbeat": "2025-12-22T14:30:38.531330+00:00",
            "capabilities": ["rest", "graphql"],
        }
    )
