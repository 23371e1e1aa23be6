"""The commands that ask a runner, as processes: what they print, in text and JSON, and how they exit."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT, SHOP, Server, order, saga

pytestmark = pytest.mark.process

Done = subprocess.CompletedProcess[str]


def asked(shop: Server, *arguments: str) -> Done:
    """`saga ARGUMENTS --server URL`."""
    return saga(*arguments, "--server", shop.url, folder=shop.folder)


def call(shop: Server, body: dict[str, Any], *more: str, target: str = "place-order") -> Done:
    return asked(shop, "call", target, "-i", json.dumps(body), *more)


@pytest.mark.parametrize("follow", [(), ("--follow",)], ids=["plain", "follow"])
@pytest.mark.parametrize(
    ("body", "code"),
    [(order("cli-1"), 0), (order("cli-2", city="nowhere"), 10), (order("cli-3", sku="sold-out"), 11)],
    ids=["completed", "compensated", "failed"],
)
def test_call_exits_as_the_run_ended(shop: Server, body: dict[str, Any], code: int, follow: tuple[str, ...]) -> None:
    done = call(shop, body, *follow)
    assert done.returncode == code, done.stderr
    assert isinstance(json.loads(done.stdout), dict), "stdout is data"
    assert "\x1b" not in done.stdout + done.stderr, "no colour off a terminal"


def test_following_tells_steps_and_undo_as_they_happen(shop: Server) -> None:
    done = call(shop, order("cli-4", city="nowhere"), "--follow")
    words = [line.split()[:2] for line in done.stderr.splitlines()]
    undone = [name for sign, name in words if sign == "↺"]
    assert undone == ["charge", "reserve"]
    assert ["✓", "reserve"] in words
    assert words.index(["✓", "reserve"]) < words.index(["↺", "charge"])
    assert "compensated" in done.stderr.splitlines()[-1]


def test_a_cancelled_run_makes_the_follower_exit_13(shop: Server) -> None:
    run = shop.post("/examples/approval", order("cli-5"), Idempotency_Key="cli-5").headers["x-saga-run"]
    shop.run_when(run, "waiting")
    cancelled = asked(shop, "runs", "cancel", run, "--reason", "no longer wanted")
    assert cancelled.returncode == 0, cancelled.stderr
    shop.run_when(run, "cancelled")
    followed = call(shop, order("cli-5"), "--follow", "--key", "cli-5", target="approval")
    assert followed.returncode == 13, followed.stderr


def test_call_reaches_a_path_and_a_version_too(shop: Server) -> None:
    assert call(shop, order("cli-6"), target="/orders/place").returncode == 0
    assert call(shop, order("cli-7"), target="place-order@2").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("call", "place-ordr"), "place-order"),
        (("call", "reserve-and-charge"), "no path"),
        (("runs", "show", "nope"), "saga runs list"),
        (("runs", "cancel", "nope"), "nope"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(shop: Server, arguments: tuple[str, ...], said: str) -> None:
    done = asked(shop, *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert said in line


def test_without_a_runner_the_command_says_how_to_start_one(tmp_path: Path) -> None:
    done = saga("list", "--server", "http://127.0.0.1:1", folder=tmp_path)
    assert done.returncode == 1
    assert "saga dev" in done.stderr


def test_sagas_are_listed_in_text_and_json(shop: Server) -> None:
    text = asked(shop, "list")
    assert text.returncode == 0
    assert "place-order" in text.stdout
    found = json.loads(asked(shop, "list", "-o", "json", "--domain", "orders").stdout)["sagas"]
    assert {one["domain"] for one in found} == {"orders"}


def test_runs_are_listed_and_shown_in_text_and_json(shop: Server) -> None:
    run = shop.post("/orders/place", order("cli-8", city="nowhere")).headers["x-saga-run"]
    listed = asked(shop, "runs", "list", "--label", "orderId:cli-8")
    assert run in listed.stdout
    assert "compensated" in listed.stdout
    [found] = json.loads(asked(shop, "runs", "list", "--label", "orderId:cli-8", "-o", "json").stdout)["runs"]
    assert found["id"] == run
    shown = asked(shop, "runs", "show", run).stdout
    assert "compensated" in shown.splitlines()[0]
    assert all(word in shown for word in ("reserve", "charge", "ship", "undo", "no-courier", "█"))
    assert json.loads(asked(shop, "runs", "show", run, "-o", "json").stdout) == shop.run(run)


def test_status_says_whether_the_runner_is_ready(shop: Server) -> None:
    done = asked(shop, "status", "-o", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["ready"] is True


# ---------------------------------------------------------------------- without a runner


def test_check_finds_nothing_in_the_shop(tmp_path: Path) -> None:
    done = saga("check", str(SHOP), "-o", "json", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout)
    assert [one for one in report["findings"] if one["severity"] == "error"] == []
    assert report["sagas"] == len(list(SHOP.glob("*.yaml")))


def test_check_prints_each_error_with_its_place_and_exits_1(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("id: bad\npath: /bad\nmethods: [POST]\nsteps:\n  - nmae: one\n    set: 1\n")
    text = saga("check", "bad.yaml", folder=tmp_path)
    assert text.returncode == 1
    assert "bad.yaml:5:5" in text.stdout
    assert "^" in text.stdout
    [finding, *_] = json.loads(saga("check", "bad.yaml", "-o", "json", folder=tmp_path).stdout)["findings"]
    assert finding.keys() == {"file", "line", "column", "code", "severity", "message", "hint"}
    assert (finding["file"], finding["line"], finding["column"]) == ("bad.yaml", 5, 5)
    assert finding["code"].startswith("SG")
    github = saga("check", "bad.yaml", "-o", "github", folder=tmp_path).stdout
    assert github.startswith("::error file=bad.yaml,line=5,col")


def test_the_schema_is_the_one_that_is_committed(tmp_path: Path) -> None:
    done = saga("schema", "-o", "saga.schema.json", folder=tmp_path)
    assert done.returncode == 0
    written = (tmp_path / "saga.schema.json").read_bytes()
    assert written == (ROOT / "schemas" / "saga.schema.json").read_bytes()
    assert saga("schema", folder=tmp_path).stdout.encode() == written


def test_help_names_every_command_and_a_wrong_one_is_a_usage_error(tmp_path: Path) -> None:
    told = saga("--help", folder=tmp_path).stdout
    assert all(name in told for name in ("dev", "run", "check", "schema", "call", "list", "runs"))
    assert saga("plan", folder=tmp_path).returncode == 2
