"""`saga call` against a real server: what it sends, what it prints, and how it exits."""

import json
from pathlib import Path

import pytest

from registry.base.values import Json
from tests.runner.cli.invoking import saga
from tests.runner.cli.scripted import NOWHERE, SAGAS, Said, run, runner, step, undo, undone_run
from tests.support.ports import free_port

LIST = "GET /api/v1/sagas"
PLACE = "POST /orders/place"
RUN = "GET /api/v1/runs/r-1"
ACCEPTED = Said(status=202, body={"id": "r-1"}, headers={"Location": "/api/v1/runs/r-1"})


def problem(status: int, **members: Json) -> Said:
    body = {"type": "/docs/problems/409", "title": "A service refused", "status": status, **members}
    headers = {"Content-Type": "application/problem+json", "X-Saga-Run": "r-1"}
    return Said(status=status, body=body, headers=headers)


def test_a_saga_is_called_by_its_id_at_its_path_by_its_first_method() -> None:
    with runner({LIST: [Said(body=SAGAS)], PLACE: [Said(body={"orderId": "o-1"})]}) as served:
        result = saga("call", "place-order", "-i", '{"orderId": "o-1"}', "--key", "k1", "--server", served.url)
    assert (result.exit_code, json.loads(result.stdout), result.stderr) == (0, {"orderId": "o-1"}, "")
    assert result.stdout == '{\n  "orderId": "o-1"\n}\n'
    [post] = served.requests("POST")
    assert json.loads(post.body) == {"orderId": "o-1"}
    assert (post.headers["content-type"], post.headers["idempotency-key"]) == ("application/json", "k1")
    assert "prefer" not in post.headers
    assert "x-saga-version" not in post.headers


def test_an_id_may_pin_its_version() -> None:
    with runner({LIST: [Said(body=SAGAS)], "POST /old": [Said(body=1)]}) as served:
        result = saga("call", "place-order@1", "--server", served.url)
    assert (result.exit_code, served.requests("POST")[0].headers["x-saga-version"]) == (0, "1")


def test_a_get_saga_gets_its_input_as_the_query() -> None:
    given = '{"sku": ["a", "b"], "limit": 2, "open": true, "zone": null}'
    with runner({LIST: [Said(body=SAGAS)], "GET /stock": [Said(body=[])]}) as served:
        result = saga("call", "stock-of", "-i", given, "--server", served.url)
    assert result.exit_code == 0
    assert served.asked[-1].target == "/stock?sku=a&sku=b&limit=2&open=true"


def test_a_path_is_called_as_it_is_even_where_no_list_names_it() -> None:
    answers = {LIST: [Said(body=SAGAS)], "PUT /shop/x": [Said(body=b"raw")]}
    with runner(answers) as served:
        result = saga("call", "/shop/x", "-X", "put", "--server", served.url)
    assert (result.exit_code, result.stdout_bytes) == (0, b"raw")


def test_the_list_of_sagas_is_read_to_its_last_page() -> None:
    first = {"sagas": SAGAS["sagas"][2:], "next": "c1"}
    with runner({LIST: [Said(body=first), Said(body=SAGAS)], PLACE: [Said(body={})]}) as served:
        result = saga("call", "place-order", "--server", served.url)
    assert result.exit_code == 0
    assert [asked.target for asked in served.requests("GET")] == ["/api/v1/sagas", "/api/v1/sagas?cursor=c1"]


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_the_input_may_come_from_a_file_or_from_stdin(tmp_path: Path, way: str) -> None:
    (tmp_path / "in.json").write_text('{"n": 1}', encoding="utf-8")
    given = f"@{tmp_path}/in.json" if way == "file" else "-"
    with runner({LIST: [Said(body=SAGAS)], PLACE: [Said(body={})]}) as served:
        saga("call", "place-order", "-i", given, "--server", served.url, stdin='{"n": 1}')
    assert json.loads(served.requests("POST")[0].body) == {"n": 1}


