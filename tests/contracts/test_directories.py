"""What every directory owes: `registry.directory.Directory`, sentence by sentence."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from registry.directory import Change, Directory, DirectoryFull
from registry.listing import SENT
from tests.contracts.directory_worlds import FakeRedisWorld, KeptWorld, MemoryWorld, World
from tests.registry.build import registration

pytestmark = pytest.mark.anyio

Opened = Callable[..., Awaitable[Directory]]

#: Seconds that a test waits for what has to come.
PATIENCE = 10.0


@pytest.fixture(params=["memory", "kept", "redis"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    if request.param == "memory":
        return MemoryWorld()
    return KeptWorld(tmp_path) if request.param == "kept" else FakeRedisWorld(monkeypatch)


@pytest.fixture
async def opened(world: World) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def open_one(**more: Any) -> Directory:
            directory = world.make(**more)
            await directory.open()
            stack.push_async_callback(directory.close)
            return directory

        yield open_one


@pytest.fixture
async def directory(opened: Opened) -> Directory:
    return await opened()


async def event(directory: Directory, after: str) -> Change:
    """The next change."""
    found = await directory.changes(after, PATIENCE)
    assert found
    return found[0]


# --- listing ---


async def test_a_repeated_registration_keeps_identity_and_first_time(directory: Directory, world: World) -> None:
    first = await directory.register(registration("http://A.test:80/"))
    world.clock.advance(5)
    again = await directory.register(registration("http://a.test", zone="b"))
    assert (first.new, again.new) == (True, False)
    assert again.listing.service_id == first.listing.service_id
    assert again.listing.registered_at == first.listing.registered_at
    assert again.listing.last_heartbeat == first.listing.registered_at + 5
    assert (again.listing.service_url, again.listing.zone) == ("http://a.test", "b")
    assert await directory.get("payment") == (again.listing,)


async def test_everything_that_is_sent_is_answered(directory: Directory) -> None:
    sent = registration(
        "http://a.test/x?y=1",
        ttl=90.5,
        capabilities=("rest", "graphql"),
        weight=2.5,
        zone="z",
        version="2.1",
        tags=("a", "b"),
        metadata={"b": [1, {"c": None}], "a": "ü"},
        health_check_url="http://a.test/health",
        openapi_url="http://a.test/openapi.json",
    )
    listing = (await directory.register(sent)).listing
    for member in SENT:
        assert getattr(listing, member) == getattr(sent, member)
    assert directory.snapshot("payment") == (listing,)


async def test_two_addresses_are_two_instances_in_order_of_arrival(directory: Directory, world: World) -> None:
    for url in ("http://b.test", "http://a.test", "http://b.test"):
        await directory.register(registration(url))
        world.clock.advance(1)
    assert [x.service_url for x in directory.snapshot("payment")] == ["http://b.test", "http://a.test"]


async def test_an_id_names_the_instance_even_at_a_new_address(directory: Directory) -> None:
    await directory.register(registration("http://a.test", service_id="one"))
    moved = await directory.register(registration("http://b.test", service_id="one"))
    assert not moved.new
    assert [x.service_url for x in directory.snapshot("payment")] == ["http://b.test"]
    assert (await directory.register(registration("http://b.test"))).listing.service_id == "one"
    assert (await directory.register(registration("http://a.test"))).new


async def test_of_two_ids_at_one_address_the_other_is_found_when_one_leaves(directory: Directory) -> None:
    for service_id in ("a", "b"):
        await directory.register(registration(service_id=service_id))
    assert (await directory.register(registration())).listing.service_id == "a"
    await directory.withdraw("payment", ["a"])
    assert (await directory.register(registration())).listing.service_id == "b"


async def test_only_the_named_instances_leave(directory: Directory, world: World) -> None:
    for url in ("http://a.test", "http://b.test", "http://c.test"):
        await directory.register(registration(url, service_id=url[7]))
        world.clock.advance(1)
    gone = await directory.withdraw("payment", ["b", "b", "x"])
    assert [x.service_id for x in gone] == ["b"]
    assert [x.service_id for x in directory.snapshot("payment")] == ["a", "c"]
    assert await directory.withdraw("nobody", ["a"]) == ()
    assert await directory.withdraw("payment", []) == ()


async def test_names_are_listed_in_order(directory: Directory) -> None:
    for name in ("b", "a", "C"):
        await directory.register(registration(service_name=name))
    listed = await directory.list()
    assert list(listed) == ["C", "a", "b"]
    assert listed["a"] == directory.snapshot("a")
    assert directory.facts().size == 3


async def test_a_full_directory_refuses_the_new_and_renews_the_known(opened: Opened, world: World) -> None:
    directory = await opened(limit=1)
    await directory.register(registration())
    with pytest.raises(DirectoryFull, match="holds 1 instances"):
        await directory.register(registration("http://b.test"))
    assert not (await directory.register(registration())).new
    world.clock.advance(60)
    assert directory.snapshot("payment") == ()
    assert (await directory.register(registration("http://b.test"))).new


# --- living and dying ---


async def test_an_expired_instance_is_seen_by_nobody_and_cannot_be_revived(directory: Directory, world: World) -> None:
    listing = (await directory.register(registration())).listing
    world.clock.advance(59.9)
    assert directory.snapshot("payment") == (listing,)
    world.clock.advance(0.2)
    assert directory.snapshot("payment") == await directory.get("payment") == ()
    assert await directory.list() == {}
    assert directory.version("payment") == 0
    assert await directory.beat("payment", listing.service_id) is None
    assert await directory.change("payment", listing.service_id, {"weight": 2}) is None
    assert await directory.withdraw("payment", [listing.service_id]) == ()
    assert directory.facts().size == 0
    assert (await directory.register(registration())).new


async def test_a_heartbeat_starts_the_time_to_live_anew(directory: Directory, world: World) -> None:
    listing = (await directory.register(registration())).listing
    for _ in range(10):
        world.clock.advance(50)
        beaten = await directory.beat("payment", listing.service_id)
        assert beaten is not None
        assert beaten.last_heartbeat == world.clock.now()
    assert directory.snapshot("payment") == (beaten,)
    assert beaten.registered_at == listing.registered_at
    assert await directory.beat("payment", "unknown") is None
    assert await directory.beat("nobody", listing.service_id) is None


async def test_each_instance_lives_its_own_time(directory: Directory, world: World) -> None:
    await directory.register(registration("http://long.test", ttl=100.0))
    await directory.register(registration("http://short.test", ttl=10.0))
    world.clock.advance(10.1)
    assert [x.service_url for x in directory.snapshot("payment")] == ["http://long.test"]
    assert [x.service_url for x in await directory.get("payment")] == ["http://long.test"]
    world.clock.advance(90)
    assert directory.snapshot("payment") == ()


# --- what others set ---


async def test_what_is_set_stands_above_what_the_instance_sends(directory: Directory) -> None:
    listing = (await directory.register(registration(weight=5, tags=("a",)))).listing
    done = await directory.change(
        "payment", listing.service_id, {"weight": 1, "tags": ["x", "y"], "zone": "z", "drained": True}
    )
    assert done is not None
    assert (done.before.weight, done.before.tags, done.before.zone, done.before.drained) == (5, ("a",), None, False)
    assert (done.after.weight, done.after.tags, done.after.zone, done.after.drained) == (1, ("x", "y"), "z", True)
    assert directory.snapshot("payment") == (done.after,)

    await directory.register(registration(weight=7, tags=("b",), version="3"))
    (again,) = directory.snapshot("payment")
    assert (again.weight, again.tags, again.zone, again.drained, again.version) == (1, ("x", "y"), "z", True, "3")

    back = await directory.change(
        "payment", listing.service_id, {"weight": None, "tags": None, "zone": None, "drained": None}
    )
    assert back is not None
    assert (back.after.weight, back.after.tags, back.after.zone, back.after.drained) == (7, ("b",), None, False)


async def test_an_operators_word_on_health_stands_above_the_probers(directory: Directory) -> None:
    listing = (await directory.register(registration())).listing
    assert listing.health == "passing"

    async def told(**members: str | None) -> str:
        done = await directory.change("payment", listing.service_id, members)
        assert done is not None
        return done.after.health

    assert await told(probed="critical") == "critical"
    assert await told(health_override="passing") == "passing"
    assert await told(probed="warning") == "passing"
    assert await told(health_override=None) == "warning"
    assert await told(probed=None) == "passing"


async def test_a_change_of_nothing_moves_nothing(directory: Directory) -> None:
    listing = (await directory.register(registration())).listing
    version, position = directory.version("payment"), directory.position()
    done = await directory.change("payment", listing.service_id, {"drained": False, "zone": None})
    assert done is not None
    assert done.before == done.after
    assert (directory.version("payment"), directory.position()) == (version, position)
    assert await directory.change("payment", "unknown", {"weight": 1}) is None


# --- versions, waiting, changes ---


async def test_the_version_moves_on_changes_only(directory: Directory, world: World) -> None:
    seen = [directory.version("payment")]

    def moved() -> bool:
        seen.append(directory.version("payment"))
        return seen[-1] not in seen[:-1]

    listing = (await directory.register(registration())).listing
    assert moved()
    world.clock.advance(1)
    await directory.register(registration())
    await directory.beat("payment", listing.service_id)
    await directory.register(registration(service_name="other"))
    await directory.withdraw("payment", ["unknown"])
    assert not moved()
    await directory.register(registration(weight=2))
    assert moved()
    await directory.change("payment", listing.service_id, {"weight": 3})
    assert moved()
    await directory.register(registration("http://b.test", ttl=5.0))
    assert moved()
    world.clock.advance(5.1)
    assert moved()
    await directory.withdraw("payment", [listing.service_id])
    assert directory.version("payment") == 0
    await directory.register(registration())
    assert moved()


async def test_waiting_ends_with_the_next_change_of_the_name(directory: Directory) -> None:
    listing = (await directory.register(registration())).listing
    index = directory.version("payment")
    assert await directory.wait("payment", index - 1, PATIENCE) == index
    waiting = asyncio.create_task(directory.wait("payment", index, PATIENCE))
    await directory.beat("payment", listing.service_id)
    await directory.register(registration(service_name="other"))
    assert not waiting.done()
    await directory.withdraw("payment", [listing.service_id])
    assert await waiting == 0
    waiting = asyncio.create_task(directory.wait("payment", 0, PATIENCE))
    await directory.register(registration())
    assert await waiting == directory.version("payment") > index


async def test_waiting_ends_when_its_time_is_over(directory: Directory) -> None:
    await directory.register(registration())
    index = directory.version("payment")
    assert await directory.wait("payment", index, 0.01) == index


async def test_waiting_ends_when_an_instance_expires(directory: Directory, world: World) -> None:
    await directory.register(registration())
    waiting = asyncio.create_task(directory.wait("payment", directory.version("payment"), PATIENCE))
    await asyncio.sleep(0)
    world.clock.advance(61)
    assert directory.snapshot("payment") == ()
    assert await waiting == 0


async def test_changes_are_told_in_their_order_and_heartbeats_are_not(directory: Directory, world: World) -> None:
    position = directory.position()
    assert await directory.changes(position, 0.01) == ()
    told = []

    async def follow() -> None:
        nonlocal position
        change = await event(directory, position)
        position = change.id
        told.append((change.kind, change.name, change.service_ids))

    a = (await directory.register(registration())).listing.service_id
    await follow()
    await directory.beat("payment", a)
    await directory.change("payment", a, {"drained": True})
    await follow()
    b = (await directory.register(registration("http://b.test", ttl=10.0))).listing.service_id
    await follow()
    world.clock.advance(11)
    assert len(directory.snapshot("payment")) == 1
    await follow()
    await directory.withdraw("payment", [a])
    await follow()
    assert told == [
        ("registered", "payment", (a,)),
        ("changed", "payment", (a,)),
        ("registered", "payment", (b,)),
        ("expired", "payment", (b,)),
        ("withdrawn", "payment", (a,)),
    ]
    assert directory.position() == position


async def test_a_change_tells_the_version_that_the_name_then_has(directory: Directory) -> None:
    position = directory.position()
    await directory.register(registration())
    assert (await event(directory, position)).index == directory.version("payment")


async def test_changes_go_on_after_any_of_them(directory: Directory) -> None:
    start, ids = directory.position(), []
    for name in ("a", "b", "c"):
        await directory.register(registration(service_name=name))
        ids.append((await event(directory, ids[-1] if ids else start)).id)
    assert [x.name for x in await directory.changes(start, PATIENCE)] == ["a", "b", "c"]
    assert [x.name for x in await directory.changes(ids[0], PATIENCE)] == ["b", "c"]


@pytest.mark.parametrize("after", ["", "x", "9999999999999999-0", "1-1-1", "-"])
async def test_what_cannot_be_gone_on_from_is_answered_with_a_reset(directory: Directory, after: str) -> None:
    await directory.register(registration())
    (reset,) = await directory.changes(after, PATIENCE)
    assert (reset.kind, reset.name) == ("reset", None)
    later = await directory.changes(reset.id, 0.01)
    assert all(change.kind != "reset" for change in later)


# --- the audit log ---


async def test_every_write_but_heartbeats_is_audited_with_before_and_after(directory: Directory) -> None:
    listing = (await directory.register(registration(), by="ada")).listing
    await directory.beat("payment", listing.service_id)
    await directory.register(registration(), by="ada")
    await directory.change("payment", listing.service_id, {"weight": 3}, by="bob")
    await directory.withdraw("payment", [listing.service_id], by="cleo")
    found = await directory.audits()
    assert [(x.who, x.what, x.service_name, x.service_id) for x in found] == [
        ("cleo", "withdrawn", "payment", listing.service_id),
        ("bob", "changed", "payment", listing.service_id),
        ("ada", "registered", "payment", listing.service_id),
    ]
    gone, changed, came = found
    assert (came.before, came.after["weight"]) == (None, 1)
    assert (changed.before["weight"], changed.after["weight"]) == (1, 3)
    assert (gone.before["weight"], gone.after) == (3, None)
    assert came.at == pytest.approx(listing.registered_at, abs=0.01)


async def test_audit_entries_are_read_in_pages(directory: Directory) -> None:
    for name in ("a", "b", "c"):
        await directory.register(registration(service_name=name))
    first = await directory.audits(limit=2)
    assert [x.service_name for x in first] == ["c", "b"]
    assert [x.service_name for x in await directory.audits(limit=2, before=first[-1].id)] == ["a"]
    assert await directory.audits(before="nonsense") == ()


# --- itself ---


async def test_a_lease_has_one_holder_at_a_time(directory: Directory, world: World) -> None:
    assert await directory.lease("prober", "one", 10)
    assert not await directory.lease("prober", "two", 10)
    assert await directory.lease("other", "two", 10)
    world.clock.advance(8)
    assert await directory.lease("prober", "one", 10)
    world.clock.advance(8)
    assert not await directory.lease("prober", "two", 10)
    world.clock.advance(3)
    assert await directory.lease("prober", "two", 10)


async def test_the_facts_say_how_often_memory_knew_the_name(directory: Directory) -> None:
    await directory.register(registration())
    for name in ("payment", "payment", "nobody"):
        await directory.get(name, counts=True)
    await directory.get("payment")
    facts = await directory.check()
    assert (facts.hits, facts.misses, facts.size) == (2, 1, 1)
    assert facts.warm
    assert not facts.stale
    assert facts.redis in ("embedded", "connected")
    assert facts == directory.facts()
