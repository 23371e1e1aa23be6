"""Several `saga registry` processes on one Redis, and what they say while it stands still or is gone, under load.

`SAGA_TEST_OUTAGE_S` is how long it is away, 10 seconds unless it is set; `SAGA_TEST_LOAD` makes the load so many times
as heavy.
"""

import asyncio
import contextlib
import itertools
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiohttp
import pytest

from registry.client import RegistryClient
from tests.registry.processes import Registry, registry
from tests.registry.serving import Watching
from tests.support.processes import PATIENCE_S, eventually
from tests.support.redis_servers import RedisServer, redis_server

pytestmark = [pytest.mark.anyio, pytest.mark.process, pytest.mark.slow]

OUTAGE_S = float(os.environ.get("SAGA_TEST_OUTAGE_S", "10"))
#: What is asked of both registries together, each second at most.
BEATS, LOOKUPS = (each * float(os.environ.get("SAGA_TEST_LOAD", "1")) for each in (50, 200))
#: So many names, of two instances each.
NAMES = 20


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@contextlib.contextmanager
def registries(redis: RedisServer, count: int, **variables: str) -> Iterator[list[Registry]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(registry(REDIS_URL=redis.url, **variables)) for _ in range(count)]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    # Without a limit: a lookup must not wait here until writes have their answers.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as made:
        yield made


# ------------------------------------------------------------------ three on one


async def test_what_any_of_three_processes_takes_is_seen_at_the_others(
    redis: RedisServer, session: aiohttp.ClientSession
) -> None:
    times: list[float] = []
    with registries(redis, 3) as three:
        async with contextlib.AsyncExitStack() as stack, asyncio.timeout(2 * PATIENCE_S):
            streams = {
                each.url: await stack.enter_async_context(watching(session, each.url, seconds=2 * PATIENCE_S))
                for each in three
            }
            for weight in range(1, 151):
                writer = three[weight % 3]
                wish = {"service_name": "payment", "service_url": "http://10.0.0.1:80", "weight": weight}
                begun = time.monotonic()
                seen = [
                    asyncio.create_task(told(streams[each.url], weight, begun)) for each in three if each is not writer
                ]
                async with session.post(f"{writer.url}/api/v1/services/register", json=wish) as response:
                    assert response.status == (201 if weight == 1 else 200)
                times += await asyncio.gather(*seen)
                await told(streams[writer.url], weight, begun)
                for each in three:
                    async with session.get(f"{each.url}/api/v1/services/payment") as response:
                        assert (await response.json())["weight"] == weight
    cuts = quantiles(times, n=100)
    print(f"from a write's begin until a peer tells it: p50 {cuts[49] * 1e3:.1f} ms, p99 {cuts[98] * 1e3:.1f} ms")


@contextlib.asynccontextmanager
async def watching(session: aiohttp.ClientSession, url: str, *, seconds: float) -> AsyncIterator[Watching]:
    """A stream of changes that has begun."""
    limit = aiohttp.ClientTimeout(total=seconds)
    async with session.get(f"{url}/api/v1/services/watch", timeout=limit) as response:
        assert await response.content.readline() == b": watching\n"
        yield Watching(response)


async def told(stream: Watching, weight: int, begun: float) -> float:
    """The seconds since `begun` when the stream tells this weight."""
    while True:
        event = await stream.event()
        if [each["weight"] for each in event["data"].get("instances", ())] == [weight]:
            return time.monotonic() - begun


