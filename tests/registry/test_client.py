import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from registry.app import serve
from registry.base.clock import ManualClock
from registry.client import (
    RegistryClient,
    RegistryError,
    RegistryRefused,
    RegistryUnavailable,
    ServiceNotFound,
)
from registry.settings import Settings
from tests.registry.serving import Api, api

pytestmark = pytest.mark.anyio


@pytest.fixture
async def http() -> AsyncIterator[Api]:
    async with api() as made:
        yield made


class Pulse:
    """Stands in for waiting: each wait is reported, and ends when the test says so."""

    def __init__(self) -> None:
        self._waits: asyncio.Queue[float] = asyncio.Queue()
        self._go = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self._go.clear()
        self._waits.put_nowait(seconds)
        await self._go.wait()

    async def waiting(self) -> float:
        """Seconds of the next wait, once it has begun."""
        return await asyncio.wait_for(self._waits.get(), 10)

    def go(self) -> None:
        self._go.set()


def closed_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
        assert isinstance(port, int)
        return port


async def test_register_discover_beat_and_unregister(http: Api) -> None:
    async with RegistryClient(http.url) as client:
        listed = await client.register("orders", "http://10.0.0.1:8000", ["rest"], zone="x")
        assert (listed["ttl"], listed["heartbeat_interval"], listed["zone"]) == (60, 30, "x")
        found = await client.discover("orders")
        assert (found["service_url"], found["service_id"]) == ("http://10.0.0.1:8000", listed["service_id"])
        http.clock.advance(30)
        assert (await client.heartbeat("orders"))["last_heartbeat"] > listed["last_heartbeat"]
        assert [x["service_name"] for x in await client.services(prefix="ord")] == ["orders"]
        await client.unregister("orders", service_id=listed["service_id"])
        with pytest.raises(ServiceNotFound, match="No live instance of orders"):
            await client.discover("orders")


async def test_a_discovered_service_is_kept_for_the_cache_time(http: Api) -> None:
    clock = ManualClock()
    async with RegistryClient(http.url, cache_ttl=30, clock=clock) as client:
        await http.register()
        kept = await client.discover("payment")
        await http.call("DELETE", "/services/payment")
        clock.advance(29.9)
        assert await client.discover("payment") is kept
        clock.advance(0.1)
        with pytest.raises(ServiceNotFound):
            await client.discover("payment")


async def test_the_fallback_helps_when_the_registry_does_not_know_or_does_not_answer(http: Api) -> None:
    fallback = {"payment": "http://static:9002"}
    async with RegistryClient(http.url, fallback=fallback) as client:
        assert (await client.discover("payment"))["service_url"] == "http://static:9002"
        await http.register()
        assert (await client.discover("payment"))["service_url"] == "http://10.0.0.1:80"
    async with RegistryClient(f"http://127.0.0.1:{closed_port()}", fallback=fallback) as client:
        assert (await client.discover("payment"))["service_url"] == "http://static:9002"
        with pytest.raises(RegistryUnavailable, match="cannot be reached"):
            await client.discover("orders")


async def test_a_refusal_has_its_status_and_document(http: Api) -> None:
    async with RegistryClient(http.url) as client:
        with pytest.raises(RegistryRefused, match="service_name must be a letter") as refused:
            await client.register("-", "http://h")
        assert refused.value.status == 422
        assert refused.value.problem["errors"][0]["pointer"] == "/service_name"
        with pytest.raises(ServiceNotFound):
            await client.discover("../health?x=#")


async def test_who_is_no_registry_is_unavailable() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, RegistryClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(RegistryUnavailable, match="is it one"):
            await client.discover("payment")
        with pytest.raises(RegistryUnavailable, match="is it one"):
            await anext(client.changes())


