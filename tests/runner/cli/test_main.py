"""The shell around the commands: help, version, checking, settings that are wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner.cli import COMMANDS
from runner.definitions.schema import render_schema
from tests.runner.cli.invoking import saga

GOOD = "id: a\npath: /a\nmethods: [GET]\nsteps:\n- {name: one, set: 1}\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_help_lists_every_command_without_importing_one() -> None:
    probe = (
        "import sys\nfrom runner.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('runner', 'registry')))\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "['runner', 'runner.cli']"
    for name, (_, told) in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert told.split()[0] in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name: str) -> None:
    result = saga(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: saga {name} ")


def test_an_unknown_command_is_a_usage_error() -> None:
    assert saga("rnu").exit_code == 2


def test_the_version_is_told() -> None:
    result = saga("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("saga 0.")


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runner", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == saga("--version").stdout


def test_good_definitions_pass(tmp_path: Path) -> None:
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions/a.yaml").write_text(GOOD, encoding="utf-8")
    result = saga("check", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"findings": [], "sagas": 1})


def test_a_finding_names_its_file_as_one_would_type_it(tmp_path: Path) -> None:
    (tmp_path / "sagas").mkdir()
    (tmp_path / "sagas/a.yaml").write_text(GOOD + "stpes: []\n", encoding="utf-8")
    (tmp_path / "saga.yml").write_text("definitions: [sagas]\n", encoding="utf-8")
    result = saga("check")
    assert result.exit_code == 1
    assert "sagas/a.yaml:6:1" in result.stdout
    assert str(tmp_path) not in result.stdout


def test_strict_exits_with_one_on_a_warning(tmp_path: Path) -> None:
    unreached = tmp_path / "a.yaml"
    unreached.write_text(GOOD.replace("path: /a\nmethods: [GET]\n", ""), encoding="utf-8")
    assert [saga("check", "a.yaml").exit_code, saga("check", "a.yaml", "--strict").exit_code] == [0, 1]


@pytest.mark.parametrize(
    ("settings", "code"),
    [("", 0), ("runner: {name: a}\n", 1), ("streams: {orders: {type: inprocess}}\n", 0)],
    ids=["no settings", "settings without it", "settings with it"],
)
def test_names_are_checked_where_there_are_settings(tmp_path: Path, settings: str, code: int) -> None:
    (tmp_path / "a.yaml").write_text("streams: [orders]\n" + GOOD, encoding="utf-8")
    if settings:
        (tmp_path / "saga.yml").write_text(settings, encoding="utf-8")
    result = saga("check", "a.yaml")
    assert result.exit_code == code, result.stdout
    assert ("orders" in result.stdout) is bool(code)


@pytest.mark.parametrize("command", ["check", "run"])
def test_wrong_settings_are_told_all_at_once(tmp_path: Path, command: str) -> None:
    (tmp_path / "my.yml").write_text("runner: {port: x}\nhttp: {rawUrls: 1}\n", encoding="utf-8")
    result = saga(command, "--config", "my.yml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert [line.partition(" ")[0] for line in result.stderr.splitlines()] == [
        "my.yml:1:16:",
        "my.yml:2:17:",
        "Error:",
    ]
    assert result.stderr.endswith("Error: 2 errors in the settings: mend what is said above\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "0.0.0.0"], "runner.host 0.0.0.0 can be reached from other machines"),
        (["--workers", "2"], "runner.workers is 2, but a sqlite journal belongs to one process"),
    ],
)
def test_a_runner_that_must_not_start_says_why(arguments: list[str], sentence: str) -> None:
    result = saga("run", *arguments)
    assert result.exit_code == 1
    assert f"refused: command line: {sentence}" in result.stderr
    assert result.stderr.endswith("Error: the runner does not start with these settings\n")


def test_the_schema_is_written(tmp_path: Path) -> None:
    assert saga("schema", "-o", "s.json").exit_code == 0
    assert (tmp_path / "s.json").read_bytes() == render_schema() == saga("schema").stdout_bytes


def test_a_schema_that_cannot_be_written_is_told_in_one_line() -> None:
    result = saga("schema", "-o", "no/such/folder/s.json")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: no/such/folder/s.json cannot be written (No such file or directory); name another file with -o\n"
    )
