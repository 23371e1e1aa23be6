from collections import Counter

from registry.choose import CHOSEN, ELIGIBLE, PASSED_OVER, ChoiceState, choose, derived_draw
from registry.listing import Wanted
from tests.registry.build import listing

A, B, C = listing("a"), listing("b"), listing("c")
PAYMENT = Wanted(service="payment")


def ids(count: int, listings: list[object], wish: Wanted = PAYMENT, **state: object) -> list[str]:
    found = [
        choose(listings, wish, ChoiceState(turn=t, draw=derived_draw("s", t), **state)).chosen  # type: ignore[arg-type]
        for t in range(count)
    ]
    return [x.service_id if x is not None else "-" for x in found]


def test_round_robin_takes_turns() -> None:
    assert ids(5, [A, B, C]) == ["a", "b", "c", "a", "b"]


def test_nothing_to_choose_from_is_no_match() -> None:
    match = choose([], PAYMENT, ChoiceState())
    assert (match.chosen, match.reasons, match.all_ejected) == (None, (), False)


def test_weight_zero_gets_nothing() -> None:
    assert ids(4, [listing("z", weight=0), A]) == ["a"] * 4
    assert ids(1, [listing("z", weight=0)]) == ["-"]


def test_the_drained_and_those_that_fail_their_checks_get_nothing() -> None:
    sick = listing("s", probed="critical")
    odd = listing("o", health_override="warning")
    assert ids(4, [listing("d", drained=True), sick, odd, A]) == ["a"] * 4
    assert ids(1, [listing("d", drained=True), sick]) == ["-"]
    match = choose([sick, odd], PAYMENT, ChoiceState())
    assert [x.detail for x in match.reasons] == ["Its health is critical.", "Its health is warning."]
    assert ids(1, [listing("m", probed="critical", health_override="passing")]) == ["m"]


def test_when_too_few_pass_all_that_fit_are_offered_and_the_match_says_so() -> None:
    sick, drained = listing("s", probed="critical"), listing("d", drained=True)
    for ratio, chosen, protected in ((0.0, "a", False), (0.5, "a", False), (0.51, "s", True), (1.0, "s", True)):
        match = choose([sick, A, drained], PAYMENT, ChoiceState(), min_healthy_ratio=ratio)
        assert match.chosen is not None
        assert (match.chosen.service_id, match.protected) == (chosen, protected), ratio
    assert choose([drained], PAYMENT, ChoiceState(), min_healthy_ratio=1.0).protected is False


def test_weighted_random_follows_the_weights() -> None:
    wish = Wanted(service="payment", policy="weighted_random")
    spread = Counter(ids(4_000, [listing("a", weight=1), listing("b", weight=3)], wish))
    assert 0.7 < spread["b"] / 4_000 < 0.8


def test_the_highest_draw_still_falls_on_somebody() -> None:
    wish = Wanted(service="payment", policy="weighted_random")
    match = choose([A, B], wish, ChoiceState(draw=1.0))
    assert match.chosen is B


def test_draws_are_derived_and_within_bounds() -> None:
    draws = [derived_draw("s", t) for t in range(1_000)]
    assert draws == [derived_draw("s", t) for t in range(1_000)]
    assert all(0 <= draw < 1 for draw in draws)
    assert derived_draw("other", 1) != derived_draw("s", 1)


def test_least_inflight_takes_the_idle_ones_in_turn() -> None:
    wish = Wanted(service="payment", policy="least_inflight")
    assert ids(4, [A, B, C], wish, inflight={"a": 2}) == ["b", "c", "b", "c"]


def test_a_key_stays_where_it_is_when_another_instance_leaves() -> None:
    def owner(key: str, *listings: object) -> str:
        wish = Wanted(service="payment", policy="consistent_hash", key=key)
        return ids(1, list(listings), wish)[0]

    keys = [f"order-{i}" for i in range(300)]
    before = {key: owner(key, A, B, C) for key in keys}
    after = {key: owner(key, C, A) for key in keys}
    assert min(Counter(before.values()).values()) > 60
    assert all(after[key] == before[key] for key in keys if before[key] != "b")


def test_a_heavier_instance_owns_more_keys() -> None:
    wishes = [Wanted(service="payment", policy="consistent_hash", key=str(i)) for i in range(600)]
    both = [listing("a", weight=3), listing("b")]
    owners = Counter(ids(1, list(both), wish)[0] for wish in wishes)
    assert 2 < owners["a"] / owners["b"] < 4.5


def test_the_callers_zone_comes_first_and_others_are_the_reserve() -> None:
    near, far = listing("n", zone="x"), listing("f", zone="y")
    wish = Wanted(service="payment", zone="x")
    assert ids(2, [far, near], wish) == ["n", "n"]
    assert ids(1, [far, near], wish, ejected={"n"}) == ["f"]
    assert ids(1, [far], wish) == ["f"]


def test_version_and_capability_are_required() -> None:
    old, new = listing("1", version="1.9"), listing("2", version="2.1", capabilities=("grpc",))
    assert ids(2, [old, new], Wanted(service="payment", version="2")) == ["2", "2"]
    assert ids(2, [old, new], Wanted(service="payment", capability="grpc")) == ["2", "2"]
    assert ids(1, [old, new], Wanted(service="payment", version="3")) == ["-"]


def test_ejected_instances_are_skipped_and_all_ejected_is_told_apart() -> None:
    assert ids(2, [A, B], ejected={"a"}) == ["b", "b"]
    assert choose([A, B], PAYMENT, ChoiceState(ejected={"a", "b"})).all_ejected
    zero = listing("z", weight=0)
    assert not choose([zero], PAYMENT, ChoiceState(ejected={"z"})).all_ejected


def test_every_instance_has_a_reason() -> None:
    listings = [A, B, listing("z", weight=0), listing("v", version="2"), listing("e"), listing("g", zone="g")]
    match = choose(listings, Wanted(service="payment"), ChoiceState(ejected={"e"}))
    said = {x.service_id: (x.verdict, x.detail) for x in match.reasons}
    assert said["a"] == (CHOSEN, "It is its turn: 1 of 4.")
    assert said["b"][0] == ELIGIBLE
    assert said["z"] == (PASSED_OVER, "Its weight is 0, so it gets no new calls.")
    assert said["e"] == (PASSED_OVER, "It keeps failing and is ejected for a while.")
    near = choose([A, listing("g", zone="g")], Wanted(service="payment", zone="g"), ChoiceState())
    assert near.reasons[0].detail == "It is in zone None, and zone g has instances."
    wish = Wanted(service="payment", version="2", capability="rest")
    assert choose([A], wish, ChoiceState()).reasons[0].detail == "Its version is not stated, and 2 is wanted."
