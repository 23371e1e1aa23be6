import asyncio
from collections import Counter

from registry.base.clock import ManualClock
from registry.chooser import AllEjected, Chooser, NoInstance, Picked
from registry.directories.memory import MemoryDirectory
from registry.ejection import FAIL_MAX, RESET_TIMEOUT, SUCCESS_THRESHOLD, Ejection
from registry.listing import Wanted
from tests.registry.build import registration


class World:
    """A chooser over an embedded directory with instances named by letters."""

    def __init__(self, ids: str = "", fallback: dict[str, str] | None = None) -> None:
        self.clock = ManualClock()
        self.directory = MemoryDirectory(self.clock)
        self.chooser = Chooser(self.directory, self.clock, fallback=fallback)
        for service_id in ids:
            self.add(service_id)

    def add(self, service_id: str, **changed: object) -> None:
        url = f"http://{service_id}.test"
        asyncio.run(self.directory.register(registration(url, service_id=service_id, ttl=1e4, **changed)))

    def remove(self, service_id: str) -> None:
        asyncio.run(self.directory.withdraw("payment", [service_id]))

    def pick(self, service: str = "payment") -> Picked:
        picked = self.chooser.pick(service)
        assert isinstance(picked, Picked)
        return picked

    def calls(self, *outcomes: bool | None) -> str:
        """Pick and settle in turn; the ids picked."""
        said = ""
        for ok in outcomes:
            picked = self.pick()
            picked.settle(ok)
            said += picked.service_id
        return said


def test_instances_are_picked_in_turn_with_their_url() -> None:
    world = World("ab")
    assert world.calls(True, True, True) == "aba"
    assert world.pick().url == "http://b.test"


def test_arrivals_and_departures_are_seen_at_once_and_the_turn_goes_on() -> None:
    world = World("ab")
    assert world.calls(True) == "a"
    world.add("c")
    assert world.calls(True, True) == "bc"
    world.remove("a")
    assert set(world.calls(True, True)) == {"b", "c"}
    world.clock.advance(1e4)
    assert isinstance(world.chooser.pick("payment"), NoInstance)


def test_a_heartbeat_does_not_disturb_what_is_kept() -> None:
    world = World("ab")
    world.calls(True)
    lane = world.chooser._lanes["payment"]
    asyncio.run(world.directory.beat("payment", "a"))
    world.calls(True)
    assert world.chooser._lanes["payment"] is lane


def test_an_unknown_service_is_not_found_in_a_sentence() -> None:
    missing = World().chooser.pick("ghost")
    assert isinstance(missing, NoInstance)
    assert missing.code == "serviceNotFound"
    assert "No instance of ghost is registered" in missing.detail


def test_the_fallback_serves_only_when_nothing_is_found_and_is_never_ejected() -> None:
    world = World(fallback={"payment": "http://static.test"})
    for _ in range(2 * FAIL_MAX):
        picked = world.pick()
        assert (picked.url, picked.service_id) == ("http://static.test", "")
        picked.settle(False)
    world.add("a")
    assert world.pick().service_id == "a"
    assert world.chooser.pick_wanted(Wanted(service="payment", zone="z"))
    world.remove("a")
    assert world.pick().url == "http://static.test"
    assert world.pick("payment@2").url == "http://static.test"


def test_versions_are_picked_apart() -> None:
    world = World()
    world.add("a", version="1.4")
    world.add("b", version="2.0")
    assert {world.pick("payment@2").service_id for _ in range(4)} == {"b"}
    assert isinstance(world.chooser.pick("payment@3"), NoInstance)


def test_weight_zero_gets_no_calls() -> None:
    world = World("a")
    world.add("z", weight=0.0)
    assert world.calls(True, True, True) == "aaa"


def test_consecutive_failures_eject_and_the_others_take_over() -> None:
    world = World("ab")
    for _ in range(2 * FAIL_MAX):
        picked = world.pick()
        picked.settle(picked.service_id != "a")
    assert world.calls(True, True, True) == "bbb"


def test_a_success_in_between_starts_the_count_anew() -> None:
    world = World("a")
    world.calls(*[False] * (FAIL_MAX - 1), True, *[False] * (FAIL_MAX - 1))
    assert world.calls(True) == "a"


def test_a_cancelled_call_counts_neither_way() -> None:
    world = World("a")
    world.calls(*[False] * (FAIL_MAX - 1), *[None] * 20)
    assert world.calls(False) == "a"
    assert isinstance(world.chooser.pick("payment"), AllEjected)