async def test_who_never_answers_is_given_up_on() -> None:
    stop = asyncio.Event()

    async def silence(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stop.wait()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, RegistryClient(f"http://127.0.0.1:{port}", timeout=0.05) as client:
        with pytest.raises(RegistryUnavailable):
            await client.discover("payment")
        stop.set()


async def test_a_registered_block_keeps_the_instance_alive_and_removes_it_at_the_end(http: Api) -> None:
    pulse = Pulse()
    async with RegistryClient(http.url, sleep=pulse.sleep) as client:
        async with client.registered("orders", "http://10.0.0.1:8000", ["rest"]):
            for _ in range(5):
                assert await pulse.waiting() == 30
                http.clock.advance(30)
                pulse.go()
            await pulse.waiting()
            [listing] = http.directory.snapshot("orders")
            assert listing.last_heartbeat == http.clock.now()
        assert http.directory.snapshot("orders") == ()


async def test_the_block_ends_only_its_own_instance(http: Api) -> None:
    async with RegistryClient(http.url) as client:
        await client.register("orders", "http://10.0.0.2:8000")
        async with client.registered("orders", "http://10.0.0.1:8000"):
            assert len(http.directory.snapshot("orders")) == 2
        assert [x.service_url for x in http.directory.snapshot("orders")] == ["http://10.0.0.2:8000"]


async def test_after_expiry_the_block_registers_the_same_instance_again(http: Api) -> None:
    pulse = Pulse()
    async with (
        RegistryClient(http.url, sleep=pulse.sleep) as client,
        client.registered("orders", "http://10.0.0.1:8000", zone="x"),
    ):
        [before] = http.directory.snapshot("orders")
        await pulse.waiting()
        http.clock.advance(61)
        assert http.directory.snapshot("orders") == ()
        pulse.go()
        await pulse.waiting()
        [after] = http.directory.snapshot("orders")
        assert (after.service_id, after.zone) == (before.service_id, "x")


async def test_a_dead_registry_keeps_no_service_from_starting_and_is_found_when_it_comes() -> None:
    port, pulse = closed_port(), Pulse()
    async with (
        RegistryClient(f"http://127.0.0.1:{port}", sleep=pulse.sleep) as client,
        client.registered("orders", "http://10.0.0.1:8000"),
    ):
        assert await pulse.waiting() == 5
        async with serve(Settings(port=port)) as serving:
            pulse.go()
            assert await pulse.waiting() == 30
            assert len(serving.directory.snapshot("orders")) == 1
        pulse.go()
        assert await pulse.waiting() == 5


async def test_an_error_in_the_block_is_the_blocks_own_and_still_unregisters(http: Api) -> None:
    async with RegistryClient(http.url) as client:
        with pytest.raises(KeyError):
            async with client.registered("orders", "http://10.0.0.1:8000"):
                raise KeyError
        assert http.directory.snapshot("orders") == ()


async def test_a_cancelled_block_still_unregisters(http: Api) -> None:
    entered = asyncio.Event()
    async with RegistryClient(http.url) as client:

        async def live() -> None:
            async with client.registered("orders", "http://10.0.0.1:8000"):
                entered.set()
                await asyncio.Event().wait()

        living = asyncio.create_task(live())
        await entered.wait()
        living.cancel()
        with pytest.raises(asyncio.CancelledError):
            await living
        assert http.directory.snapshot("orders") == ()


async def test_a_lifespan_lists_the_application_between_its_own_start_and_end(http: Api) -> None:
    steps: list[tuple[str, int]] = []

    def listed() -> int:
        return len(http.directory.snapshot("orders"))

    @contextlib.asynccontextmanager
    async def inner(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        steps.append(("begun", listed()))
        yield {"db": "open"}
        steps.append(("ending", listed()))

    client = RegistryClient(http.url)
    app = FastAPI(lifespan=client.lifespan("orders", "http://10.0.0.1:8000", ["rest"], inner=inner, zone="x"))
    async with app.router.lifespan_context(app) as state:
        assert state == {"db": "open"}
        [listing] = http.directory.snapshot("orders")
        assert (listing.capabilities, listing.zone) == (("rest",), "x")
    assert listed() == 0
    assert steps == [("begun", 0), ("ending", 0)]


async def test_a_lifespan_starts_the_application_without_a_registry() -> None:
    lifespan = RegistryClient(f"http://127.0.0.1:{closed_port()}").lifespan("orders", "http://10.0.0.1:8000")
    app = FastAPI(lifespan=lifespan)
    async with app.router.lifespan_context(app) as state:
        assert not state


async def test_watch_tells_what_is_there_each_change_and_that_the_registry_is_back(http: Api) -> None:
    pulse = Pulse()
    async with RegistryClient(http.url, sleep=pulse.sleep) as client:
        watching = client.watch("orders")
        assert await anext(watching) == []
        first = await http.register("orders")
        assert [x["service_id"] for x in await anext(watching)] == [first["service_id"]]
        await http.register("orders", "http://10.0.0.2:80")
        assert len(await anext(watching)) == 2
        await http.call("DELETE", "/services/orders?all=true")
        assert await anext(watching) == []
        await watching.aclose()


async def test_changes_are_those_of_a_prefix_and_end_with_the_registry() -> None:
    port = closed_port()
    async with RegistryClient(f"http://127.0.0.1:{port}") as client:
        async with serve(Settings(port=port)):
            changes = client.changes("pay")
            assert (await anext(changes)).kind == "opened"
            await client.register("orders", "http://10.0.0.1:80")
            listed = await client.register("payment", "http://10.0.0.2:80")
            event = await anext(changes)
            assert (event.kind, event.service_name) == ("registered", "payment")
            assert event.service_ids == (listed["service_id"],)
            assert [x["service_url"] for x in event.instances] == ["http://10.0.0.2:80"]
        with pytest.raises(RegistryUnavailable):
            await anext(changes)


async def test_watch_outlasts_a_registry_that_is_away() -> None:
    port, pulse = closed_port(), Pulse()
    async with RegistryClient(f"http://127.0.0.1:{port}", sleep=pulse.sleep) as client:
        watching = client.watch("orders")
        coming = asyncio.ensure_future(anext(watching))
        assert await pulse.waiting() == 5
        async with serve(Settings(port=port)):
            pulse.go()
            assert await coming == []
        await watching.aclose()


def test_every_error_of_the_client_is_a_registry_error() -> None:
    assert issubclass(ServiceNotFound, RegistryRefused)
    assert {x.__name__ for x in RegistryError.__subclasses__()} == {
        "RegistryRefused",
        "RegistryUnavailable",
    }


@pytest.mark.parametrize(
    "module",
    ["listing", "form", "choose", "chooser", "directory", "ejection", "directories.memory", "client", "cli"],
)
def test_what_callers_import_does_not_load_the_server(module: str) -> None:
    code = f"import sys, registry.{module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    ).stdout.split()
    assert not {"fastapi", "starlette", "pydantic", "uvicorn"} & set(loaded)
    if module in ("client", "cli"):
        assert not {"aiohttp", "redis", "pybreaker"} & set(loaded)
