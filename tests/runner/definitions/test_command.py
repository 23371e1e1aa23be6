"""`saga check`: its three outputs, its exit code, and that it reads everything."""

import json
import re
from pathlib import Path

import pytest

from runner.definitions.command import check_command
from runner.definitions.findings import CODES, ERROR, Finding, Findings, as_github, as_text, listed, nearest
from runner.definitions.node import Source
from runner.definitions.world import World

GOOD = "id: a\npath: /a\nsteps:\n  - name: one\n    set: 1\n"
WARNED = GOOD.replace("path: /a\n", "")
BAD = GOOD.replace("set: 1", "sett: 1").replace("id: a", "id: c").replace("/a", "/c")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.yaml").write_text(GOOD.replace("id: a", "id: b").replace("/a", "/b"))
    (tmp_path / "deep/a.yml").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("@")
    return tmp_path


def test_a_good_folder_exits_with_zero_and_counts_its_sagas(folder: Path) -> None:
    assert check_command([folder]) == ("2 sagas, 0 errors, 0 warnings\n", 0)


def test_a_file_and_its_folder_are_read_once(folder: Path) -> None:
    assert check_command([folder, folder / "b.yaml"])[0].startswith("2 sagas")


def test_an_error_exits_with_one_and_the_good_files_are_still_counted(folder: Path) -> None:
    (folder / "c.yaml").write_text(BAD)
    told, code = check_command([folder])
    assert code == 1
    assert "error[SG107]: `sett` is no verb" in told
    assert "saga explain SG107\n" in told
    assert told.endswith("2 sagas, 1 error, 0 warnings\n")


def test_a_warning_exits_with_one_only_where_strictness_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(WARNED)
    assert check_command([tmp_path])[1] == 0
    assert check_command([tmp_path], strict=True)[1] == 1


def test_json_has_exactly_the_promised_members(folder: Path) -> None:
    (folder / "c.yaml").write_text(BAD)
    told, code = check_command([folder], output="json")
    document = json.loads(told)
    assert code == 1
    assert document["sagas"] == 2
    assert document == {
        "findings": [
            {
                "file": str(folder / "c.yaml"),
                "line": 5,
                "column": 5,
                "code": "SG107",
                "severity": "error",
                "message": "`sett` is no verb",
                "hint": "did you mean `set`?",
            }
        ],
        "sagas": 2,
    }


def test_github_gets_one_annotation_per_finding(folder: Path) -> None:
    (folder / "c.yaml").write_text(BAD)
    told, _ = check_command([folder], output="github")
    assert told == (
        f"::error file={folder / 'c.yaml'},line=5,col=5,title=SG107::`sett` is no verb (did you mean `set`?)\n"
    )


def test_annotations_escape_what_would_end_them() -> None:
    finding = Finding(file="a,b:c.yaml", line=1, column=2, code="SG401", message="100%\nof it")
    assert as_github([finding]) == "::warning file=a%2Cb%3Ac.yaml,line=1,col=2,title=SG401::100%25%0Aof it\n"


def test_text_shows_the_line_the_caret_and_the_help() -> None:
    findings = Findings()
    source = Source("a.yaml", tuple(f"line {number}" for number in range(1, 12)))
    findings.add_at("SG101", source, 10, 3, "unknown key `ne`", "did you mean `one`?", width=2)
    assert as_text(findings.sorted()) == (
        "error[SG101]: unknown key `ne`\n"
        "  --> a.yaml:10:3\n"
        " 9 | line 9\n"
        "10 | line 10\n"
        "   |   ^^\n"
        "   = help: did you mean `one`?\n"
    )


def test_a_very_long_line_is_shown_around_its_caret() -> None:
    findings = Findings()
    findings.add_at("SG101", Source("a.yaml", ("x" * 5000 + "y" + "x" * 5000,)), 1, 5001, "unknown key", width=1)
    shown, caret = as_text(findings.sorted()).split("\n")[2:4]
    assert len(shown) < 200
    assert shown[caret.index("^")] == "y"


def test_control_characters_of_a_file_never_reach_the_terminal() -> None:
    findings = Findings()
    findings.add_at("SG008", Source("a.yaml", ("a: \x1b[31m",)), 1, 4, "control characters are not allowed")
    assert "\x1b" not in as_text(findings.sorted())


def test_a_file_that_is_missing_is_a_finding(tmp_path: Path) -> None:
    told, code = check_command([tmp_path / "none.yaml"], output="json")
    assert (code, [f["code"] for f in json.loads(told)["findings"]]) == (1, ["SG012"])


def test_what_looks_like_a_file_and_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "nowhere.yaml")
    told, _ = check_command([tmp_path / "a.yaml"], output="json")
    assert [f["code"] for f in json.loads(told)["findings"]] == ["SG012"]


def test_all_errors_of_all_files_are_told_in_one_go(folder: Path) -> None:
    (folder / "c.yaml").write_text("id: c\nnmae: x\npath: orders\nversion: -1\nsteps:\n  - name: A\n    sett: 1\n")
    (folder / "d.yaml").write_text("id: d\nname: @\n")
    (folder / "e.yaml").write_text("id: b\npath: /e\nsteps: [{name: one, when: inptu.x, set: 1}]\n")
    told, _ = check_command([folder], output="json")
    found = [(Path(f["file"]).name, f["code"]) for f in json.loads(told)["findings"]]
    assert found == [
        ("c.yaml", "SG101"), ("c.yaml", "SG113"), ("c.yaml", "SG105"), ("c.yaml", "SG104"), ("c.yaml", "SG107"),
        ("d.yaml", "SG001"), ("e.yaml", "SG202"), ("e.yaml", "SG302"),
    ]  # fmt: skip


def test_what_is_not_in_force_yet_is_told_as_a_note_and_never_fails(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD + "circuitBreaker: {}\n")
    told, code = check_command([tmp_path], World(), strict=True)
    assert code == 0
    assert told.startswith("note: a: circuitBreaker is checked but not in force on this runner yet\n")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("compensat", "compensate"),
        ("COMPENSATE", "compensate"),
        ("on_fail", "onFail"),
        ("onfail", "onFail"),
        ("xyz", ""),
    ],
)
def test_the_word_that_was_probably_meant_is_found(word: str, found: str) -> None:
    assert nearest(word, ["compensate", "onFail", "steps"]) == found


def test_lists_of_words_read_as_a_sentence() -> None:
    assert [listed([]), listed(["a"]), listed(["a", "b", "c"])] == ["nothing", "`a`", "`a`, `b` or `c`"]


def test_the_reference_has_a_row_for_every_code() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "findings.md"
    rows = re.findall(r"^\| `(SG\d{3})` \| (error|warning) \| (.+?) \|", page.read_text(encoding="utf-8"), re.M)
    severity = {code: Finding(file="", line=1, column=1, code=code, message="").severity for code in CODES}
    assert rows == [(code, severity[code], rule) for code, rule in CODES.items()]
    assert ERROR in severity.values()
