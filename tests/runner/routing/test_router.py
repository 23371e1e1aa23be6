"""Which saga answers, against an oracle that is written the other way round: by sorting, not by dropping."""

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.routing.router import VERBS, Chosen, NotAllowed, NotFound, Selection, has_effects, methods_of, select
from runner.saga.definition import Saga
from tests.support.builders import call, made, saga

sagas = st.lists(
    st.builds(
        Saga,
        id=st.sampled_from(["a", "b", "c", "d"]),
        version=st.integers(0, 3),
        path=st.just("/p"),
        streams=st.sampled_from([(), ("http",), ("orders",), ("http", "orders")]),
        runners=st.sampled_from([(), ("shop",), ("other",), ("shop", "other")]),
        methods=st.sampled_from([(), ("GET",), ("POST",), ("POST", "PUT"), ("GET", "HEAD")]),
    ),
    max_size=6,
)


def oracle(given: list[Saga], *, stream: str, runner: str, method: str, version: int | None) -> Saga | str:
    """The rules of selection as one rank: the best that may answer, or the status."""
    here = [
        (order, one)
        for order, one in enumerate(given)
        if (one.runners == () or runner in one.runners) and (one.streams == () or stream in one.streams)
    ]
    if not here:
        return "404"

    def takes(one: Saga) -> bool:
        verbs = set(one.methods) or set(VERBS)
        return not method or method in verbs or (method == "HEAD" and "GET" in verbs)

    fit = [(order, one) for order, one in here if takes(one)]
    if not fit:
        return "405"
    asked = [(order, one) for order, one in fit if version in (None, one.version)]
    if not asked:
        return "404"
    return min(asked, key=lambda pair: (not pair[1].streams, not pair[1].runners, -pair[1].version, pair[0]))[1]


def word(found: Selection) -> Saga | str:
    return found.saga if isinstance(found, Chosen) else "405" if isinstance(found, NotAllowed) else "404"


@given(
    sagas,
    st.sampled_from(["http", "orders", "none"]),
    st.sampled_from(["shop", "other", "third"]),
    st.sampled_from(["", "GET", "POST", "HEAD", "DELETE", "OPTIONS"]),
    st.one_of(st.none(), st.integers(0, 4)),
)
@settings(max_examples=400, deadline=None)
def test_the_choice_is_the_best_by_rank(
    given: list[Saga], stream: str, runner: str, method: str, version: int | None
) -> None:
    found = select(given, stream=stream, runner=runner, method=method, version=version)
    wanted = oracle(given, stream=stream, runner=runner, method=method, version=version)
    assert word(found) is wanted if isinstance(wanted, Saga) else word(found) == wanted
    if isinstance(found, Chosen):
        assert len(found.lost) == len(given) - 1, "each other candidate has a reason"
    if isinstance(found, NotAllowed):
        assert found.allow == tuple(sorted(set(found.allow)))
        assert method not in found.allow


def test_405_tells_the_union_of_what_the_candidates_take() -> None:
    given = [Saga(id="a", methods=("POST",)), Saga(id="b", methods=("PUT", "PATCH"))]
    found = select(given, stream="http", runner="shop", method="DELETE")
    why = "does not take DELETE"
    assert found == NotAllowed(allow=("PATCH", "POST", "PUT"), lost=(("a@1", why), ("b@1", why)))


def test_nobody_is_not_found_with_a_reason() -> None:
    assert select([], stream="http", runner="shop") == NotFound(
        why="no active saga has this path on this stream and runner"
    )


def test_head_answers_as_get_only_where_nothing_is_changed() -> None:
    read = {"name": "r", "call": {"service": "one", "method": "GET", "path": "/"}}
    pure, acting = made(saga(read, methods=["GET"])).saga, made(saga(call("a"), methods=["GET"])).saga
    assert not has_effects(pure)
    assert has_effects(acting)
    assert "HEAD" in methods_of(pure)
    assert "HEAD" not in methods_of(acting)
    assert isinstance(select([acting], stream="http", runner="shop", method="HEAD"), NotAllowed)
