"""What an operator does about parked runs, each action over HTTP and over the command line."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.backend import Backend, Heard, backend
from tests.support.processes import Server, run, saga

pytestmark = pytest.mark.process

SAGAS = {
    "undo.yaml": """
path: /undo
methods: [POST]
steps:
  - name: a
    call: {service: it, path: /a, body: {}}
    compensate: {call: {service: it, method: POST, path: /undo-a, body: {}}, retry: {attempts: 1}}
  - name: b
    call: {service: it, path: /refuse, body: {}}
    compensate: none
""",
    "forward.yaml": """
path: /forward
methods: [POST]
steps:
  - {name: p, pivot: true, call: {service: it, path: /p, body: {}}}
  - {name: c, call: {service: it, path: /c, body: {}}}
output: "${ steps.c.output.n }"
""",
    "unknown.yaml": """
path: /unknown
methods: [POST]
steps:
  - name: a
    call: {service: it, path: /a, body: {}}
    compensate: {call: {service: it, method: POST, path: /undo-b, body: {}}}
  - {name: p, pivot: true, idempotent: false, call: {service: it, path: /lost, body: {}}}
output: "${ steps.p.output.n }"
""",
}  # fmt: skip

#: How an operator says it: (server, run, action, body) -> (whether it was taken, what was said).
Way = Callable[[Server, str, str, dict[str, Any]], tuple[bool, str]]


def by_http(server: Server, run_id: str, action: str, body: dict[str, Any]) -> tuple[bool, str]:
    answer = server.post(f"/api/v1/runs/{run_id}/{action}", body)
    assert answer.status in (202, 409)
    return answer.status == 202, answer.json.get("detail", "")


def by_command(server: Server, run_id: str, action: str, body: dict[str, Any]) -> tuple[bool, str]:
    options = [f"--step={body['step']}"] if "step" in body else []
    options += ["--output", json.dumps(body["output"])] if "output" in body else []
    options += ["--done" if body["done"] else "--not-done"] if "done" in body else []
    options += ["--render"] if body.get("render") else []
    done = saga("runs", action, run_id, "--server", server.url, *options, folder=server.folder)
    assert done.returncode in (0, 1)
    return done.returncode == 0, done.stderr


@pytest.fixture(params=[by_http, by_command], ids=["http", "command"])
def say(request: pytest.FixtureRequest) -> Way:
    way: Way = request.param
    return way


class Moods:
    """What the service answers, by path; changed in the middle of a test."""

    def __init__(self) -> None:
        self.status: dict[str, int] = {}

    def __call__(self, heard: Heard) -> tuple[int, Any]:
        status = {"/refuse": 400, "/undo-a": 503, "/c": 400, "/lost": 503} | self.status
        return status.get(heard.path, 200), {"n": 7}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Backend, Moods]]:
    moods = Moods()
    with (
        backend(moods) as service,
        run(tmp_path_factory.mktemp("operator"), SAGAS, {"services": {"it": service.url}}) as server,
    ):
        yield server, service, moods


@pytest.fixture
def parked(place: tuple[Server, Backend, Moods]) -> Iterator[Callable[[str], str]]:
    server, _, moods = place
    moods.status.clear()

    def park(path: str) -> str:
        answer = server.post(path, {}, prefer="respond-async")
        run_id = str(answer.json["run"])
        assert server.run_when(run_id, "parked")["reason"]
        return run_id

    yield park
    moods.status.clear()


def test_retry_sends_a_parked_undo_again(
    place: tuple[Server, Backend, Moods], parked: Callable[[str], str], say: Way
) -> None:
    server, service, moods = place
    run_id = parked("/undo")
    moods.status["/undo-a"] = 200

    assert say(server, run_id, "retry", {}) == (True, "")

    assert server.run_when(run_id, "compensated")["leftovers"] == []
    keys = [heard.key for heard in service.heard if heard.path == "/undo-a" and run_id in heard.key]
    assert keys == [f"{run_id}.a.undo"] * 2


def test_skip_leaves_the_step_of_a_parked_undo_as_it_is(
    place: tuple[Server, Backend, Moods], parked: Callable[[str], str], say: Way
) -> None:
    server, _, _ = place
    run_id = parked("/undo")

    assert say(server, run_id, "skip", {"step": "a/$undo/0"}) == (True, "")

    assert server.run_when(run_id, "failed")["leftovers"] == [{"step": "a", "outcome": "done"}]


def test_skip_past_the_pivot_needs_an_output_that_something_reads(
    place: tuple[Server, Backend, Moods], parked: Callable[[str], str], say: Way
) -> None:
    server, _, _ = place
    run_id = parked("/forward")

    taken, said = say(server, run_id, "skip", {})
    assert not taken
    assert "give one as `output`" in said
    assert say(server, run_id, "skip", {"output": {"n": 3}}) == (True, "")

    assert server.run_when(run_id, "completed")["output"] == 3


def test_resolve_says_that_a_pivot_was_done(
    place: tuple[Server, Backend, Moods], parked: Callable[[str], str], say: Way
) -> None:
    server, _, _ = place
    run_id = parked("/unknown")

    assert say(server, run_id, "resolve", {"done": True, "output": {"n": 9}}) == (True, "")

    assert server.run_when(run_id, "completed")["output"] == 9


def test_resolve_says_that_a_pivot_was_not_done_and_the_run_turns(
    place: tuple[Server, Backend, Moods], parked: Callable[[str], str], say: Way
) -> None:
    server, _, _ = place
    run_id = parked("/unknown")

    assert say(server, run_id, "resolve", {"done": False}) == (True, "")

    assert server.run_when(run_id, "compensated")["leftovers"] == []


@pytest.mark.parametrize("action", ["retry", "skip", "resolve", "resume"])
def test_what_has_moved_on_is_refused_with_the_reason(
    place: tuple[Server, Backend, Moods], parked: Callable[[str], str], say: Way, action: str
) -> None:
    server, _, moods = place
    run_id = parked("/undo")
    moods.status["/undo-a"] = 200
    assert say(server, run_id, "retry", {}) == (True, "")
    server.run_when(run_id, "compensated")

    taken, said = say(server, run_id, action, {"done": True} if action == "resolve" else {})

    assert not taken
    assert "has its end already" in said


def test_many_are_named_by_what_they_have_in_common(
    place: tuple[Server, Backend, Moods], parked: Callable[[str], str]
) -> None:
    server, _, moods = place
    runs = {parked("/undo") for _ in range(3)}
    moods.status["/undo-a"] = 200

    many = ("--where", "saga=undo status=parked", "--reason", "it is back")
    done = saga("runs", "retry", *many, "--server", server.url, folder=server.folder)

    assert done.returncode == 0, done.stderr
    assert runs <= set(done.stdout.split())
    assert all(server.run_when(one, "compensated") for one in runs)
