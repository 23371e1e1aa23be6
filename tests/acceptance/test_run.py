"""`saga run`: what its settings do, what it refuses to start with, and what it does not serve."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.work import WORK, with_backend
from tests.support.backend import backend
from tests.support.processes import Server, eventually, prepared, run, saga

pytestmark = pytest.mark.process


def lines_of(server: Server) -> list[str]:
    return server.said.splitlines()


# ---------------------------------------------------------------------- what is not served


GUARDED = {
    "roles.yaml": "path: /roles\nroles: [admin]\nmethods: [GET]\nsteps: [{name: a, set: 1}]\n",
    "validated.yaml": "path: /validated\nmethods: [GET]\nschema: {validated: true, input: {type: object}}\n"
    "steps: [{name: a, set: 1}]\n",
    "mock.yaml": "path: /mock\nmethods: [GET]\nschema: {mock: true, output: {const: 1}}\n",
    "runs-validated.yaml": "path: /runs-validated\nmethods: [POST]\n"
    "steps: [{name: a, run: {saga: validated, input: {}}}]\n",
    "redirected.yaml": "path: /redirected\nmethods: [GET]\nredirectTo: roles\n",
    "open.yaml": "path: /open\nmethods: [GET]\nsteps: [{name: a, set: 1}]\n",
    "draft.yaml": "path: /draft\nstatus: draft\nmethods: [GET]\nsteps: [{name: a, set: 1}]\n",
    "other.yaml": "path: /other\nrunners: [other]\nmethods: [GET]\nsteps: [{name: a, set: 1}]\n",
    "one.yaml": "id: one\nversion: 1\npath: /versions\nmethods: [GET]\nsteps: [{name: a, set: 1}]\n",
    "two.yaml": "id: one\nversion: 2\npath: /versions\nmethods: [GET]\nsteps: [{name: a, set: 2}]\n",
    "post.yaml": "id: poster\npath: /versions\nmethods: [POST]\nsteps: [{name: a, set: 3}]\n",
    "query.yaml": "path: /query\nmethods: [GET, DELETE]\nextraPayload: {channel: web}\n"
    "steps: [{name: a, set: '${ input }'}]\n",
    "nothing.yaml": "path: /nothing\nmethods: [POST]\nreply: {status: 204, headers: {X-Said: '${ input.word }'}}\n"
    "steps: [{name: a, set: 1}]\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run(tmp_path_factory.mktemp("plain"), GUARDED) as server:
        yield server


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        ("GET", "/roles", "roles"),
        ("GET", "/redirected", "roles"),
        ("GET", "/validated", "validates its input"),
        ("POST", "/runs-validated", "validates its input"),
        ("GET", "/mock", "mock"),
    ],
)
def test_a_saga_whose_guard_is_missing_is_a_503_with_the_reason(
    plain: Server, method: str, path: str, reason: str
) -> None:
    answer = plain.ask(method, path)
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"] == "not-served"
    assert reason in answer.json["detail"]


def test_a_warning_at_the_start_says_which_sagas_are_guarded(plain: Server) -> None:
    assert any("roles" in line for line in lines_of(plain))


@pytest.mark.parametrize("path", ["/draft", "/other"])
def test_what_is_not_active_here_is_a_404(plain: Server, path: str) -> None:
    assert plain.ask("GET", path).status == 404


def test_the_highest_version_answers_unless_one_is_asked_for(plain: Server) -> None:
    assert plain.ask("GET", "/versions").json == 2
    first = plain.ask("GET", "/versions", headers={"X-Saga-Version": "1"})
    assert (first.json, first.headers["x-saga-version"]) == (1, "1")
    assert plain.ask("GET", "/versions", headers={"X-Saga-Version": "3"}).status == 404
    assert plain.ask("POST", "/versions").json == 3


def test_405_allows_what_any_saga_of_the_path_takes(plain: Server) -> None:
    answer = plain.ask("PUT", "/versions")
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) >= {"GET", "POST"}


def test_head_answers_as_get_would_without_a_body(plain: Server) -> None:
    head, get = plain.ask("HEAD", "/versions"), plain.ask("GET", "/versions")
    assert head.status == get.status == 200
    assert head.body == b""
    assert head.headers["content-length"] == get.headers["content-length"]


def test_a_query_becomes_the_input_and_repeated_fields_become_lists(plain: Server) -> None:
    for method in ("GET", "DELETE"):
        answer = plain.ask(method, "/query?a=1&b=x+y&b=%C3%A9&c=")
        assert answer.json == {"a": "1", "b": ["x y", "é"], "c": "", "channel": "web"}


def test_the_extra_payload_wins(plain: Server) -> None:
    assert plain.ask("GET", "/query?channel=forged").json == {"channel": "web"}


def test_a_204_has_headers_and_no_body(plain: Server) -> None:
    answer = plain.post("/nothing", {"word": "hello"})
    assert (answer.status, answer.body, answer.headers["x-said"]) == (204, b"", "hello")
    assert "content-length" not in answer.headers


# ---------------------------------------------------------------------- what it does not start with


def test_with_auth_it_refuses_to_start(tmp_path: Path) -> None:
    server = prepared(tmp_path, {"work.yaml": WORK}, {"auth": {"jwt": {"secret": "x" * 32}}})
    done = saga(*server.arguments, folder=tmp_path)
    assert done.returncode == 1
    assert "auth is set" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_an_error_in_a_definition_it_exits_1_and_says_where(tmp_path: Path) -> None:
    server = prepared(tmp_path, {"work.yaml": WORK, "bad.yaml": "id: bad\nstepz: []\n"})
    done = saga(*server.arguments, folder=tmp_path)
    assert done.returncode == 1
    assert "bad.yaml:2:1" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"runer": {}}, "runner"),
        ({"runner": {"port": "x"}}, "runner.port"),
        ({"runner": {"workers": 2}}, "workers"),
        ({"runner": {"host": "0.0.0.0"}}, "--insecure"),
        ({"journal": {"url": "postgresql://localhost/saga"}}, "journal"),
    ],
)
def test_wrong_settings_are_sentences_and_exit_code_1(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    server = prepared(tmp_path, {"work.yaml": WORK}, settings)
    done = saga(*server.arguments, folder=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = prepared(tmp_path, {"work.yaml": WORK}, {"runner": {"port": taken.getsockname()[1]}})
        done = saga(*server.arguments, folder=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "cannot listen" in line


def test_a_second_runner_on_the_same_journal_gets_one_clear_line(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with run(tmp_path, {"work.yaml": WORK}):
        journal = {"url": f"sqlite:{tmp_path}/.saga/journal.db"}
        second = prepared(other, {"work.yaml": WORK}, {"journal": journal})
        done = saga(*second.arguments, folder=other)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if "error" in line]
    assert "journal" in line
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------- services


def test_secret_headers_reach_the_service_and_no_record(tmp_path: Path) -> None:
    settings = with_backend("", headers={"authorization": "env:BACKEND_AUTH"})
    with backend() as service:
        settings["services"]["backend"]["url"] = service.url  # type: ignore[index]
        with run(tmp_path, {"work.yaml": WORK}, settings, environment={"BACKEND_AUTH": "Bearer s3cr3t"}) as server:
            answer = server.post("/work", {"n": 1}, Authorization="Bearer caller", Cookie="c=caller")
            assert answer.status == 200
            shown = server.ask("GET", f"/api/v1/runs/{answer.headers['x-saga-run']}").body
            said = server.said
            assert server.stop() == 0
    [heard] = service.heard
    assert heard.headers["authorization"] == "Bearer s3cr3t"
    assert heard.key == f"{answer.headers['x-saga-run']}.work"
    assert heard.headers["x-saga-run"] == answer.headers["x-saga-run"]
    assert heard.headers["traceparent"].split("-")[1] == answer.headers["traceparent"].split("-")[1]
    assert json.loads(heard.body) == {"n": 1}
    kept = b"".join(path.read_bytes() for path in (tmp_path / ".saga").iterdir())
    for secret in (b"s3cr3t", b"Bearer caller", b"c=caller"):
        assert secret not in kept + shown + said.encode()


def test_concurrency_bounds_what_a_service_gets_at_once(tmp_path: Path) -> None:
    with (
        backend(closed=True) as service,
        run(tmp_path, {"work.yaml": WORK}, with_backend(service.url, concurrency=2)) as server,
        ThreadPoolExecutor(6) as pool,
    ):
        callers = [pool.submit(server.post, "/work", {"n": number}) for number in range(6)]
        eventually(lambda: len(server.runs("?status=running")) == 6)
        eventually(lambda: service.held == 2)
        service.gate.set()
        assert {caller.result().status for caller in callers} == {200}
        assert service.most_held == 2
        assert len(service.heard) == 6


def test_a_service_that_is_nowhere_is_a_503(tmp_path: Path) -> None:
    with run(tmp_path, {"work.yaml": WORK}) as server:
        answer = server.post("/work", {})
    assert (answer.status, answer.json["code"], answer.json["outcome"]) == (503, "serviceNotFound", "failed")


def test_a_service_that_is_down_is_a_502(tmp_path: Path) -> None:
    with run(tmp_path, {"work.yaml": WORK}, with_backend("http://127.0.0.1:1")) as server:
        answer = server.post("/work", {})
    assert (answer.status, answer.json["code"], answer.json["outcome"]) == (502, "unreachable", "failed")


# ---------------------------------------------------------------------- limits


def test_over_its_limit_a_runner_says_429_and_still_answers_for_runs_it_has(tmp_path: Path) -> None:
    with (
        backend(closed=True) as service,
        run(tmp_path, {"work.yaml": WORK}, {**with_backend(service.url), "runner": {"maxInFlight": 1}}) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(server.post, "/work", {"n": 1}, Idempotency_Key="one")
        eventually(lambda: service.held == 1)
        refused = server.post("/work", {"n": 2})
        assert refused.status == 429
        assert refused.json["code"] == "too-many-runs"
        assert int(refused.headers["retry-after"]) >= 1
        again = server.post("/work", {"n": 1}, Idempotency_Key="one")
        assert again.status == 409
        assert server.post("/work", {"n": 9}, Idempotency_Key="one").status == 422
        service.gate.set()
        assert first.result().status == 200
        eventually(lambda: server.post("/work", {"n": 3}).status == 200)
    assert len(service.heard) == 2


def test_a_caller_waits_no_longer_than_the_reply_timeout(tmp_path: Path) -> None:
    with (
        backend(closed=True) as service,
        run(
            tmp_path, {"work.yaml": WORK}, {**with_backend(service.url), "runner": {"replyTimeout": "200ms"}}
        ) as server,
    ):
        answer = server.post("/work", {})
        assert answer.status == 202
        service.gate.set()
        assert server.run_when(answer.headers["location"].rpartition("/")[2], "completed")


def test_a_caller_that_hangs_up_does_not_cancel_its_run(tmp_path: Path) -> None:
    with (
        backend(closed=True) as service,
        run(tmp_path, {"work.yaml": WORK}, with_backend(service.url)) as server,
    ):
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as caller:
            caller.sendall(
                b"POST /work HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
            )
            eventually(lambda: service.held == 1)
        service.gate.set()
        [found] = eventually(lambda: server.runs("?status=completed"))
        assert found["saga"] == "work"


# ---------------------------------------------------------------------- what parks, and how a command ends


PARKS = """
path: /parks
methods: [POST]
steps:
  - name: charge
    call: {service: backend, path: /charge, body: 1}
    compensate:
      call: {service: backend, method: DELETE, path: /charge}
  - name: ship
    call: {service: backend, path: /ship, body: 1}
    compensate: none
