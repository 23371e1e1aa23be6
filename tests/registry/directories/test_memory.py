import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from registry.base.clock import ManualClock
from registry.directories.memory import MemoryDirectory
from registry.directory import DirectoryFull
from tests.registry.build import registration

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def opened(**more: Any) -> tuple[MemoryDirectory, ManualClock]:
    clock = ManualClock()
    return MemoryDirectory(clock, **more), clock


def test_a_repeated_registration_keeps_identity_and_first_time() -> None:
    directory, clock = opened()
    first = run(directory.register(registration("http://A.test:80/")))
    clock.advance(5)
    again = run(directory.register(registration("http://a.test", zone="b")))
    assert (first.new, again.new) == (True, False)
    assert again.listing.service_id == first.listing.service_id
    assert again.listing.registered_at == first.listing.registered_at
    assert again.listing.last_heartbeat == first.listing.registered_at + 5
    assert (again.listing.service_url, again.listing.zone) == ("http://a.test", "b")


def test_two_addresses_are_two_instances_in_order_of_arrival() -> None:
    directory, _ = opened()
    run(directory.register(registration("http://b.test")))
    run(directory.register(registration("http://a.test")))
    run(directory.register(registration("http://b.test")))
    assert [x.service_url for x in directory.snapshot("payment")] == ["http://b.test", "http://a.test"]


def test_an_id_names_the_instance_even_at_a_new_address() -> None:
    directory, _ = opened()
    run(directory.register(registration("http://a.test", service_id="one")))
    moved = run(directory.register(registration("http://b.test", service_id="one")))
    assert not moved.new
    assert [x.service_url for x in directory.snapshot("payment")] == ["http://b.test"]
    assert run(directory.register(registration("http://b.test"))).listing.service_id == "one"
    assert run(directory.register(registration("http://a.test"))).new


def test_an_expired_instance_is_seen_by_nobody_and_cannot_be_revived() -> None:
    directory, clock = opened()
    listing = run(directory.register(registration())).listing
    clock.advance(59.9)
    assert directory.snapshot("payment") == (listing,)
    clock.advance(0.1)
    assert directory.snapshot("payment") == run(directory.get("payment")) == ()
    assert run(directory.list()) == {}
    assert directory.version("payment") == 0
    assert run(directory.beat("payment", listing.service_id)) is None
    assert run(directory.withdraw("payment", [listing.service_id])) == ()
    assert directory.facts().size == 0
    assert run(directory.register(registration())).new


def test_a_heartbeat_starts_the_time_to_live_anew() -> None:
    directory, clock = opened()
    listing = run(directory.register(registration())).listing
    for _ in range(10):
        clock.advance(50)
        beaten = run(directory.beat("payment", listing.service_id))
        assert beaten is not None
        assert beaten.last_heartbeat == clock.now()
    assert directory.snapshot("payment") == (beaten,)


def test_each_instance_lives_its_own_time() -> None:
    directory, clock = opened()
    run(directory.register(registration("http://long.test", ttl=100.0)))
    run(directory.register(registration("http://short.test", ttl=10.0)))
    clock.advance(10)
    assert [x.service_url for x in directory.snapshot("payment")] == ["http://long.test"]
    clock.advance(90)
    assert directory.snapshot("payment") == ()


def test_a_jump_of_wall_time_expires_nothing() -> None:
    directory, clock = opened()
    run(directory.register(registration()))
    clock.jump(1e6)
    assert len(directory.snapshot("payment")) == 1


def test_the_version_moves_on_changes_only() -> None:
    directory, clock = opened()
    seen = [directory.version("payment")]

    def moved() -> bool:
        seen.append(directory.version("payment"))
        return seen[-1] not in seen[:-1]

    listing = run(directory.register(registration())).listing
    assert moved()
    clock.advance(1)
    run(directory.register(registration()))
    run(directory.beat("payment", listing.service_id))
    run(directory.register(registration(service_name="other")))
    run(directory.withdraw("payment", ["unknown"]))
    assert not moved()
    run(directory.register(registration(weight=2)))
    assert moved()
    run(directory.register(registration("http://b.test", ttl=5.0)))
    assert moved()
    clock.advance(5)
    assert moved()
    run(directory.withdraw("payment", [listing.service_id]))
    assert directory.version("payment") == 0
    run(directory.register(registration()))
    assert moved()


def test_only_the_named_instances_leave() -> None:
    directory, _ = opened()
    for url in ("http://a.test", "http://b.test", "http://c.test"):
        run(directory.register(registration(url, service_id=url[7])))
    gone = run(directory.withdraw("payment", ["b", "b", "x"]))
    assert [x.service_id for x in gone] == ["b"]
    assert [x.service_id for x in directory.snapshot("payment")] == ["a", "c"]
    assert run(directory.withdraw("nobody", ["a"])) == ()


def test_of_two_ids_at_one_address_the_other_is_found_when_one_leaves() -> None:
    directory, _ = opened()
    for service_id in ("a", "b"):
        run(directory.register(registration(service_id=service_id)))
    run(directory.withdraw("payment", ["a"]))
    assert run(directory.register(registration())).listing.service_id == "b"


def test_names_are_listed_in_order() -> None:
    directory, _ = opened()
    for name in ("b", "a", "C"):
        run(directory.register(registration(service_name=name)))
    assert list(run(directory.list())) == ["C", "a", "b"]
    assert directory.facts().size == 3


def test_a_full_directory_refuses_the_new_and_renews_the_known() -> None:
    directory, clock = opened(limit=1)
    run(directory.register(registration()))
    with pytest.raises(DirectoryFull, match="holds 1 instances"):
        run(directory.register(registration("http://b.test")))
    assert not run(directory.register(registration())).new
    clock.advance(60)
    assert run(directory.register(registration("http://b.test"))).new


def test_shortening_lives_again_and_again_does_not_grow_the_memory() -> None:
    directory, clock = opened()
    for i in range(5_000):
        run_free = directory.register(registration(ttl=80_000.0 - i))
        with pytest.raises(StopIteration):
            run_free.send(None)
    assert len(directory._shelves._heap) < 200
    clock.advance(75_001)
    assert directory.snapshot("payment") == ()
