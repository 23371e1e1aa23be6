import sys
from pathlib import Path

import pytest

from tests.runner.cli.invoking import saga

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has launchctl")


def manager(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A `systemctl` that does this."""
    command = folder / "systemctl"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_restart_asks_the_service_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager(tmp_path, monkeypatch, f'echo "$@" >> {tmp_path}/said')
    assert saga("restart").exit_code == 0
    assert saga("restart", "--unit", "saga-registry").exit_code == 0
    assert (tmp_path / "said").read_text() == "restart -- saga\nrestart -- saga-registry\n"


def test_what_the_service_manager_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager(tmp_path, monkeypatch, "echo 'Unit saga.service not found.' >&2; exit 5")
    result = saga("restart")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"Error: {tmp_path}/systemctl restart -- saga did not succeed: Unit saga.service not found."
    ]


def test_without_a_service_manager_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = saga("restart")
    assert result.exit_code == 1
    assert "stop the server with Ctrl-C" in result.stderr
