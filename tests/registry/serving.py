"""A real registry on a free loopback port, with a clock that stands, and a way to speak to it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import aiohttp

from registry.app import Serving, serve
from registry.base.clock import ManualClock
from registry.directory import Directory
from registry.settings import Settings

Asked: TypeAlias = contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]


class Api:
    """Speaks HTTP to one registry; `clock` is the registry's."""

    def __init__(self, serving: Serving, session: aiohttp.ClientSession, clock: Any = None) -> None:
        self.url = serving.url
        self.port = serving.port
        self.directory = serving.directory
        self.stop = serving.stop
        self.clock = clock
        self._session = session

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Status and JSON body; `path` counts from the prefix unless it begins with two slashes."""
        async with self.asked(method, path, **more) as response:
            return response.status, await response.json(content_type=None)

    async def text(self, path: str, **more: Any) -> str:
        """The body of an answer."""
        async with self.asked("GET", path, **more) as response:
            return await response.text()

    async def waiting(self, number: int) -> None:
        """Until so many requests wait for a change."""
        async with asyncio.timeout(10):
            while f"saga_registry_watchers {number}.0" not in await self.text("/metrics"):
                await asyncio.sleep(0)

    def asked(self, method: str, path: str, **more: Any) -> Asked:
        """The answer as it comes."""
        url = self.url + (path[1:] if path.startswith("//") else f"/api/v1{path}")
        return self._session.request(method, url, **more)

    async def refused(self, status: int, method: str, path: str, **more: Any) -> Any:
        """The problem document, after a look at what all of them have."""
        got, body = await self.call(method, path, **more)
        assert got == status, body
        assert body["status"] == status
        assert body["error"]
        assert body["type"] == f"/docs/problems/{body['code']}"
        return body

    @contextlib.asynccontextmanager
    async def watching(self, query: str = "", **headers: str) -> AsyncIterator["Watching"]:
        """The stream of changes; its first line has come."""
        async with self.asked("GET", f"/services/watch{query}", headers=headers) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            assert await response.content.readline() == b": watching\n"
            yield Watching(response)

    async def register(self, name: str = "payment", url: str = "http://10.0.0.1:80", **more: Any) -> Any:
        status, body = await self.call(
            "POST", "/services/register", json={"service_name": name, "service_url": url, **more}
        )
        assert status in (200, 201), body
        return body


class Watching:
    """Events as they come: their fields, `data` read."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._lines = response.content

    async def event(self) -> dict[str, Any]:
        """The next one with data."""
        while True:
            fields: dict[str, Any] = {}
            while line := (await self._lines.readline()).decode().removesuffix("\n"):
                name, _, value = line.partition(": ")
                fields[name] = json.loads(value) if name == "data" else value
            if "data" in fields:
                return fields


@contextlib.asynccontextmanager
async def api(
    *, directory: Directory | None = None, clock: ManualClock | None = None, **settings: Any
) -> AsyncIterator[Api]:
    clock = clock or ManualClock()
    async with (
        serve(Settings(port=0, **settings), clock=clock, directory=directory) as serving,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
    ):
        yield Api(serving, session, clock)