# ------------------------------------------------------------------ away under load


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of the load, between which times, and what came of it."""

    kind: str
    url: str
    begun: float
    ended: float
    status: int
    headers: Mapping[str, str]
    body: Any


class Load:
    """Heartbeats, registrations, lookups and looks at the health of two registries, at a steady pace."""

    def __init__(self, session: aiohttp.ClientSession, urls: list[str]) -> None:
        self.asked: list[Asked] = []
        #: name -> the ids of its instances
        self.ids: dict[str, list[str]] = {f"s{at}": [] for at in range(NAMES)}
        self._session = session
        self._urls = itertools.cycle(urls)

    async def register_all(self) -> None:
        for name, at in itertools.product(self.ids, range(2)):
            done = await self._register(name, at)
            assert done.status == 201, done
            self.ids[name].append(done.body["service_id"])
        self.asked.clear()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The load as long as the block runs; what was begun is brought to its end."""
        names = itertools.cycle(self.ids)
        instances = itertools.cycle([(name, at) for at in range(2) for name in self.ids])
        end = asyncio.Event()
        async with asyncio.TaskGroup() as group:

            async def at_pace(per_second: float, one: Callable[[], Coroutine[Any, Any, Any]]) -> None:
                """`one` again and again, without waiting for its answers."""
                while not end.is_set():
                    group.create_task(one())
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(end.wait(), 1 / per_second)

            group.create_task(at_pace(LOOKUPS, lambda: self._ask("lookup", "GET", f"/services/{next(names)}")))
            group.create_task(at_pace(BEATS, lambda: self._beat(*next(instances))))
            group.create_task(at_pace(BEATS / 10, lambda: self._register(*next(instances))))
            group.create_task(at_pace(20, lambda: self._ask("health", "GET", "/health")))
            try:
                yield
            finally:
                end.set()

    async def _beat(self, name: str, at: int) -> Asked:
        return await self._ask("write", "POST", f"/services/{name}/heartbeat?service_id={self.ids[name][at]}")

    async def _register(self, name: str, at: int) -> Asked:
        wish = {"service_name": name, "service_url": f"http://10.0.0.{at}:80"}
        return await self._ask("write", "POST", "/services/register", wish)

    async def _ask(self, kind: str, method: str, path: str, sent: Any = None) -> Asked:
        url = next(self._urls)
        begun = time.monotonic()
        async with self._session.request(method, f"{url}/api/v1{path}", json=sent) as response:
            body = await response.json(content_type=None)
            self.asked.append(
                Asked(
                    kind=kind,
                    url=url,
                    begun=begun,
                    ended=time.monotonic(),
                    status=response.status,
                    headers=response.headers,
                    body=body,
                )
            )
        return self.asked[-1]


def stands_still(redis: RedisServer) -> Callable[[], None]:
    redis.pause()
    return redis.resume


def is_killed_and_comes_back_empty(redis: RedisServer) -> Callable[[], None]:
    redis.kill()
    return redis.start


@pytest.mark.fault
@pytest.mark.parametrize("goes", [stands_still, is_killed_and_comes_back_empty])
async def test_while_redis_is_away_no_lookup_fails_writes_are_503_health_is_true_and_nothing_is_lost(
    redis: RedisServer, session: aiohttp.ClientSession, goes: Callable[[RedisServer], Callable[[], None]]
) -> None:
    # Who is not kept through the outage has expired before its end.
    short = {"REGISTRATION_TTL": f"{OUTAGE_S / 2:g}", "HEARTBEAT_INTERVAL": f"{OUTAGE_S / 5:g}"}
    with registries(redis, 2, **short) as two:
        urls = [each.url for each in two]
        load = Load(session, urls)
        await load.register_all()
        async with load.running():
            await seen(load, urls, lambda one: one.kind == "health" and one.body["redis"] == "connected")
            comes_back = goes(redis)
            gone = time.monotonic()
            known = await seen(load, urls, lambda one: says(one, "disconnected"))
            await asyncio.sleep(OUTAGE_S - (time.monotonic() - gone))  # the outage itself
            back = time.monotonic()
            await asyncio.to_thread(comes_back)
            again = await seen(load, urls, lambda one: one.begun > back and says(one, "connected"))
            # One more of everything at both, now that it is back.
            for kind in ("lookup", "write", "health"):
                await seen(load, urls, lambda one, kind=kind: one.kind == kind and one.begun > max(again.values()))
        report(load, gone, back)

        # What was asked while it went or came may have either answer.
        for one in load.asked:
            within = gone < one.begun and one.ended < back
            after = one.begun > again[one.url]
            before = one.ended < gone
            match one.kind:
                case "lookup":
                    assert one.status == 200, one
                    assert sorted(x["service_id"] for x in one.body["instances"]) == sorted(
                        load.ids[one.body["service_name"]]
                    ), one
                    if within and one.begun > known[one.url]:
                        assert one.body["stale"] is True, one
                    assert "stale" not in one.body or not (before or after), one
                case "write":
                    assert one.status in ((503,) if within else (200,) if before or after else (200, 503)), one
                    if one.status == 503:
                        assert one.body["error"] == "Redis client not available", one
                        assert int(one.headers["Retry-After"]) >= 1, one
                case _:
                    assert one.status == 200, one
                    assert (one.body["status"], one.body["redis"]) in (
                        ("healthy", "connected"),
                        ("unhealthy", "disconnected"),
                    ), one
                    assert not (within and says(one, "connected")), one
                    assert not ((before or after) and says(one, "disconnected")), one

        for each, name in itertools.product(two, load.ids):
            assert sorted(x["service_id"] for x in each.instances(name)) == sorted(load.ids[name])


