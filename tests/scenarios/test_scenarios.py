"""Every scenario once, and again for each append: killed right before it, and right behind it.

Once more with a runner that is told at that append that the run is somebody else's, with two runners dying in a row,
and with a store whose every first answer is lost. What such a run must have in common with the whole one: the verdict,
the effects that are in force, the bytes of every request by its key, and each key's effect once. A step that the crash
left open is *unknown*, as the language has it: it is undone (or listed) even where its service refused it. That, and
nothing else, may make a killed run's end differ.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from registry.base.values import Json
from runner.engine.reply import of_verdict
from runner.saga.advance import RunState, advance
from runner.saga.journal import Ended, Unknown, decode, encode
from runner.saga.snapshot import compact
from tests.scenarios.tally import TALLY
from tests.support.playing import AFTER, BEFORE, FENCED, Kill, Outcome, Scenario, picture, play
from tests.support.virtual_loop import run_virtually
from tests.support.world import short

HERE = Path(__file__).parent


def scenarios() -> list[Scenario]:
    """Every scenario of every file, in order."""
    return [
        scenario_of(document, file.stem)
        for file in sorted(HERE.glob("*.yaml"))
        for document in yaml.load_all(file.read_text(), yaml.CSafeLoader)
    ]


def scenario_of(document: dict[str, Any], file: str) -> Scenario:
    given = document.pop("definition")
    sagas = given if isinstance(given, list) else [given]
    sagas[0] = {"id": "main", "path": "/main", **sagas[0]}
    text = "\n---\n".join(yaml.dump(saga, Dumper=yaml.CSafeDumper, sort_keys=False) for saga in sagas)
    return Scenario(definition=text, file=file, **document)


ALL = scenarios()


@pytest.mark.parametrize("scenario", ALL, ids=[f"{one.file}: {one.name}" for one in ALL])
def test_a_scenario_ends_as_it_says_wherever_its_runner_is_killed(scenario: Scenario) -> None:
    whole = run_virtually(partial(play, scenario))
    meets(whole, scenario.expect)
    TALLY.prefixes += fold_agrees(whole)
    for position in range(whole.appends):
        for moment, heirs in ((BEFORE, 0), (AFTER, 0), (AFTER, 1), (FENCED, 0)):
            if moment == FENCED and position == 0:
                continue  # nobody can have taken over what is not there yet
            kill = Kill(position=position, moment=moment, heirs=heirs)
            killed = run_virtually(partial(play, scenario, kill=kill))
            try:
                same_end(killed, whole, scenario.killed)
            except AssertionError as error:
                error.add_note(f"{kill}; journal {killed.letters}, whole {whole.letters}")
                raise
    forgotten = run_virtually(partial(play, scenario, forgetful=True))
    same_end(forgotten, whole, {})
    TALLY.scenarios += 1
    TALLY.before += whole.appends
    TALLY.after += whole.appends
    TALLY.twice += whole.appends
    TALLY.fenced += max(whole.appends - 1, 0)


def test_scenario_names_are_unique_and_each_says_its_rule() -> None:
    names = [one.name for one in ALL]
    assert len(names) == len(set(names))
    assert all(one.rule.strip() for one in ALL)


def meets(outcome: Outcome, expect: dict[str, Any]) -> None:
    """Each thing that the scenario expects."""
    told = facts(outcome)
    wrong = {}
    for key, wanted in expect.items():
        assert key in told, f"a scenario cannot expect `{key}`"
        found = told[key]
        if key in ("bodies", "headers", "whats"):
            found = {name: _part(found.get(name), one) for name, one in wanted.items()}
        if found > wanted if key in ("took", "busiest") else found != wanted:
            wrong[key] = {"expected": wanted, "found": found}
    assert not wrong, (
        f"{json.dumps(wrong, indent=1, default=str)}\njournal: {outcome.letters}\nrequests: {told['requests']}"
    )


def _part(found: Any, wanted: Any) -> Any:
    """Of a mapping, the keys that are asked for."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return {key: found.get(key) for key in wanted}
    return found


