"""The fold: what may follow what, what one record leads to, and any saga in any weather."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.saga.advance import RunState, advance
from runner.saga.command import Attempt, Write
from runner.saga.definition import Program
from runner.saga.journal import (
    CANCEL,
    CATCH,
    FORWARD,
    UNDO,
    Begun,
    Ended,
    Record,
    ScopeTurned,
    Signalled,
    Turned,
    Waiting,
    decode,
    encode,
)
from runner.saga.state import JournalInvalid
from runner.saga.tree import COMPLETED, Block, Spot
from tests.support.builders import (
    RUN,
    begun,
    call,
    done,
    folded,
    made,
    refused,
    saga,
    started,
    undone,
    unknown,
)
from tests.support.playing import picture


def writes(state: RunState) -> list[Record]:
    """The records that a state wishes for."""
    return [wish.record for wish in state.outstanding() if isinstance(wish, Write)]


def cancel(t: int = 1) -> Signalled:
    return Signalled(t=t, id=f"c{t}", name=CANCEL)


def test_nothing_may_follow_the_end() -> None:
    state = folded(made(saga({"name": "s", "set": 1})))
    [end] = writes(state)
    state.apply(end)
    with pytest.raises(JournalInvalid, match="nothing may follow the end"):
        state.apply(cancel())


def test_a_record_that_names_what_is_not_open_is_refused() -> None:
    with pytest.raises(JournalInvalid, match="'b', where nothing is open"):
        folded(made(saga(call("a"))), begun("b"))
    with pytest.raises(JournalInvalid):
        folded(made(saga(call("a"))), begun("a"), done("a"), done("a"))


def test_a_decision_that_the_fold_has_not_made_is_refused() -> None:
    fault = refused("a", "409").fault
    with pytest.raises(JournalInvalid, match="Turned"):
        folded(made(saga(call("a"))), Turned(t=0, cause="error", fault=fault, undo=()))
    with pytest.raises(JournalInvalid, match="Ended"):
        folded(made(saga(call("a"))), Ended(t=0, status="completed"))
    with pytest.raises(JournalInvalid):
        folded(made(saga(call("a"))), ScopeTurned(t=0, path="a", fault=fault, undo=()))


def test_an_attempt_that_was_open_is_said_to_be_unknown_before_anything_else() -> None:
    state = folded(made(saga(call("a"))), begun("a", attempt=1))
    [record] = state.interrupted()
    assert (record.path, record.attempt, record.crash) == ("a", 1, True)
    assert not any(isinstance(wish, Attempt) for wish in state.outstanding())
    state.apply(record)
    assert [wish.number for wish in state.outstanding() if isinstance(wish, Attempt)] == [1]


def test_two_cancels_turn_a_run_once() -> None:
    fork = {"name": "f", "fork": {"branches": {"x": undone("x"), "y": undone("y")}}}
    state = folded(made(saga(fork)), begun("f/x/x"), begun("f/y/y"), cancel(1))
    assert not state.cancellable
    for record in (cancel(2), done("f/x/x"), done("f/y/y")):
        state.apply(record)
    assert [type(record) for record in writes(state)] == [Turned]


def test_a_deadline_after_a_cancel_turns_a_run_once() -> None:
    program = made(saga(undone("a"), timeout="5s"))
    state = advance(program, RUN, [started(program, deadline=5000), begun("a"), cancel(1)])
    for wish in state.fire("!", 5000):
        assert isinstance(wish, Write)
        state.apply(wish.record)
    state.apply(done("a"))
    assert [type(record) for record in writes(state)] == [Turned]


def test_a_signal_between_the_wish_to_wait_and_its_record_is_not_lost() -> None:
    state = folded(made(saga({"name": "l", "listen": {"signal": "go"}})))
    [wait] = writes(state)
    assert isinstance(wait, Waiting)
    state.apply(Signalled(t=1, id="1", name="go", body=7))
    state.apply(wait)
    [end] = writes(state)
    assert isinstance(end, Ended)
    assert end.output == 7


def test_at_most_a_thousand_signals_are_kept() -> None:
    state = folded(made(saga({"name": "w", "wait": "1h"}, {"name": "l", "listen": {"signal": "go"}})))
    for number in range(1_200):
        state.apply(Signalled(t=1, id=str(number), name="go", body=number))
    assert len(state.mailbox["go"]) == 1_000


def test_ten_thousand_turns_are_a_loop_here_too() -> None:
    body = {"for": {"max": 10_000, "until": "index == 9999", "steps": {"set": "${ index }"}}}
    state = folded(made(saga({"name": "l", **body}, {"name": "n", "set": "${ length(steps.l.output) }"})))
    [end] = writes(state)
    assert isinstance(end, Ended)
    assert end.output == 10_000


def test_a_timer_that_nobody_wants_any_more_wishes_for_nothing() -> None:
    state = folded(made(saga({"name": "w", "wait": "1h"})))
    for record in writes(state):
        state.apply(record)
    state.apply(cancel())
    assert state.fire("w", 10**9) == []
    assert state.fire("!", 10**9) == []


def test_a_run_says_what_it_waits_for() -> None:
    state = folded(made(saga({"name": "l", "listen": {"signal": "approve"}})))
    for record in writes(state):
        state.apply(record)
    assert (state.status, state.reason) == ("waiting", "l waits for signal approve")


# -------------------------------------------------------------------- any saga in any weather


def steps(depth: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Step lists whose names are put in later."""
    leaf: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [
            {"kind": "call"},
            {"kind": "call", "undo": True},
            {"kind": "call", "undo": True},
            {"kind": "call", "undo": True, "retry": True},
            {"kind": "call", "undo": True, "once": True},
            {"kind": "set"},
            {"kind": "wait"},
            {"kind": "read"},
        ]
    )
    if depth == 0:
        return st.lists(leaf, min_size=1, max_size=3)
    below = steps(depth - 1)
    nest: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {"kind": st.sampled_from(["switch", "fork", "fast", "each", "side", "run"]), "a": below, "b": below}
    )
    return st.lists(st.one_of(leaf, leaf, nest), min_size=1, max_size=3).flatmap(
        lambda plain: st.lists(st.sampled_from([None, None, "continue", "entry"]), min_size=3, max_size=3).map(
            lambda catches: [{**step, "catch": catch} for step, catch in zip(plain, catches, strict=False)]
        )
    )