def says(one: Asked, redis: str) -> bool:
    return one.kind == "health" and bool(one.body["redis"] == redis)


async def seen(load: Load, urls: list[str], holds: Callable[[Asked], bool]) -> dict[str, float]:
    """Until each registry has given an answer of which this holds from now on; when that was, by URL."""
    found: dict[str, float] = {}
    at = len(load.asked)
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < len(urls):
            await asyncio.sleep(0.01)
            for one in load.asked[at:]:
                if holds(one):
                    found.setdefault(one.url, one.ended)
            at = len(load.asked)
    return found


def report(load: Load, gone: float, back: float) -> None:
    for when, begin, end in (("before", 0.0, gone), ("away", gone, back), ("back", back, float("inf"))):
        asked = [one for one in load.asked if begin <= one.begun < end]
        statuses = Counter((one.kind, one.status) for one in asked)
        slowest = {
            kind: f"{max((one.ended - one.begun for one in asked if one.kind == kind), default=0) * 1e3:.0f} ms"
            for kind in ("lookup", "write", "health")
        }
        print(f"{when}: {dict(sorted(statuses.items()))}, slowest {slowest}")


# ------------------------------------------------------------------ clients heal


class Beats:
    """A client's pauses between heartbeats, which end when the test says so."""

    def __init__(self) -> None:
        self._paused = asyncio.Semaphore(0)
        self._go_on = asyncio.Semaphore(0)

    async def sleep(self, _: float) -> None:
        self._paused.release()
        await self._go_on.acquire()

    async def paused(self) -> None:
        """Until the client pauses: what it did before is done."""
        async with asyncio.timeout(PATIENCE_S):
            await self._paused.acquire()

    async def one(self) -> None:
        """One heartbeat, and all that follows from it."""
        self._go_on.release()
        await self.paused()


@pytest.mark.fault
@pytest.mark.parametrize("registries_too", [False, True], ids=["redis", "redis and every registry"])
async def test_after_redis_was_lost_with_all_it_held_one_heartbeat_lists_a_client_again(
    redis: RedisServer, registries_too: bool
) -> None:
    with registries(redis, 2) as two:
        async with contextlib.AsyncExitStack() as stack:
            clients = {f"client{at}": Beats() for at in range(4)}
            for at, (name, beats) in enumerate(clients.items()):
                client = await stack.enter_async_context(RegistryClient(two[at % 2].url, sleep=beats.sleep))
                await stack.enter_async_context(client.registered(name, f"http://10.0.0.{at}:80", ["rest"]))
                await beats.paused()
            ids = {name: await asyncio.to_thread(id_of, two[0], name) for name in clients}
            redis.kill()
            if registries_too:
                for each in two:
                    await asyncio.to_thread(each.stop)
            # One beat in vain: a client goes on all the same.
            for beats in clients.values():
                await beats.one()
            await asyncio.to_thread(redis.start)
            for each in two:
                if registries_too:
                    await asyncio.to_thread(each.start)
                    assert all(not each.instances(name) for name in clients)
                await asyncio.to_thread(eventually, lambda each=each: connected(each))
            for name, beats in clients.items():
                await beats.one()
                assert [await asyncio.to_thread(id_of, each, name) for each in two] == [ids[name]] * 2
            with redis.client() as direct:
                assert sorted(direct.keys("service:*")) == sorted(f"service:{name}" for name in clients)


def connected(served: Registry) -> bool:
    return bool(served.ask("GET", "/health").json["redis"] == "connected")


def id_of(served: Registry, name: str) -> str:
    """The id of the only instance, as soon as this registry tells it."""
    [found] = eventually(lambda: served.instances(name))
    return found["service_id"]
