"""Every kind of broken definition, each in a file that says what must be found in it, and where."""

import re
from pathlib import Path

import pytest

from runner.definitions.findings import CODES, Finding
from runner.definitions.load import load, load_texts
from runner.definitions.world import World

FOLDER = Path(__file__).parents[2] / "broken"
FILES = sorted(FOLDER.glob("*.yaml"))
EXPECTED = re.compile(r"# expect: (SG\d{3}) (\d+):(\d+)$")

#: A runner with a little of everything, so that references can be wrong.
SETTINGS = World(
    runner="shop",
    streams={"http": "http", "orders": "kafka", "placed": "inprocess"},
    states=frozenset({"default"}),
    retries={"standard": {"attempts": 4}, "hasty": {"delay": 5}, "odd": {"errors": ["mine"]}},
    vars={"channel": "web"},
    services=frozenset({"s", "stock"}),
    raw_urls=False,
    auth=False,
)


def expected(path: Path) -> tuple[str, int, int]:
    match = EXPECTED.match(path.read_text(encoding="utf-8").split("\n", 1)[0])
    assert match is not None, f"{path.name} must begin with a line like '# expect: SG101 14:5'"
    return match[1], int(match[2]), int(match[3])


def found_in(path: Path) -> tuple[Finding, ...]:
    return load([path], SETTINGS, FOLDER).findings


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 50


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_finding_has_its_code_and_its_place(path: Path) -> None:
    code, line, column = expected(path)
    found = found_in(path)
    # Beside an error a warning may follow from it: with `compensat` nothing undoes the step.
    told = [f for f in found if f.severity == "error"] or list(found)
    assert [(f.code, f.line, f.column) for f in told] == [(code, line, column)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_finding_says_what_is_wrong_and_how_to_mend_it(path: Path) -> None:
    for finding in found_in(path):
        assert finding.code in CODES
        assert finding.message
        assert finding.hint, "nothing says how to mend it"
        assert "None" not in finding.message + finding.hint


@pytest.mark.parametrize(
    "line",
    [
        *("version: 1.5", "version: [1]", "timeout: []", "name: {a: 1}", "methods: 5", "labels: [1]", "respond: 7"),
        *("id: 9", "id: 9x", "deprecated: yes", "onFail: _", "runners: ['']"),
        *("output: ${ input. }", "output: ${ steps.nothing.output }", "output: ${ nothing(1) }"),
        *("output: ${ input.x'y' }", "output: ${ input[1.5] }", "output: ${ input[::0] }", "output: ${ {a: 1, a: 2} }"),
    ],
)
def test_what_no_rule_has_a_better_word_for_has_a_hint_all_the_same(line: str) -> None:
    text = f"path: /a\nsteps: [{{name: one, set: 1}}]\n{line}\n"
    found = load_texts([("a.yaml", text.encode())], SETTINGS, FOLDER).findings
    assert found
    assert all(finding.hint for finding in found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_error_keeps_the_file_out_and_a_warning_does_not(path: Path) -> None:
    loaded = load([path], SETTINGS, FOLDER)
    assert (len(loaded.catalog) == 0) == bool(loaded.errors)


def test_every_code_that_one_file_can_show_has_a_broken_file() -> None:
    shown = {expected(path)[0] for path in FILES}
    # An oversized file, bytes that are no text, a folder without permission and a file that another breaks are made
    # by their tests; a raw URL over plain http is refused first where raw URLs are.
    elsewhere = {"SG006", "SG012", "SG211", "SG502"}
    assert set(CODES) - shown == elsewhere