"""


def test_a_call_whose_undo_is_refused_parks_and_the_command_exits_12(tmp_path: Path) -> None:
    answers = {("POST", "/charge"): 200, ("DELETE", "/charge"): 403, ("POST", "/ship"): 409}
    with (
        backend(lambda heard: (answers[heard.method, heard.path], {})) as service,
        run(tmp_path, {"parks.yaml": PARKS}, with_backend(service.url)) as server,
    ):
        done = saga("call", "parks", "--follow", "--server", server.url, folder=tmp_path)
        assert done.returncode == 12, done.stderr
        [parked] = server.runs("?status=parked")
        assert parked["reason"]
        assert len([heard for heard in service.heard if heard.method == "DELETE"]) == 3
        answer = server.post("/parks", {})
        assert answer.status == 502
        assert answer.json["outcome"] == "parked"


# ---------------------------------------------------------------------- the journal


def test_a_run_in_the_memory_journal_is_served_alike_and_leaves_no_file(tmp_path: Path) -> None:
    settings = {"journal": {"url": "memory"}}
    with (
        backend() as service,
        run(tmp_path, {"work.yaml": WORK}, {**with_backend(service.url), **settings}) as server,
    ):
        answer = server.post("/work", {}, Idempotency_Key="k")
        assert server.run(answer.headers["x-saga-run"])["status"] == "completed"
        assert server.post("/work", {}, Idempotency_Key="k").body == answer.body
    assert not (tmp_path / ".saga").exists()


def test_the_intent_is_durable_before_the_first_byte_leaves(tmp_path: Path) -> None:
    with (
        backend(closed=True) as service,
        run(tmp_path, {"work.yaml": WORK}, with_backend(service.url)) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        caller = pool.submit(server.post, "/work", {})
        eventually(lambda: service.held == 1)
        with closing(sqlite3.connect(f"file:{tmp_path}/.saga/journal.db?mode=ro", uri=True)) as db:
            letters = [json.loads(body)[0] for (body,) in db.execute("SELECT body FROM records ORDER BY seq")]
        assert letters == ["S", "B"]
        service.gate.set()
        assert caller.result().status == 200
