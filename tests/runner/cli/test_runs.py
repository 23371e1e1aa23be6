"""`saga runs`, `saga list` and `saga status` against a real server."""

import json

import pytest

from registry.testing import LocalRegistry
from tests.runner.cli.invoking import saga
from tests.runner.cli.scripted import SAGAS, Said, run, runner, step, undone_run
from tests.support.ports import free_port

RUNS = "GET /api/v1/runs"
RUN = "GET /api/v1/runs/r-1"


def test_runs_are_listed_with_their_outcomes() -> None:
    page = {"runs": [undone_run(), run("running", endedAt=None)], "next": None}
    with runner({RUNS: [Said(body=page)]}) as served:
        result = saga("runs", "list", "--server", served.url)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "STATUS         SAGA            STARTED              TOOK   RUN  LABELS",
        "↺ compensated  place-order v2  2026-01-31 12:00:00  1.9 s  r-1  orderId=o-2",
        "● running      place-order v2  2026-01-31 12:00:00         r-1",
    ]


def test_filters_go_to_the_server() -> None:
    options = ["--saga", "a", "--status", "parked", "--label", "orderId:4 2", "--limit", "5"]
    with runner({RUNS: [Said(body={"runs": [], "next": "c"})]}) as served:
        result = saga("runs", "list", *options, "--since", "10m", "-o", "json", "--server", served.url)
    assert json.loads(result.stdout) == {"runs": [], "next": "c"}
    assert served.asked[0].target == (
        "/api/v1/runs?saga=a&status=parked&label=orderId%3A4+2&since=2023-11-14T22%3A03%3A20.000000Z&limit=5"
    )


def test_an_empty_list_says_how_to_make_a_run() -> None:
    with runner({RUNS: [Said(body={"runs": [], "next": None})]}) as served:
        result = saga("runs", "list", "--server", served.url)
    assert result.stderr == "No runs; start one: saga call ID -i '{}'\n"


def test_a_list_that_is_cut_short_says_so_and_how_to_go_on() -> None:
    pages = [Said(body={"runs": [run()], "next": "c"}), Said(body={"runs": [run()], "next": None})]
    with runner({RUNS: pages}) as served:
        result = saga("runs", "list", "--limit", "1", "--server", served.url)
        assert "There are more than 1; go on with --cursor c" in result.stderr
        result = saga("runs", "list", "--limit", "1", "--cursor", "c", "--server", served.url)
    assert served.asked[1].target == "/api/v1/runs?limit=1&cursor=c"
    assert result.stderr == ""


@pytest.mark.parametrize("options", [["--label", "x"], ["--status", "lost"], ["--limit", "0"], ["--limit", "1001"]])
def test_a_filter_that_makes_no_sense_is_a_usage_error(options: list[str]) -> None:
    assert saga("runs", "list", *options).exit_code == 2


def test_a_run_is_shown_with_its_timeline_and_its_undo() -> None:
    with runner({RUN: [Said(body=undone_run())]}) as served:
        result = saga("runs", "show", "r-1", "--server", served.url)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "↺ compensated  place-order v2  in 1.9 s",
        "run         r-1",
        "started     2026-01-31 12:00:00 UTC",
        "labels      orderId=o-2",
        "error       ship: 409 no courier for nowhere",
        "",
        "steps",
        "✓ reserve  stock    #1         41 ms  │█                               │",
        "✓ charge   payment  #1        150 ms  │████                            │",
        "✕ ship     courier  #3         1.3 s  │   ███████████████████████      │  409 no courier for nowhere",
        "",
        "undo",
        "↺ charge   payment            100 ms  │                          ███   │",
        "↺ reserve  stock               88 ms  │                              ██│",
    ]


def test_a_long_wait_is_folded() -> None:
    long = run(
        "completed",
        step("reserve", 0, 1),
        step("pause", 1, None, kind="wait", target=None) | {"endedAt": "2026-02-02T12:00:01Z"},
        step("ship", 1, None) | {"startedAt": "2026-02-02T12:00:01Z", "endedAt": "2026-02-02T12:00:02Z"},
        endedAt="2026-02-02T12:00:02Z",
    )
    with runner({RUN: [Said(body=long)]}) as served:
        result = saga("runs", "show", "r-1", "--server", served.url)
    assert [line.partition("│")[2] for line in result.stdout.splitlines() if "│" in line] == [
        "███████████████                 │",
        "              ····              │",
        "                 ███████████████│",
    ]
    assert "2 d" in result.stdout


def test_what_could_not_be_undone_is_said() -> None:
    left = run(
        "failed",
        leftovers=[{"step": "charge", "outcome": "unknown"}],
        undoErrors=[{"step": "charge", "kind": "503", "status": 503, "detail": "away"}],
        reason="undo-exhausted",
    )
    with runner({RUN: [Said(body=left)]}) as served:
        lines = saga("runs", "show", "r-1", "--server", served.url).stdout.splitlines()
    assert lines[-3:] == [
        "reason      undo-exhausted",
        "left over   charge (unknown)",
        "undo failed charge: 503 away",
    ]


def test_a_run_as_json_is_what_the_api_says() -> None:
    with runner({RUN: [Said(body=undone_run())]}) as served:
        result = saga("runs", "show", "r-1", "-o", "json", "--server", served.url)
    assert json.loads(result.stdout) == undone_run()


