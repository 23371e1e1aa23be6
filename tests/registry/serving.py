"""A real registry on a free loopback port, with a clock that stands, and a way to speak to it."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from registry.app import Serving, serve
from registry.base.clock import ManualClock
from registry.settings import Settings


class Api:
    """Speaks HTTP to one registry; `clock` is the registry's."""

    def __init__(self, serving: Serving, session: aiohttp.ClientSession, clock: ManualClock) -> None:
        self.url = serving.url
        self.port = serving.port
        self.directory = serving.directory
        self.clock = clock
        self._session = session

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Status and JSON body; `path` counts from the prefix unless it begins with two slashes."""
        url = self.url + (path[1:] if path.startswith("//") else f"/api/v1{path}")
        async with self._session.request(method, url, **more) as response:
            return response.status, await response.json(content_type=None)

    async def register(self, name: str = "payment", url: str = "http://10.0.0.1:80", **more: Any) -> Any:
        status, body = await self.call(
            "POST", "/services/register", json={"service_name": name, "service_url": url, **more}
        )
        assert status in (200, 201), body
        return body


@contextlib.asynccontextmanager
async def api(**settings: Any) -> AsyncIterator[Api]:
    clock = ManualClock()
    async with (
        serve(Settings(port=0, **settings), clock=clock) as serving,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
    ):
        yield Api(serving, session, clock)
