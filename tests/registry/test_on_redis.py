"""Registries on a real Redis: what one writes the others tell, and what happens while it is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from registry.app import serve
from registry.base.networks import Networks
from registry.directories.redis_address import read_address
from registry.figures import Figures
from registry.prober import Prober
from registry.settings import Settings
from tests.registry.serving import Api
from tests.support.redis_servers import PATIENCE_S, RedisServer, redis_server

pytestmark = [pytest.mark.anyio, pytest.mark.process]

ENTRY = {"service_name": "payment", "service_url": "http://10.0.0.1:80", "service_id": "a"}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@contextlib.asynccontextmanager
async def registries(redis: RedisServer, count: int = 2) -> AsyncIterator[list[Api]]:
    settings = Settings(port=0, redis_url=read_address(redis.url))
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
        yield [Api(await stack.enter_async_context(serve(settings)), session) for _ in range(count)]


async def until(http: Api, path: str, holds: Callable[[int, Any], Any]) -> Any:
    """Ask until the answer is as far, which comes from elsewhere."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status, body = await http.call("GET", path)
            if holds(status, body):
                return body
            await asyncio.sleep(0.01)


async def test_what_one_registry_takes_the_others_tell_and_all_share_one_log(redis: RedisServer) -> None:
    async with registries(redis) as (one, other):
        await one.register(service_id="a")
        async with asyncio.timeout(PATIENCE_S), other.watching() as stream:
            found = await until(other, "/services/payment?index=0&wait=10s", lambda status, _: status == 200)
            assert found["service_id"] == "a"
            assert (await one.call("POST", "/services/payment/instances/a/drain"))[0] == 200
            while (event := await stream.event())["event"] != "changed":
                pass
            assert event["data"]["instances"][0]["drained"] is True
            assert (await other.call("GET", "/services/payment/resolve"))[1]["chosen"] is None
            assert (await other.call("DELETE", "/services/payment/instances/a"))[0] == 200
            await until(one, "/services/payment", lambda status, _: status == 404)
        logs = [(await http.call("GET", "/audit"))[1]["entries"] for http in (one, other)]
        assert logs[0] == logs[1]
        assert [x["what"] for x in logs[0]] == ["withdrawn", "changed", "registered"]


async def test_a_stream_goes_on_at_another_registry(redis: RedisServer) -> None:
    async with registries(redis) as (one, other), asyncio.timeout(PATIENCE_S):
        async with one.watching() as stream:
            await one.register(service_id="a")
            last = (await stream.event())["id"]
        await one.register(service_id="a", zone="eu")
        async with other.watching(**{"Last-Event-ID": last}) as stream:
            event = await stream.event()
        assert (event["event"], event["data"]["instances"][0]["zone"]) == ("changed", "eu")


async def test_while_redis_is_away_writes_are_503_and_reads_come_from_memory_and_say_so(redis: RedisServer) -> None:
    async with registries(redis, 1) as (http,):
        await http.register(service_id="a")
        assert "stale" not in (await http.call("GET", "/services/payment"))[1]
        redis.kill()
        for method, path, sent in (
            ("POST", "/services/register", ENTRY),
            ("POST", "/services/payment/heartbeat", None),
            ("DELETE", "/services/payment", None),
            ("DELETE", "/services/payment/instances/a", None),
            ("PATCH", "/services/payment/instances/a", {"weight": 1}),
            ("POST", "/services/payment/instances/a/drain", None),
            ("POST", "/services/payment/instances/a/enable", None),
            ("POST", "/services/nobody/heartbeat", None),
            ("DELETE", "/services/nobody", None),
            ("DELETE", "/services/payment?service_id=x", None),
            ("DELETE", "/services/payment/instances/x", None),
            ("PATCH", "/services/payment/instances/x", {"weight": 1}),
            ("GET", "/audit", None),
        ):
            async with http.asked(method, path, json=sent) as response:
                told = await response.json(content_type=None)
                assert (response.status, told["error"]) == (503, "Redis client not available"), path
                assert int(response.headers["Retry-After"]) >= 1
        for path in ("", "?instances=only", "?zone=x", "/resolve", "/instances/a"):
            status, found = await http.call("GET", f"/services/payment{path}")
            assert (status, found["stale"]) == (200, True), path
        assert (await http.call("GET", "/services"))[1]["stale"] is True
        assert (await http.refused(404, "GET", "/services/nobody"))["stale"] is True
        status, health = await http.call("GET", "/health")
        assert (status, health["status"], health["redis"]) == (200, "unhealthy", "disconnected")
        assert (await http.call("GET", "/health/ready"))[0] == 200
        assert "saga_registry_redis_connected 0.0" in await http.text("/metrics")
        redis.start()
        health = await until(http, "/health", lambda _, body: body["redis"] == "connected")
        assert health["status"] == "healthy"
        assert (await http.call("POST", "/services/payment/heartbeat"))[0] == 200
        assert "stale" not in (await http.call("GET", "/services/payment"))[1]


async def test_a_redis_that_stands_still_is_told_as_gone_and_no_lookup_fails(redis: RedisServer) -> None:
    async with registries(redis, 1) as (http,):
        await http.register(service_id="a")
        redis.pause()
        try:
            health = (await http.call("GET", "/health"))[1]
            assert (health["status"], health["redis"]) == ("unhealthy", "disconnected")
            assert (await http.refused(503, "POST", "/services/payment/heartbeat"))["code"] == "redisAway"
            assert (await http.call("GET", "/services/payment"))[1]["stale"] is True
        finally:
            redis.resume()
        await until(http, "/health", lambda _, body: body["redis"] == "connected")
        assert (await http.call("POST", "/services/payment/heartbeat"))[0] == 200


async def test_a_registry_that_found_no_redis_is_alive_but_ready_only_when_it_has(redis: RedisServer) -> None:
    redis.kill()
    async with registries(redis, 1) as (http,):
        for path in ("/health/ready", "//health/ready"):
            status, told = await http.call("GET", path)
            assert (status, told["status"]) == (503, "not ready")
        for path in ("/health/live", "/health"):
            assert (await http.call("GET", path))[0] == 200
        redis.start()
        assert (await until(http, "/health/ready", lambda status, _: status == 200))["status"] == "ready"


async def test_one_registry_of_several_checks_and_all_tell_what_it_found(redis: RedisServer) -> None:
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with registries(redis) as (one, other), await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/health"
        await one.register(service_id="a", health_check_url=url)
        await until(other, "/services/payment", lambda status, _: status == 200)
        probers = [Prober(each.directory, Networks(), Figures(each.directory.facts, "0")) for each in (one, other)]
        for prober in (*probers, *probers):
            await prober.round()
        assert asked == 2
        for http in (one, other):
            await until(http, "/services/payment", lambda _, body: body["health"] == "warning")


async def test_a_registry_on_a_full_redis_serves_at_once(redis: RedisServer) -> None:
    async with registries(redis, 1) as (first,):
        await first.register(service_id="a")
    async with registries(redis, 1) as (again,):
        assert (await again.call("GET", "/services/payment"))[1]["service_id"] == "a"
        health = (await again.call("GET", "/health"))[1]
        assert (health["redis"], health["cache"]["size"], health["cache"]["misses"]) == ("connected", 1, 0)
