"""The directory in a real Redis; what every directory owes is in `tests/contracts/test_directories.py`."""

import asyncio
import json
import random
from dataclasses import replace
from typing import Any

import pytest

from registry.base.clock import iso
from registry.directories.redis import RedisDirectory
from tests.registry.build import registration
from tests.registry.directories.at_redis import PATIENCE, Opened, moved, seed
from tests.support.redis_servers import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.process]


# --- the keys ---


async def test_the_first_registrys_key_holds_the_primary_and_lives_as_long(server: RedisServer, opened: Opened) -> None:
    directory = await opened(server.url)
    listing = (await directory.register(registration("http://A.test/", capabilities=("rest",)))).listing
    with server.client() as client:
        assert client.keys("service:*") == ["service:payment"]
        assert json.loads(client.get("service:payment")) == {
            "service_name": "payment",
            "service_url": "http://A.test/",
            "service_id": listing.service_id,
            "registered_at": iso(listing.registered_at),
            "last_heartbeat": iso(listing.last_heartbeat),
            "capabilities": ["rest"],
        }
        assert 59_000 < client.pttl("service:payment") <= 60_000
        beaten = await directory.beat("payment", listing.service_id)
        assert beaten is not None
        assert json.loads(client.get("service:payment"))["last_heartbeat"] == iso(beaten.last_heartbeat)
        await directory.withdraw("payment", [listing.service_id])
        assert client.keys("service:*") == []


async def test_when_the_primary_goes_another_takes_the_key(server: RedisServer, opened: Opened) -> None:
    directory = await opened(server.url)
    for service_id in ("a", "b", "c"):
        ttl = 0.3 if service_id == "a" else 60
        await directory.register(registration(f"http://{service_id}.test", service_id=service_id, ttl=ttl))

    with server.client() as client:

        def primary() -> str:
            return str(json.loads(client.get("service:payment"))["service_id"])

        assert primary() == "a"
        position = directory.position()
        while (change := (await directory.changes(position, PATIENCE))[0]).kind != "expired":
            position = change.id
        assert primary() == "b"
        await directory.withdraw("payment", ["b"])
        assert primary() == "c"


async def test_all_keys_of_a_name_end_by_themselves(server: RedisServer, opened: Opened) -> None:
    directory = await opened(server.url)
    await directory.register(registration())
    with server.client() as client:
        for key in client.keys("*{service:payment}*"):
            assert 0 < client.ttl(key) <= 3_700


# --- several registries ---


async def test_three_registries_see_each_others_writes(server: RedisServer, opened: Opened) -> None:
    one, two, three = [await opened(server.url) for _ in range(3)]
    listing = (await one.register(registration())).listing
    indexes = [await moved(each, 0) for each in (two, three)]
    assert indexes == [one.version("payment")] * 2
    assert two.snapshot("payment") == three.snapshot("payment") == (listing,)

    done = await two.change("payment", listing.service_id, {"drained": True})
    assert done is not None
    for each in (one, three):
        await moved(each, indexes[0])
        assert each.snapshot("payment") == (done.after,)

    index = one.version("payment")
    await three.register(registration("http://b.test"))
    for each in (one, two):
        assert await moved(each, index) == three.version("payment")
        assert each.snapshot("payment") == three.snapshot("payment")

    await one.withdraw("payment", [listing.service_id])
    await one.withdraw("payment", [x.service_id for x in one.snapshot("payment")])
    for each in (two, three):
        async with asyncio.timeout(PATIENCE):
            while index := each.version("payment"):
                await each.wait("payment", index, PATIENCE)


async def test_changes_have_the_same_ids_everywhere_and_outlive_a_registry(server: RedisServer, opened: Opened) -> None:
    one, two = await opened(server.url), await opened(server.url)
    start = one.position()
    await one.register(registration(service_name="a"))
    (first,) = await two.changes(start, PATIENCE)
    await two.register(registration(service_name="b"))
    (second,) = await one.changes(first.id, PATIENCE)
    later = await opened(server.url)
    assert await later.changes(first.id, PATIENCE) == (second,)


async def test_a_heartbeat_at_one_registry_keeps_the_instance_alive_at_the_other(
    server: RedisServer, opened: Opened
) -> None:
    one, two = await opened(server.url), await opened(server.url)
    listing = (await one.register(registration(ttl=0.6))).listing
    index = await moved(two, 0)
    for _ in range(6):
        assert await two.wait("payment", index, 0.25) == index
        assert await one.beat("payment", listing.service_id) is not None
    assert await moved(two, index) == 0


async def test_a_name_not_in_memory_costs_a_read_and_is_kept(server: RedisServer, opened: Opened) -> None:
    directory = await opened(server.url)
    with server.client() as client:
        client.set("service:old", seed("old"), ex=60)

        def reads() -> int:
            return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])

        await directory.get("nobody", counts=True)
        before = reads()
        assert await directory.get("nobody", counts=True) == ()
        assert reads() == before
        (found,) = await directory.get("old", counts=True)
        assert reads() == before + 1
        assert await directory.get("old", counts=True) == (found,)
        assert reads() == before + 1
    facts = directory.facts()
    assert (facts.hits, facts.misses) == (1, 3)


async def test_a_registry_that_starts_on_a_full_redis_serves_at_once(server: RedisServer, opened: Opened) -> None:
    first = await opened(server.url)
    for at in range(300):
        await first.register(registration(f"http://h{at}.test", service_name=f"s{at % 100}"))
    second = await opened(server.url)
    assert second.facts().warm
    assert await second.list() == await first.list()
    assert [second.version(f"s{at}") for at in range(100)] == [first.version(f"s{at}") for at in range(100)]


# --- many at once ---


@pytest.mark.parametrize("seed_number", range(4))
async def test_registries_agree_whatever_they_do_at_once(server: RedisServer, opened: Opened, seed_number: int) -> None:
    chance = random.Random(seed_number)
    everyone = [await opened(server.url) for _ in range(3)]
    names = ("a", "b", "c")

    async def act(directory: RedisDirectory) -> None:
        for _ in range(60):
            name = chance.choice(names)
            found = directory.snapshot(name)
            one = chance.choice(found).service_id if found else "none"
            match chance.randrange(5):
                case 0 | 1:
                    url = f"http://h{chance.randrange(6)}.test"
                    await directory.register(
                        registration(url, service_name=name, weight=chance.randrange(3), ttl=chance.choice((0.2, 60.0)))
                    )
                case 2:
                    await directory.beat(name, one)
                case 3:
                    await directory.change(name, one, {"weight": chance.choice((None, 1, 7))})
                case 4:
                    await directory.withdraw(name, [one])

    async with asyncio.TaskGroup() as acting:
        for directory in everyone:
            acting.create_task(act(directory))
            acting.create_task(act(directory))
    # What lives shortly goes first, so that nothing moves any more.
    async with asyncio.timeout(PATIENCE):
        for directory in everyone:
            for name in names:
                while any(x.ttl < 1 for x in directory.snapshot(name)):
                    await directory.wait(name, directory.version(name), PATIENCE)
        await everyone[0].register(registration(service_name="last"))
        for directory in everyone:
            await directory.wait("last", 0, PATIENCE)

    def told(directory: RedisDirectory) -> dict[str, tuple[int, list[Any]]]:
        return {
            name: (directory.version(name), [replace(x, last_heartbeat=0.0) for x in directory.snapshot(name)])
            for name in names
        }

    first, *others = map(told, everyone)
    for other in others:
        assert other == first
    await everyone[0].refresh()
    assert told(everyone[0]) == first
    later = await opened(server.url)
    assert told(later) == first