@pytest.mark.parametrize("given", ["{", "@no-such-file.json"])
def test_an_input_that_cannot_be_read_is_a_usage_error(given: str) -> None:
    result = saga("call", "place-order", "-i", given)
    assert result.exit_code == 2
    assert "-i" in result.stderr


def test_the_server_may_stand_in_a_variable() -> None:
    with runner({LIST: [Said(body=SAGAS)], PLACE: [Said(body={})]}) as served:
        assert saga("call", "place-order", env={"SAGA_RUNNER_URL": served.url}).exit_code == 0


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [("compensated", 409, 10), ("failed", 500, 11), ("parked", 500, 12), ("cancelled", 500, 13)],
)
def test_the_exit_code_says_how_the_run_ended(outcome: str, status: int, code: int) -> None:
    with runner({LIST: [Said(body=SAGAS)], PLACE: [problem(status, outcome=outcome)]}) as served:
        result = saga("call", "place-order", "--server", served.url)
    assert result.exit_code == code
    assert json.loads(result.stdout)["outcome"] == outcome


def test_a_reply_that_comes_before_the_undo_is_over_is_followed_to_its_end() -> None:
    script = {
        LIST: [Said(body=SAGAS)],
        PLACE: [problem(504, outcome="compensating")],
        RUN: [Said(body=run("compensating", endedAt=None)), Said(body=run("compensated"))],
    }
    with runner(script) as served:
        result = saga("call", "place-order", "--server", served.url)
    assert result.exit_code == 10
    assert json.loads(result.stdout)["outcome"] == "compensating"


@pytest.mark.parametrize(
    ("status", "code", "word"), [("running", 0, "goes on"), ("parked", 12, ""), ("failed", 11, "")]
)
def test_an_accepted_run_exits_as_it_stands(status: str, code: int, word: str) -> None:
    script = {LIST: [Said(body=SAGAS)], PLACE: [ACCEPTED], RUN: [Said(body=run(status))]}
    with runner(script) as served:
        result = saga("call", "place-order", "--server", served.url)
    assert result.exit_code == code
    assert word in result.stderr


