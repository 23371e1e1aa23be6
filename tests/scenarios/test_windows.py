"""Every scenario with a loop, with windows so small that it has snapshots: it must come to what it came to without."""

from functools import partial

import pytest

from runner.saga import budget
from runner.saga.journal import Snapshot, encode
from tests.scenarios.test_scenarios import ALL, facts, fold_agrees, same_end
from tests.support.playing import AFTER, BEFORE, FENCED, Kill, Scenario, play
from tests.support.virtual_loop import run_virtually

LOOPS = [one for one in ALL if "for:" in one.definition]

LONG = Scenario(
    name="a loop of twelve items that is undone",
    rule="A completed window is undone like any other.",
    definition="""
id: main
path: /main
steps:
  - name: all
    for:
      each: n
      in: range(`0`, `12`)
      steps:
        - name: a
          call: {service: one, path: /a, body: "${ n }"}
          compensate: {call: {service: one, method: DELETE, path: "/a/${ n }/${ steps.a.output.n }"}}
  - name: b
    call: {service: one, path: /b, body: "${ length(steps.all.output) }"}
    compensate: none
""",
    world={"POST one/a": '200 {"n": 7}', "POST one/b": 409},
    expect={},
)

#: Its requests cannot be rendered, so that all of it comes with the creation of the run.
AT_ONCE = Scenario(
    name="a loop that is over before the first request",
    rule="Several snapshots may come in one append, and the first records of a run may hold some.",
    definition="""
id: main
path: /main
steps:
  - name: all
    for:
      each: n
      in: range(`0`, `12`)
      steps:
        - name: a
          call: {service: one, method: GET, path: "/a/${ div(n, `0`) }"}
          catch: [{errors: [expression], output: "${ n }"}]
  - name: b
    call: {service: one, path: /b, body: "${ steps.all.output }"}
    compensate: none
""",
    expect={},
)

LARGE = Scenario(
    name="a loop with large outputs",
    rule="What is large lies beside its record in a snapshot, too.",
    definition="""
id: main
path: /main
steps:
  - name: all
    for:
      each: n
      in: range(`0`, `4`)
      steps: [{name: a, call: {service: one, method: GET, path: "/a"}}]
output: "${ steps.all.output[*].length(@) }"
""",
    world={"GET one/a": {"status": 200, "letters": 300_000}},
    expect={},
)


def played(scenario: Scenario, monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    """The scenario with windows of so many turns, and killed at every append."""
    plain = run_virtually(partial(play, scenario))
    monkeypatch.setattr(budget, "WINDOW", window)
    whole = run_virtually(partial(play, scenario))
    told, before = facts(whole), facts(plain)
    for name in told.keys() - {"journal"}:
        assert told[name] == before[name], name
    fold_agrees(whole)
    for position in range(whole.appends):
        for moment, heirs in ((BEFORE, 0), (AFTER, 0), (AFTER, 1), (FENCED, 0)):
            if moment == FENCED and position == 0:
                continue
            kill = Kill(position=position, moment=moment, heirs=heirs)
            same_end(run_virtually(partial(play, scenario, kill=kill)), whole, scenario.killed)
    same_end(run_virtually(partial(play, scenario, forgetful=True)), whole, {})


@pytest.mark.parametrize("scenario", LOOPS, ids=[one.name for one in LOOPS])
def test_a_loop_with_snapshots_ends_as_one_without(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    played(scenario, monkeypatch, 1)


def test_snapshots_may_come_with_the_creation(monkeypatch: pytest.MonkeyPatch) -> None:
    played(AT_ONCE, monkeypatch, 5)
    whole = run_virtually(partial(play, AT_ONCE))
    assert whole.letters == "S K F F B D Z"
    assert encode(whole.records[1]).count(b'"F"') == 10
    assert whole.world.sent[0].body == b"[0,1,2,3,4,5,6,7,8,9,10,11]"


def test_large_outputs_come_whole_out_of_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    played(LARGE, monkeypatch, 3)
    whole = run_virtually(partial(play, LARGE))
    assert whole.letters == "S K D Z"
    assert facts(whole)["output"] == [300_000] * 4


def test_completed_windows_are_undone_wherever_the_runner_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    played(LONG, monkeypatch, 5)
    whole = run_virtually(partial(play, LONG))
    snapshots = [record for record in whole.records if isinstance(record, Snapshot)]
    assert [len(record.records) for record in snapshots] == [5, 5]
    assert whole.letters == "S K K B D B D B F X" + 12 * " B D" + " Z"
    assert whole.effects == []
    assert [sent.what for sent in whole.world.sent][13:] == [f"DELETE one/a/{n}/7" for n in reversed(range(12))]
