"""The directory on Sentinel and on a cluster, with real servers, and under load while Redis stands still."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from registry.base.clock import SystemClock
from registry.directories.redis import RedisDirectory
from registry.directories.redis_address import read_address
from registry.directory import DirectoryAway, Registered
from tests.registry.build import registration
from tests.support.redis_servers import cluster, redis_server, sentinels

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PATIENCE = 60.0


@asynccontextmanager
async def directory_at(url: str) -> AsyncIterator[RedisDirectory]:
    directory = RedisDirectory(read_address(url), SystemClock())
    await directory.open()
    try:
        yield directory
    finally:
        await directory.close()


async def test_a_sentinel_failover_loses_no_instance(tmp_path: Path) -> None:
    with sentinels(tmp_path) as (url, master, replica):
        async with directory_at(url) as one, directory_at(url) as two:
            listings = [(await one.register(registration(f"http://h{at}.test"))).listing for at in range(50)]
            with replica.client() as client, master.client() as old:
                old.wait(1, 5_000)
                master.kill()
                assert await away(one)
                await asyncio.wait_for(asyncio.gather(one._line.wait_up(), two._line.wait_up()), PATIENCE)
                assert client.role()[0] == "master"
            for listing in listings:
                assert await two.beat("payment", listing.service_id) is not None
            assert [x.service_id for x in one.snapshot("payment")] == [x.service_id for x in listings]
            index = one.version("payment")
            await two.register(registration("http://new.test"))
            assert await one.wait("payment", index, PATIENCE) == two.version("payment")


async def away(directory: RedisDirectory) -> bool:
    """Write until that is refused."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await directory.register(registration("http://probe.test", service_name="probe"))
            except DirectoryAway:
                return True


async def test_three_masters_share_the_names_and_each_name_has_one_of_them(tmp_path: Path) -> None:
    with cluster(tmp_path) as (url, servers):
        async with directory_at(url) as one, directory_at(url) as two:
            for at in range(60):
                await one.register(registration(f"http://h{at}.test", service_name=f"s{at % 30}"))
            async with asyncio.timeout(PATIENCE):
                for at in range(30):
                    while two.version(f"s{at}") != one.version(f"s{at}"):
                        await two.wait(f"s{at}", two.version(f"s{at}"), PATIENCE)
            assert await two.list() == await one.list()
            shares = []
            for server in servers:
                with server.client() as client:
                    shares.append(len(client.keys("service:*")))
            assert sum(shares) == 30
            assert min(shares) > 0

            async with directory_at(url) as later:
                assert await later.list() == await one.list()
            (first, second) = one.snapshot("s0")
            await two.withdraw("s0", [first.service_id])
            await two.change("s0", second.service_id, {"weight": 0})
            async with asyncio.timeout(PATIENCE):
                while one.version("s0") != two.version("s0"):
                    await one.wait("s0", one.version("s0"), PATIENCE)
            assert [x.weight for x in one.snapshot("s0")] == [0]
            assert await one.lease("prober", "one", 60)
            assert not await two.lease("prober", "two", 60)
            assert len(await one.audits(limit=1000)) == 62


async def _once_followed(directory: RedisDirectory) -> Registered:
    """A registration that is sent again where it is refused, as clients do; each waits a moment by itself."""
    for _ in range(30):
        with contextlib.suppress(DirectoryAway):
            return await directory.register(registration())
    raise AssertionError("the slot that has moved is not found")


async def test_slots_that_move_are_followed(tmp_path: Path) -> None:
    with cluster(tmp_path) as (url, servers):
        async with directory_at(url) as directory:
            await directory.register(registration())
            with servers[0].client() as any_one:
                slot = any_one.cluster("KEYSLOT", "service:payment")
                ids = {}
                for server in servers:
                    with server.client() as client:
                        ids[server.port] = client.execute_command("CLUSTER", "MYID")
                        if client.cluster("COUNTKEYSINSLOT", slot):
                            source = server
                target = next(server for server in servers if server is not source)
            with source.client() as leaving, target.client() as arriving:
                arriving.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
                leaving.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
                for key in leaving.cluster("GETKEYSINSLOT", slot, 100):
                    leaving.migrate("127.0.0.1", target.port, [key], 0, 5_000)
                for server in (target, source, *servers):  # the third one, too, or it would learn of it by and by
                    with server.client() as client:
                        client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
            done = await _once_followed(directory)
            assert not done.new
            assert (await directory.register(registration("http://b.test"))).new
            assert len(directory.snapshot("payment")) == 2


async def test_no_look_up_fails_while_redis_stands_still_under_load(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        async with directory_at(server.url) as directory:
            ids = {}
            for at in range(200):
                listing = (await directory.register(registration(service_name=f"s{at}", ttl=5.0))).listing
                ids[listing.service_name] = listing.service_id
            refused = beaten = looked = 0
            stop = asyncio.Event()

            async def beat() -> None:
                nonlocal refused, beaten
                while not stop.is_set():
                    for name, service_id in ids.items():
                        try:
                            assert await directory.beat(name, service_id) is not None, "it was lost"
                            beaten += 1
                        except DirectoryAway:
                            refused += 1
                        await asyncio.sleep(0)

            async def look() -> None:
                nonlocal looked
                while not stop.is_set():
                    for name in ids:
                        assert await directory.get(name, counts=True)
                        looked += 1
                        await asyncio.sleep(0)

            async with asyncio.TaskGroup() as load:
                for work in (beat, beat, look, look):
                    load.create_task(work())
                server.pause()
                assert await away(directory)
                assert (await directory.check()).redis == "disconnected"
                assert await directory.wait("s0", directory.version("s0"), 8.0)  # longer than any of them lives
                assert directory.facts().stale
                server.resume()
                await asyncio.wait_for(directory._line.wait_up(), PATIENCE)
                before = beaten
                while beaten < before + 1_000:
                    await asyncio.sleep(0)
                stop.set()
            facts = directory.facts()
            assert (facts.size, facts.misses, facts.hits) == (200, 0, looked)
            assert refused > 0