def test_a_refusal_without_a_run_is_the_tools_own_failure() -> None:
    refused = Said(status=422, body={"title": "Not valid", "status": 422, "detail": "input.total is missing"})
    with runner({LIST: [Said(body=SAGAS)], PLACE: [refused]}) as served:
        result = saga("call", "place-order", "--server", served.url)
    assert result.exit_code == 1
    assert result.stderr == "Error: 422 Not valid: input.total is missing; see what is served: saga list\n"
    assert json.loads(result.stdout)["title"] == "Not valid"


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("place-oder", "serves no saga `place-oder`; did you mean place-order?"),
        ("zzz", "serves no saga `zzz`; try: saga list"),
        ("place-order@7", "serves no saga `place-order@7`; did you mean place-order?"),
        ("sweep", "the saga `sweep` has no path, so only timers and other sagas start it"),
    ],
)
def test_what_cannot_be_called_is_told_in_one_line(wanted: str, sentence: str) -> None:
    with runner({LIST: [Said(body=SAGAS)]}) as served:
        result = saga("call", wanted, "--server", served.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_runner_that_does_not_answer_is_told_with_what_to_try() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = saga("call", "place-order", "--server", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: no runner answers at {url} (Connection refused); "
        "start one with `saga dev`, or name another with --server\n"
    )


def test_a_server_that_is_no_runner_is_told_in_one_line() -> None:
    with runner({LIST: [Said(body=b"<html>")]}) as served:
        result = saga("call", "place-order", "--server", served.url)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "not as a runner does" in result.stderr


def test_a_server_option_that_is_no_url_is_a_usage_error() -> None:
    assert saga("call", "place-order", "--server", "localhost:8080").exit_code == 2


def test_following_tells_steps_and_undo_once_each_as_they_end() -> None:
    going = run("running", step("reserve", 0, 0.041), step("charge", 0.05, None, status="running"), endedAt=None)
    turned = run(
        "compensating",
        step("reserve", 0, 0.041),
        step("charge", 0.05, 0.2, target="payment", undo=undo(1.6, 1.7)),
        step("ship", 0.2, 1.5, target="courier", status="failed", attempts=3, error=NOWHERE),
        endedAt=None,
    )
    script = {
        LIST: [Said(body=SAGAS)],
        PLACE: [ACCEPTED],
        RUN: [Said(body=going), Said(body=turned), Said(body=undone_run())],
    }
    with runner(script) as served:
        result = saga("call", "place-order", "--follow", "--server", served.url)
        assert served.requests("POST")[0].headers["prefer"] == "respond-async"
    assert result.exit_code == 10
    assert [line.split() for line in result.stderr.splitlines()] == [
        ["✓", "reserve", "stock", "#1", "41", "ms"],
        ["✓", "charge", "payment", "#1", "150", "ms"],
        ["✕", "ship", "courier", "#3", "1.3", "s", "409", "no", "courier", "for", "nowhere"],
        ["↺", "charge", "payment", "100", "ms"],
        ["↺", "reserve", "stock", "88", "ms"],
        ["compensated", "in", "1.9", "s", f"{served.url}/api/v1/runs/r-1"],
    ]
    assert json.loads(result.stdout) == {**NOWHERE, "title": None}


def test_following_a_run_that_completes_prints_its_output() -> None:
    waiting = step("approve", 0.1, None, status="waiting", kind="listen", target=None, waitingFor="signal ok")
    script = {
        LIST: [Said(body=SAGAS)],
        PLACE: [ACCEPTED],
        RUN: [
            Said(body=run("waiting", waiting, endedAt=None)),
            Said(body=run("completed", waiting | {"status": "completed", "endedAt": "2026-01-31T12:00:01Z"})),
        ],
    }
    with runner(script) as served:
        result = saga("call", "place-order", "--follow", "--server", served.url)
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"orderId": "o-1"})
    waits, over, end = result.stderr.splitlines()
    assert waits.split() == ["⋯", "approve", "listen", "#1", "waits", "for", "signal", "ok"]
    assert over.split() == ["✓", "approve", "listen", "#1", "900", "ms"]
    assert end.startswith("completed in 1.9 s")


def test_following_says_why_a_run_is_parked() -> None:
    parked = run(
        "parked",
        step(
            "charge",
            0,
            1,
            undo=undo(1, 2, status="failed", attempts=3, error={"kind": "503", "detail": "away"}),
        ),
        reason="undo-exhausted",
        endedAt=None,
    )
    with runner({LIST: [Said(body=SAGAS)], PLACE: [ACCEPTED], RUN: [Said(body=parked)]}) as served:
        result = saga("call", "place-order", "--follow", "--server", served.url)
    assert result.exit_code == 12
    assert "undo failed: 503 away" in result.stderr
    assert "parked (undo-exhausted)" in result.stderr


def test_following_ends_at_its_time_limit_and_leaves_the_run_alone() -> None:
    script = {LIST: [Said(body=SAGAS)], PLACE: [ACCEPTED], RUN: [Said(body=run("waiting", endedAt=None))]}
    with runner(script) as served:
        result = saga("call", "place-order", "--follow", "--timeout", "5", "--server", served.url)
    assert result.exit_code == 1
    assert "still waiting after 5 s; see how it goes on: saga runs show r-1" in result.stderr
    # 0.2 s growing to 1 s: fewer requests than one each 0.2 s.
    assert len([asked for asked in served.asked if asked.target.endswith("/r-1")]) < 15


def test_following_a_reply_that_came_at_once_prints_it() -> None:
    with runner({LIST: [Said(body=SAGAS)], PLACE: [Said(body={"cached": True})]}) as served:
        result = saga("call", "place-order", "--follow", "--server", served.url)
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"cached": True})