def test_all_ejected_is_told_apart_from_nothing_found_even_with_a_fallback() -> None:
    world = World("a", fallback={"payment": "http://static.test"})
    world.calls(*[False] * FAIL_MAX)
    refused = world.chooser.pick("payment")
    assert isinstance(refused, AllEjected)
    assert refused.code == "circuitOpen"
    assert isinstance(world.chooser.pick_wanted(Wanted(service="payment")), AllEjected)


def test_after_the_rest_a_failure_ejects_again_and_successes_end_the_trial() -> None:
    world = World("a")
    world.calls(*[False] * FAIL_MAX)
    world.clock.advance(RESET_TIMEOUT - 0.001)
    assert isinstance(world.chooser.pick("payment"), AllEjected)
    world.clock.advance(0.001)
    world.calls(*[True] * (SUCCESS_THRESHOLD - 1), False)
    assert isinstance(world.chooser.pick("payment"), AllEjected)
    world.clock.advance(RESET_TIMEOUT)
    world.calls(*[True] * SUCCESS_THRESHOLD)
    assert world.calls(*[False] * (FAIL_MAX - 1), True) == "a" * FAIL_MAX


def test_a_late_failure_of_before_the_ejection_does_not_end_the_trial() -> None:
    world = World("a")
    late = [world.pick() for _ in range(3)]
    world.calls(*[False] * FAIL_MAX)
    late[0].settle(False)
    world.clock.advance(RESET_TIMEOUT)
    world.calls(True)
    late[1].settle(False)
    world.calls(*[True] * (SUCCESS_THRESHOLD - 1))
    late[2].settle(False)
    assert world.calls(*[False] * (FAIL_MAX - 1), True) == "a" * FAIL_MAX


def test_a_second_settle_does_nothing() -> None:
    world = World("a")
    picked = world.pick()
    for _ in range(FAIL_MAX):
        picked.settle(False)
    assert world.calls(True) == "a"


def test_an_instance_at_a_new_address_begins_afresh_and_one_that_only_changed_does_not() -> None:
    world = World("a")
    world.calls(*[False] * FAIL_MAX)
    world.add("a", zone="x")
    assert isinstance(world.chooser.pick("payment"), AllEjected)
    asyncio.run(world.directory.register(registration("http://new.test", service_id="a")))
    assert world.pick().url == "http://new.test"


def test_no_breaker_exists_while_calls_succeed_or_after_a_success() -> None:
    world = World("a")
    world.calls(True)
    slot = world.chooser._slots["payment"]["a"]
    assert slot.ejection is None
    world.calls(False)
    assert slot.ejection is not None
    world.calls(True)
    assert slot.ejection is None


def test_throwing_a_breaker_away_after_a_success_changes_no_decision() -> None:
    clock = ManualClock()
    kept = Ejection(clock, era=0)
    fresh = Ejection(clock, era=0)
    for ok in (False, False, True):
        kept.settle(ok=ok, era=kept.era)
    assert kept.spent
    for _ in range(FAIL_MAX):
        assert kept.admits() is fresh.admits() is True
        for each in (kept, fresh):
            each.settle(ok=False, era=each.era)
    assert kept.admits() is fresh.admits() is False


def test_other_policies_go_by_calls_under_way_zone_and_key() -> None:
    world = World("ab")
    busy = world.pick()
    least = Wanted(service="payment", policy="least_inflight")
    other = world.chooser.pick_wanted(least)
    assert isinstance(other, Picked)
    assert other.service_id != busy.service_id
    busy.settle(True)
    assert world.chooser.state("payment").inflight == {busy.service_id: 0, other.service_id: 1}
    keyed = Wanted(service="payment", policy="consistent_hash", key="order-7")
    assert len({world.chooser.pick_wanted(keyed).service_id for _ in range(9)}) == 1  # type: ignore[union-attr]
    spread = Counter(
        world.chooser.pick_wanted(Wanted(service="payment", policy="weighted_random")).service_id  # type: ignore[union-attr]
        for _ in range(100)
    )
    assert min(spread.values()) > 20


def test_a_trial_begins_through_any_policy() -> None:
    world = World("a")
    world.calls(*[False] * FAIL_MAX)
    world.clock.advance(RESET_TIMEOUT)
    for _ in range(SUCCESS_THRESHOLD):
        picked = world.chooser.pick_wanted(Wanted(service="payment", policy="weighted_random"))
        assert isinstance(picked, Picked)
        picked.settle(True)
    assert world.chooser._slots["payment"]["a"].ejection is None


def test_service_texts_that_callers_make_up_do_not_pile_up() -> None:
    world = World()
    world.add("a", version="1." + "1" * 100)
    for i in range(50):
        world.chooser.pick(f"ghost-{i}")
    assert world.chooser._lanes == world.chooser._slots == {}