def facts(outcome: Outcome) -> dict[str, Any]:
    """What a scenario may expect, by its words."""
    last = outcome.records[-1] if outcome.records else None
    ended = last if isinstance(last, Ended) else outcome.verdict.ended if outcome.verdict else None
    bodies: dict[str, Json] = {}
    headers = {}
    whats = {}
    for sent in outcome.world.sent:
        key = short(outcome.run, sent.key)
        bodies[key] = _body(sent.body)
        headers[key] = sent.headers
        whats[key] = sent.what
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "output": ended.output if ended else None,
        "error": _error(ended),
        "leftovers": [f"{item.step} {item.outcome}" for item in ended.leftovers] if ended else [],
        "undoErrors": [f"{item.step} {item.kind}" for item in ended.undo_errors] if ended else [],
        "requests": outcome.world.counts(outcome.run),
        "effects": outcome.effects,
        "bodies": bodies,
        "headers": headers,
        "whats": whats,
        "journal": outcome.letters,
        "answers": outcome.answers,
        "reply": None if outcome.verdict is None else of_verdict(outcome.verdict, outcome.run).status,
        "others": {saga: status for saga, (status, _) in outcome.others.items()},
        "told": {saga: output for saga, (_, output) in outcome.others.items()},
        "labels": outcome.labels,
        "took": outcome.took,
        "busiest": outcome.world.busiest,
    }


def _body(body: bytes | None) -> Json:
    if body is None:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


def _error(ended: Ended | None) -> str | None:
    if ended is None or ended.error is None:
        return None
    fault = ended.error
    return " ".join(part for part in (fault.kind, str(fault.status or ""), fault.step) if part)


def fold_agrees(outcome: Outcome) -> int:
    """At every prefix, the state folded on is the state folded from the beginning, and from the compacted prefix, which
    leads to the same end; how many prefixes."""
    last = picture(advance(outcome.program, outcome.run, outcome.records)) if outcome.records else None
    grown = RunState(outcome.program, outcome.run)
    for at, record in enumerate(outcome.records):
        grown.apply(record)
        grown.take()
        afresh = advance(outcome.program, outcome.run, [decode(encode(one)) for one in outcome.records[: at + 1]])
        assert picture(afresh) == picture(grown), f"after {at + 1} records"
        if not grown.exact:
            short = compact([encode(one) for one in outcome.records[1 : at + 1]])
            compacted = advance(outcome.program, outcome.run, [outcome.records[0], *map(decode, short)])
            assert picture(compacted) == picture(grown), f"after {at + 1} records, compacted"
            for later in outcome.records[at + 1 :]:
                compacted.apply(later)
            assert picture(compacted) == last, f"from {at + 1} compacted records"
    return len(outcome.records)


def same_end(killed: Outcome, whole: Outcome, allowed: dict[str, Any]) -> None:
    """The killed run has come to the same."""
    contents: dict[str, set[Any]] = {}
    for sent in killed.world.sent:
        contents.setdefault(sent.key, set()).add(sent.content)
    changed = [short(killed.run, key) for key, seen in contents.items() if len(seen) > 1]
    assert not changed, f"sent again with other bytes: {changed}"
    twice = [short(killed.run, key) for key, count in killed.world.applied.items() if count > 1]
    assert not twice, f"brought about twice: {twice}"
    if "any" in allowed:
        assert killed.status in ("completed", "compensated", "failed", "cancelled", "parked", "waiting")
        return
    now, then = facts(killed), facts(whole)
    torn = {record.path for record in killed.records if isinstance(record, Unknown) and record.crash}
    assert now["error"] in [then["error"], *allowed.get("error", ())]
    assert now["output"] == then["output"]
    assert now["effects"] == then["effects"]
    assert now["others"] == then["others"]
    more = [item for item in now["leftovers"] if item not in then["leftovers"] and item.split()[0] not in torn]
    assert not more, f"left over, and not because of the crash: {more}"
    assert set(then["leftovers"]) <= set(now["leftovers"]) | {
        item for item in then["leftovers"] if item.split()[0] in torn
    }
    if now["status"] in [then["status"], *allowed.get("status", ())]:
        return
    ends = {"compensated", "failed", "cancelled"}
    assert torn, f"{now['status']}, not {then['status']}"
    assert {now["status"], then["status"]} <= ends, f"{now['status']}, not {then['status']}"
