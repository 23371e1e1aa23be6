"""The copy of a registry elsewhere, over real HTTP; `pause` stands for waiting until that one is asked again."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from registry.app import Serving, serve
from registry.base.clock import ManualClock
from registry.client import RegistryRefused
from registry.directories.memory import MemoryDirectory
from registry.directories.remote import RemoteDirectory
from registry.directory import DirectoryAway, DirectoryFull
from registry.settings import Settings
from tests.registry.build import registration
from tests.registry.serving import Api, api

pytestmark = pytest.mark.anyio


@pytest.fixture
async def http() -> AsyncIterator[Api]:
    async with api() as made:
        yield made


class Turns:
    """Each wait of a directory is reported, and ends when the test says so."""

    def __init__(self) -> None:
        self._waits: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def pause(self, _seconds: float) -> None:
        go = asyncio.Event()
        self._waits.put_nowait(go)
        await go.wait()

    async def waiting(self) -> asyncio.Event:
        """The next wait, once it has begun."""
        return await asyncio.wait_for(self._waits.get(), 10)


async def urls(directory: RemoteDirectory, name: str, *expected: str) -> None:
    """Wait until a name has these instances; changes come when they come."""
    async with asyncio.timeout(10):
        while sorted(x.service_url for x in directory.snapshot(name)) != sorted(expected):
            await asyncio.sleep(0)


async def test_it_knows_what_the_registry_knows_and_follows_every_change(http: Api) -> None:
    await http.register("payment", "http://10.0.0.1:80", version="2.1", zone="x", tags=["a"], weight=3)
    directory = RemoteDirectory(http.url, ManualClock())
    await directory.open()
    [listing] = directory.snapshot("payment")
    assert (listing.version, listing.zone, listing.tags, listing.weight) == ("2.1", "x", ("a",), 3)
    assert listing == http.directory.snapshot("payment")[0]
    version = directory.version("payment")
    await http.register("payment", "http://10.0.0.2:80")
    await urls(directory, "payment", "http://10.0.0.1:80", "http://10.0.0.2:80")
    assert directory.version("payment") != version
    await http.call("POST", f"/services/payment/instances/{listing.service_id}/drain")
    async with asyncio.timeout(10):
        while not directory.snapshot("payment")[0].drained:
            await asyncio.sleep(0)
    await http.call("DELETE", "/services/payment?all=true")
    await urls(directory, "payment")
    facts = directory.facts()
    assert (facts.redis, facts.size, facts.warm, facts.stale) == ("connected", 0, True, False)
    await directory.close()


async def test_its_own_writes_are_seen_at_once_and_reach_the_registry(http: Api) -> None:
    directory = RemoteDirectory(http.url, http.clock)
    await directory.open()
    done = await directory.register(registration("http://10.0.0.1:80", zone="x"))
    assert done.new
    assert directory.snapshot("payment") == (done.listing,) == http.directory.snapshot("payment")
    http.clock.advance(10)
    again = await directory.register(registration("http://10.0.0.1:80", zone="y"))
    assert (again.new, again.listing.service_id) == (False, done.listing.service_id)
    beaten = await directory.beat("payment", done.listing.service_id)
    assert beaten is not None
    assert beaten.last_heartbeat == http.clock.now()
    assert await directory.beat("payment", "ghost") is None
    assert [x.service_id for x in await directory.withdraw("payment", [done.listing.service_id, "ghost"])] == [
        done.listing.service_id
    ]
    assert directory.snapshot("payment") == () == http.directory.snapshot("payment")
    await directory.close()


async def test_a_refusal_is_told_as_what_it_is(http: Api) -> None:
    directory = RemoteDirectory(http.url, ManualClock())
    await directory.open()
    with pytest.raises(RegistryRefused, match="must not be register"):
        await directory.register(registration("http://10.0.0.1:80", service_name="register"))
    await directory.close()
    clock = ManualClock()
    async with serve(Settings(port=0), clock=clock, directory=MemoryDirectory(clock, limit=0)) as full:
        directory = RemoteDirectory(full.url, clock)
        await directory.open()
        with pytest.raises(DirectoryFull):
            await directory.register(registration("http://10.0.0.1:80"))
        await directory.close()


async def test_while_the_registry_is_away_it_serves_and_says_so_and_one_that_forgot_gets_time_to_heal() -> None:
    clock, turns = ManualClock(), Turns()
    port = closed_port()
    directory = RemoteDirectory(f"http://127.0.0.1:{port}", clock, pause=turns.pause)
    async with serving(port, clock) as first:
        await first.directory.register(registration("http://10.0.0.1:80"))
        await first.directory.register(registration("http://10.0.0.2:80"))
        await directory.open()
        await urls(directory, "payment", "http://10.0.0.1:80", "http://10.0.0.2:80")
    go = await turns.waiting()
    clock.advance(3600)
    assert len(directory.snapshot("payment")) == 2
    assert directory.facts().stale
    with pytest.raises(DirectoryAway):
        await directory.register(registration("http://10.0.0.3:80"))
    with pytest.raises(DirectoryAway):
        await directory.beat("payment", "any")
    with pytest.raises(DirectoryAway):
        await directory.withdraw("payment", ["any"])
    async with serving(port, clock) as second:
        go.set()
        async with asyncio.timeout(10):
            while directory.facts().stale:
                await asyncio.sleep(0)
        assert len(directory.snapshot("payment")) == 2
        await second.directory.register(registration("http://10.0.0.1:80"))
        clock.advance(30)
        # The one that came back under a new id, and its own old entry and the other one, which have 30 s left.
        await urls(directory, "payment", "http://10.0.0.1:80", "http://10.0.0.1:80", "http://10.0.0.2:80")
        clock.advance(31)
        await urls(directory, "payment", "http://10.0.0.1:80")
        await directory.close()


async def test_a_registry_that_is_not_there_keeps_nobody_from_starting() -> None:
    turns = Turns()
    directory = RemoteDirectory(f"http://127.0.0.1:{closed_port()}", ManualClock(), pause=turns.pause)
    await directory.open()
    assert directory.snapshot("payment") == ()
    assert not directory.facts().warm
    await directory.close()


def serving(port: int, clock: ManualClock) -> "contextlib.AbstractAsyncContextManager[Serving]":
    return serve(Settings(port=port), clock=clock)


def closed_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
