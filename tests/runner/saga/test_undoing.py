"""What is undone, in which order, and what is said to be left: read off trees in the middle of their runs."""

from typing import Any

from runner.saga.command import Write
from runner.saga.journal import Begun, Done, Ended, Leftover, Turned
from runner.saga.undoing import leftovers_of_completed, leftovers_of_frame, plan_for_frame
from tests.support.builders import begun, call, done, folded, made, refused, saga, undone, unknown


def paths(*records: Any, of: dict[str, Any]) -> list[str]:
    """What would be undone now."""
    return list(plan_for_frame(folded(made(of), *records).root).paths())


def ran(*steps: str) -> list[Begun | Done]:
    """Each of these calls was begun and is done."""
    return [record for path in steps for record in (begun(path), done(path))]


def test_a_sequence_is_undone_in_reverse() -> None:
    document = saga(undone("a"), undone("b"), undone("c"))
    assert paths(*ran("a", "b"), begun("c"), of=document) == ["b", "a"]


def test_what_is_unknown_is_undone_and_what_was_refused_is_not() -> None:
    document = saga(undone("a", catch="continue"), undone("b"))
    assert paths(begun("a"), refused("a", "409"), begun("b"), of=document) == []
    document = saga(undone("a", retry={}), undone("b"))
    assert paths(begun("a"), unknown("a", "503"), of=document) == ["a"]


def test_branches_are_undone_in_reverse_declaration_whatever_the_clock_says() -> None:
    fork = {"name": "f", "fork": {"branches": {"x": undone("x"), "y": undone("y"), "z": call("z")}}}
    records = [begun("f/x/x"), begun("f/y/y"), begun("f/z/z"), done("f/y/y"), done("f/x/x")]
    assert paths(*records, of=saga(fork)) == ["f/y/y", "f/x/x"]


def test_items_are_undone_by_falling_index() -> None:
    loop = {"name": "l", "for": {"each": "x", "in": [1, 2, 3], "parallel": 3, "steps": [undone("a"), call("b")]}}
    records = [begun(f"l/{n}/a") for n in range(3)] + [done(f"l/{n}/a") for n in (2, 0, 1)]
    assert paths(*records, of=saga(loop)) == ["l/2/a", "l/1/a", "l/0/a"]


def test_a_turned_run_lists_its_undo_in_the_record_that_turns_it() -> None:
    state = folded(made(saga(undone("a"), undone("b"))), *ran("a"), begun("b"), refused("b", "402"))
    [turn] = [wish.record for wish in state.outstanding() if isinstance(wish, Write)]
    assert isinstance(turn, Turned)
    assert (turn.cause, turn.undo, turn.fault.kind) == ("error", ("a",), "402")


def test_leftovers_are_effects_that_are_there_or_may_be_in_the_order_in_which_they_ran() -> None:
    bare = {key: value for key, value in call("b").items() if key != "compensate"}
    open_ended = {key: value for key, value in call("c", retry={}).items() if key != "compensate"}
    state = folded(made(saga(call("a"), bare, open_ended)), *ran("a", "b"), begun("c"), unknown("c", "timeout"))
    assert leftovers_of_frame(state.root) == [
        Leftover(step="b", outcome="done"),
        Leftover(step="c", outcome="unknown"),
    ]


def test_reads_leave_nothing() -> None:
    read = {"name": "r", "call": {"service": "one", "method": "GET", "path": "/"}}
    state = folded(made(saga(read, call("a"))), done("r"))
    assert leftovers_of_frame(state.root) == []


def test_a_completed_run_tells_what_its_caught_steps_left_and_not_what_it_did_on_purpose() -> None:
    bare = {key: value for key, value in call("a").items() if key != "compensate"}
    stand_in = {key: value for key, value in call("c").items() if key != "compensate"}
    step = bare | {"catch": [{"errors": ["timeout"], "steps": [stand_in]}]}
    state = folded(
        made(saga(step)),
        begun("a"),
        unknown("a", "timeout"),
        begun("a/$catch.0/c", way="c"),
        done("a/$catch.0/c", way="c"),
    )
    assert leftovers_of_completed(state.root) == [Leftover(step="a", outcome="unknown")]
    [end] = [wish.record for wish in state.outstanding() if isinstance(wish, Write)]
    assert isinstance(end, Ended)
    assert end.leftovers == (Leftover(step="a", outcome="unknown"),)


def test_an_undo_in_place_of_the_cascade_keeps_the_cascade_away_before_and_after() -> None:
    kid = saga(undone("k"), id="kid", path="/kid")
    run = {"name": "r", "run": {"saga": "kid"}, "compensate": {"call": {"service": "one", "path": "/u", "body": {}}}}
    switch = {"name": "s", "switch": [{"otherwise": [run, call("b")]}], "catch": "continue"}
    program = made(saga(switch, call("c")), kid)
    state = folded(program, *ran("s/0/r/k"), begun("s/0/b"))
    assert list(plan_for_frame(state.root).paths()) == ["s/0/r"]
    state.apply(refused("s/0/b", "409"))
    for wish in state.take():
        if isinstance(wish, Write):
            state.apply(wish.record)
    for record in (begun("s/0/r/$undo/0", way="u"), done("s/0/r/$undo/0", way="u")):
        state.apply(record)
    assert list(plan_for_frame(state.root).paths()) == []


def test_none_on_a_run_stands_in_place_of_the_cascade_too() -> None:
    kid = saga(undone("k"), id="kid", path="/kid")
    program = made(saga({"name": "r", "run": {"saga": "kid"}, "compensate": "none"}, call("c")), kid)
    state = folded(program, *ran("r/k"), begun("c"))
    assert list(plan_for_frame(state.root).paths()) == []
    assert leftovers_of_frame(state.root) == []


def test_a_completed_child_is_undone_by_cascade() -> None:
    kid = saga(undone("k"), undone("l"), id="kid", path="/kid")
    program = made(saga(undone("a"), {"name": "r", "run": {"saga": "kid"}}, call("c")), kid)
    state = folded(program, *ran("a", "r/k", "r/l"), begun("c"))
    assert list(plan_for_frame(state.root).paths()) == ["r/l", "r/k", "a"]