def test_an_unknown_run_is_told_with_what_to_try() -> None:
    with runner({}) as served:
        result = saga("runs", "show", "a/b", "--server", served.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: 404 No such path: /api/v1/runs/a%2Fb; see which there are: saga runs list\n"


def test_a_run_is_watched_until_it_ends_and_its_end_is_the_exit_code() -> None:
    going = run("running", step("reserve", 0, 0.041), endedAt=None)
    with runner({RUN: [Said(body=going), Said(body=undone_run())]}) as served:
        result = saga("runs", "watch", "r-1", "--server", served.url)
    assert (result.exit_code, result.stderr) == (10, "")
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["✓", "reserve"], ["✓", "charge"], ["✕", "ship"], ["↺", "charge"], ["↺", "reserve"], ["compensated", "in"],
    ]  # fmt: skip


def test_a_run_that_is_not_there_cannot_be_watched() -> None:
    with runner({}) as served:
        result = saga("runs", "watch", "a/b", "--server", served.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: 404 No such path: /api/v1/runs/a%2Fb\n"


def test_cancelling_sends_the_reason() -> None:
    with runner(
        {"POST /api/v1/runs/r-1/cancel": [Said(status=202, body={"run": "r-1", "status": "cancelling"})]}
    ) as served:
        result = saga("runs", "cancel", "r-1", "--reason", "wrong order", "--server", served.url)
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(served.asked[0].body) == {"reason": "wrong order"}
    assert "saga runs show r-1" in result.stderr


def test_a_cancel_that_is_refused_says_why() -> None:
    refused = Said(status=409, body={"title": "Past its pivot", "detail": "the run only goes forward"})
    with runner({"POST /api/v1/runs/r-1/cancel": [refused]}) as served:
        result = saga("runs", "cancel", "r-1", "--server", served.url)
    assert result.exit_code == 1
    assert "409 Past its pivot: the run only goes forward" in result.stderr


def test_many_are_cancelled_at_once() -> None:
    answers = {
        RUNS: [Said(body={"runs": [run("waiting"), run("waiting", id="r-2")], "next": None})],
        "POST /api/v1/runs/r-1/cancel": [Said(status=409, body={"title": "Past its pivot"})],
        "POST /api/v1/runs/r-2/cancel": [Said(status=202, body={"run": "r-2", "status": "waiting"})],
    }
    with runner(answers) as served:
        result = saga("runs", "cancel", "--where", "saga=place-order status=waiting", "--server", served.url)
    assert served.asked[0].target == "/api/v1/runs?saga=place-order&status=waiting&limit=1000"
    assert result.exit_code == 1
    assert "r-1: 409 Past its pivot" in result.stderr
    assert "saga runs show r-2" in result.stderr


def test_sagas_are_listed() -> None:
    with runner({"GET /api/v1/sagas": [Said(body=SAGAS)]}) as served:
        result = saga("list", "--domain", "orders", "--server", served.url)
    assert served.asked[0].target == "/api/v1/sagas?domain=orders"
    assert [line.split() for line in result.stdout.splitlines()][:3] == [
        ["ID", "VERSION", "STATUS", "DOMAIN", "PATH", "NAME"],
        ["place-order", "1", "inactive", "orders", "/old", "Old"],
        ["place-order", "2", "active", "orders", "/orders/place", "Place", "order"],
    ]


def test_sagas_as_json_are_all_pages_in_one() -> None:
    pages = [Said(body={"sagas": SAGAS["sagas"][:1], "next": "c"}), Said(body={"sagas": SAGAS["sagas"][1:]})]
    with runner({"GET /api/v1/sagas": pages}) as served:
        result = saga("list", "-o", "json", "--server", served.url)
    assert json.loads(result.stdout) == {"sagas": SAGAS["sagas"]}


@pytest.mark.parametrize(("ready", "code", "word"), [(200, 0, "✓ ready"), (503, 1, "✕ not ready")])
def test_status_says_whether_a_runner_is_ready(ready: int, code: int, word: str) -> None:
    health = {
        "GET /health": [Said(body={"status": "ok", "version": "0.1.0"})],
        "GET /ready": [Said(status=ready, body={"status": "ready"})],
    }
    with runner(health) as served:
        result = saga("status", "--server", served.url)
    assert result.exit_code == code
    assert result.stdout == f"{word}  {served.url}  0.1.0\n"


def test_status_tells_of_a_registry_too() -> None:
    with LocalRegistry() as registry:
        result = saga("status", "--saga-url", registry.url)
        assert (result.exit_code, result.stdout) == (0, f"✓ healthy  {registry.url}  0.1.0  registry, redis embedded\n")
        told = json.loads(saga("status", "--saga-url", registry.url, "-o", "json").stdout)
        assert (told["ready"], told["registry"]["service"]) == (False, "saga")


def test_status_says_that_who_is_asked_for_does_not_answer() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    for arguments, env in (
        (("--server", nobody), {}),
        (("--saga-url", nobody), {}),
        ((), {"SAGA_RUNNER_URL": nobody, "SAGA_SERVICE_URL": nobody}),
    ):
        result = saga("status", *arguments, env=env)
        assert (result.exit_code, result.stdout) == (1, "")
        [line] = result.stderr.splitlines()
        assert nobody in line


def test_status_without_a_runner_is_a_failure() -> None:
    assert saga("status", "--server", f"http://127.0.0.1:{free_port()}").exit_code == 1
