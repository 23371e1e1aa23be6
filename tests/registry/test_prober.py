"""Active checks against real little servers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from registry.base.clock import ManualClock
from registry.base.networks import Networks
from registry.directories.memory import MemoryDirectory
from registry.figures import Figures
from registry.prober import AT_ONCE, LEASE, Prober
from tests.registry.build import registration

pytestmark = pytest.mark.anyio


class Checked:
    """A service that answers its checks with `status`, or, at 0, not at all."""

    def __init__(self) -> None:
        self.status = 200
        self.asked = 0
        self.at_once = self.most_at_once = 0
        self.url = ""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.status:
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nLocation: http://169.254.169.254/\r\n\r\n" % self.status
            )
        writer.close()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Checked"]:
        async with await asyncio.start_server(self._answer, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/health"
            yield self


class World:
    def __init__(self, **networks: Any) -> None:
        self.clock = ManualClock()
        self.directory = MemoryDirectory(self.clock)
        self.figures = Figures(self.directory.facts, "0")
        self.networks = Networks(**networks)
        self.prober = self.another()

    def another(self, **more: Any) -> Prober:
        return Prober(self.directory, self.networks, self.figures, **more)

    async def listed(self, url: str | None, service_id: str = "a") -> None:
        await self.directory.register(registration(service_id=service_id, health_check_url=url))

    def health(self) -> str:
        return self.directory.snapshot("payment")[0].health


async def test_two_failures_in_a_row_make_critical_and_one_success_mends_it() -> None:
    world = World()
    async with Checked().serving() as service:
        await world.listed(service.url)
        seen = []
        for status in (200, 500, 200, 503, 302, 0, 204, 404, 0):
            service.status = status
            await world.prober.round()
            seen.append(world.health())
    assert seen == ["passing"] * 4 + ["critical"] * 2 + ["passing"] * 2 + ["critical"]
    assert world.figures.checks == {"passing": 3, "critical": 6}
    assert [x.who for x in await world.directory.audits() if x.what == "changed"] == ["prober"] * 3


async def test_a_service_that_asks_for_patience_is_a_warning() -> None:
    world = World()
    async with Checked().serving() as service:
        service.status = 429
        await world.listed(service.url)
        await world.prober.round()
    assert world.health() == "warning"


async def test_an_instance_without_an_address_to_check_passes_also_when_it_had_one() -> None:
    world = World()
    async with Checked().serving() as service:
        service.status = 429
        await world.listed(service.url)
        await world.prober.round()
        await world.listed(None)
        assert world.health() == "warning"
        await world.prober.round()
    assert world.health() == "passing"


async def test_nobody_listening_is_a_failure_and_so_is_a_name_that_is_none() -> None:
    for url in ("http://127.0.0.1:1/", "http://no.such.host.invalid/"):
        world = World()
        await world.listed(url)
        for _ in range(2):
            await world.prober.round()
        assert world.health() == "critical"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_address_beyond_the_networks_is_never_connected_to(host: str) -> None:
    world = World(allowed=["10.0.0.0/8"])
    async with Checked().serving() as service:
        await world.listed(service.url.replace("127.0.0.1", host))
        for _ in range(2):
            await world.prober.round()
        assert service.asked == 0
    assert world.health() == "critical"


async def test_a_name_within_the_networks_is_checked() -> None:
    world = World(allowed=["127.0.0.0/8"])
    async with Checked().serving() as service:
        await world.listed(service.url.replace("127.0.0.1", "localhost"))
        await world.prober.round()
        assert service.asked == 1


async def test_one_of_several_checks_and_another_takes_over_when_it_falls_silent() -> None:
    world = World()
    other = world.another()
    async with Checked().serving() as service:
        await world.listed(service.url)
        for _ in range(3):
            await world.prober.round()
            await other.round()
        assert service.asked == 3
        world.clock.advance(LEASE - 1)
        await world.listed(service.url)
        await other.round()
        assert service.asked == 3
        world.clock.advance(2)
        await other.round()
        await world.prober.round()
        assert service.asked == 4


async def test_many_are_checked_a_few_at_a_time() -> None:
    world = World()
    async with Checked().serving() as service:
        for number in range(3 * AT_ONCE):
            await world.listed(service.url, f"i{number}")
        await world.prober.round()
        assert service.asked == 3 * AT_ONCE
        assert 1 < service.most_at_once <= AT_ONCE


async def test_it_goes_on_round_after_round() -> None:
    world = World()
    rounds = asyncio.Queue[float]()
    async with Checked().serving() as service:
        await world.listed(service.url)

        async def sleep(seconds: float) -> None:
            rounds.put_nowait(seconds)
            await asyncio.sleep(0)

        running = asyncio.create_task(world.another(sleep=sleep).run())
        async with asyncio.timeout(10):
            assert [await rounds.get() for _ in range(3)] == [10.0] * 3
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert service.asked >= 3