class _Writer:
    """Writes the documents of a drawn saga."""

    def __init__(self) -> None:
        self.count = 0
        self.children: list[dict[str, Any]] = []

    def list(self, drawn: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [self.step(one) for one in drawn]

    def step(self, drawn: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        name = f"s{self.count}"
        kind = drawn["kind"]
        step: dict[str, Any]
        match kind:
            case "call":
                step = undone(name) if drawn.get("undo") else call(name)
                if drawn.get("retry"):
                    step["retry"] = {"attempts": 2, "errors": ["any"]}
                if drawn.get("once"):
                    step["idempotent"] = False
            case "read":
                step = {"name": name, "call": {"service": "one", "method": "GET", "path": "/"}}
            case "set":
                step = {"name": name, "set": 1}
            case "wait":
                step = {"name": name, "wait": "10s"}
            case "switch":
                step = {"name": name, "switch": [{"otherwise": self.list(drawn["a"])}]}
            case "fork" | "fast":
                branches = {"x": self.list(drawn["a"]), "y": self.list(drawn["b"])}
                step = {"name": name, "fork": {"branches": branches, "failFast": kind == "fast"}}
            case "each" | "side":
                many = {"each": f"i{self.count}", "in": [1, 2], "parallel": 1 if kind == "each" else 2}
                step = {"name": name, "for": {**many, "steps": self.list(drawn["a"])}}
            case _:
                child = f"kid{self.count}"
                body = _Writer()
                body.count = self.count * 100
                self.children.append(
                    {"id": child, "path": f"/{child}", "timeout": "20s", "steps": body.list(drawn["a"])}
                )
                self.children += body.children
                step = {"name": name, "run": {"saga": child}}
        if drawn.get("catch") == "continue":
            step["catch"] = "continue"
        elif drawn.get("catch") == "entry":
            step["catch"] = [{"errors": ["any"], "steps": [undone(f"{name}c")]}]
        return step


def spots(block: Block) -> list[Spot]:
    """Every forward spot of a tree, in its order."""
    found = []
    for spot in block.spots:
        found.append(spot)
        for below in spot.stretch():
            found += spots(below)
    return found


class _Weather:
    """Answers wishes as chance has it; no engine, no clock."""

    def __init__(self, program: Program, chance: Random) -> None:
        self.records: list[Record] = []
        self.state = RunState(program, RUN)
        self.chance = chance
        self.now = 0
        self.add(started(program, deadline=30_000))

    def add(self, record: Record) -> None:
        self.records.append(record)
        self.state.apply(record)

    def run(self) -> None:
        state = self.state
        for _ in range(3_000):
            for wish in state.take():
                if isinstance(wish, Write):
                    self.add(wish.record)
                elif isinstance(wish, Attempt) and wish.path in state.open:
                    spot = state.open[wish.path]
                    if spot.step.verb.effects:
                        self.add(Begun(t=self.now, path=wish.path, dir=wish.dir, attempt=wish.number, digest="d"))
            if state.ended is not None or state.status == "parked":
                return
            if self.chance.random() < 0.02:
                self.add(cancel(self.now))
            elif state.open:
                self.answer(self.chance.choice(list(state.open)))
            elif state.next_at is not None and not state.owed:
                self.now = max(self.now, state.next_at)
                keys = [key for key, at in state.timers.items() if at <= self.now]
                keys += ["!" + path for path, at in state.deadlines.items() if at <= self.now]
                for wish in state.fire(keys[0], self.now):
                    if isinstance(wish, Write):
                        self.add(wish.record)
                    elif isinstance(wish, Attempt):
                        state.out.append(wish)
        raise AssertionError(f"it does not come to an end: {state.status}, {state.reason}")

    def answer(self, path: str) -> None:
        spot = self.state.open[path]
        if not spot.begun and spot.step.verb.effects:
            return
        common: dict[str, Any] = {"t": self.now, "attempt": spot.attempts + 1, "way": spot.block.dir}
        match self.chance.randrange(12):
            case 5:
                self.add(refused(path, "409", **common))
            case 6:
                self.add(unknown(path, "503", **common))
            case 7 if spot.begun:
                self.add(unknown(path, "timeout", crash=True, **common))
            case _:
                self.add(done(path, **common))


@given(steps(2), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_any_saga_in_any_weather_is_done_or_undone(drawn: list[dict[str, Any]], seed: int) -> None:
    writer = _Writer()
    end = [{"raise": {"type": "no-good"}}] if seed % 2 else []
    document = saga(*writer.list(drawn), *end, compensation={"onExhausted": "continue"})
    program = made(document, *writer.children)
    weather = _Weather(program, Random(seed))
    weather.run()
    state, ended = weather.state, weather.state.ended
    if ended is None:
        assert state.parks, "only what cannot be undone in a child may be left to a person"
        return
    turned = state.turned is not None
    left = {item.step for item in ended.leftovers}
    for spot in spots(state.root.block):
        if not spot.step.compensate:
            continue
        may_be_there = spot.phase == COMPLETED or spot.unknown
        if not may_be_there:
            assert spot.undo is None, f"{spot.path} was provably not done, and is undone"
        elif turned:
            assert spot.undo is not None, f"{spot.path} may be there, and nothing undoes it"
            assert spot.undone or spot.path in left, f"{spot.path} is there, and not told"
    assert (ended.status == "completed") == (not turned)
    assert ended.status != "compensated" or not left
    order = [undo.spot.path for undo in state.undos]
    assert len(order) == len(set(order)), "undone twice"
    letters = [(record.path, record.dir) for record in weather.records if isinstance(record, Begun)]
    if turned:
        at = next(n for n, record in enumerate(weather.records) if isinstance(record, Turned))
        later = [record.dir for record in weather.records[at:] if isinstance(record, Begun)]
        assert set(later) <= {UNDO}, "a forward step begins after the run has turned"
    assert {direction for _, direction in letters} <= {FORWARD, CATCH, UNDO}
    again = advance(program, RUN, [decode(encode(record)) for record in weather.records])
    assert picture(again) == picture(state)


@given(steps(1), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_the_state_at_any_prefix_is_the_fold_from_the_beginning(drawn: list[dict[str, Any]], seed: int) -> None:
    writer = _Writer()
    program = made(saga(*writer.list(drawn)), *writer.children)
    weather = _Weather(program, Random(seed))
    weather.run()
    grown = RunState(program, RUN)
    for at, record in enumerate(weather.records):
        grown.apply(record)
        grown.take()
        assert picture(advance(program, RUN, weather.records[: at + 1])) == picture(grown)
