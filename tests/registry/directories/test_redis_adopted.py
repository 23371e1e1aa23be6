"""A registry of the first kind on the same Redis."""

import json

import pytest

from registry.base.clock import iso
from tests.registry.build import registration
from tests.registry.directories.at_redis import Opened, moved, seed
from tests.support.redis_servers import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.process]


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
