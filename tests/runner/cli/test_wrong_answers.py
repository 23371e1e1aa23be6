"""Every command that asks a server, against servers that are no runner and no registry: one line, exit code 1."""

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator

import pytest

from registry.base.values import Json
from tests.runner.cli.invoking import saga
from tests.runner.cli.scripted import SAGAS, Said, run, runner, step
from tests.support.services import answer

JSON = (("content-type", "application/json"),)
HTML = (("content-type", "text/html"),)


def saying(value: Json) -> bytes:
    return answer(200, json.dumps(value).encode(), JSON)


RUN = run("completed", step("a", 0, 1))
SERVICE = {"service_name": "a", "service_url": "http://a", "service_id": "a-1", "removed": []}

ANSWERS: dict[str, bytes] = {
    "items-without-members": saying({"runs": [{}], "sagas": [{}], "services": [{}]}),
    "html": answer(200, b"<html><body>Welcome</body></html>", HTML),
    "html-said-to-be-json": answer(200, b"<html>", JSON),
    "empty": answer(200),
    "no-content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "list": saying([]),
    "null": saying(None),
    "text": saying("ok"),
    "empty-object": saying({}),
    "cut-json": answer(200, b'{"runs": [{"id": "r', JSON),
    "not-utf-8": answer(200, b'{"id": "\xff"}', JSON),
    "deep": answer(200, b"[" * 100_000, JSON),
    "lists-that-are-none": saying({"runs": 7, "sagas": "x", "services": {}}),
    "items-of-wrong-types": saying(
        {
            "sagas": [{"id": 7, "version": "1", "status": None}],
            "runs": [RUN | {"id": 7}],
            "services": [SERVICE | {"service_url": 7}],
        }
    ),
    "members-of-wrong-types": saying(
        RUN
        | {"steps": [{"path": 1}], "run": 7, "status": [], "version": {}}
        | SERVICE
        | {"service_id": 1, "removed": 1}
    ),
    "time-that-is-none": saying(
        RUN | {"startedAt": "yesterday", "runs": [RUN | {"startedAt": "yesterday"}], "version": 0, "status": 0}
    ),
    "found-elsewhere": answer(302, b"", (("location", "/login"),)),
    "not-found-as-text": answer(404, b"no such page", (("content-type", "text/plain"),)),
    "error-as-text": answer(500, b"Internal Server Error", (("content-type", "text/plain"),)),
    "error-of-wrong-types": answer(500, b'{"title":[1],"detail":{"a":1},"errors":7,"error":[]}', JSON),
    "gateway": answer(502, b"<html><h1>502</h1>\n\n</html>", HTML),
    "closes-at-once": b"",
    "closes-in-the-head": b"HTTP/1.1 200 OK\r\ncontent-ty",
    "closes-in-the-middle": answer(200, b'{"runs": []}', JSON, length=4_000),
    "not-http": b"SSH-2.0-OpenSSH_9.6\r\n",
}

COMMANDS = [
    "list",
    "list -o json",
    "runs list",
    "runs list -o json",
    "runs show r-1",
    "runs show r-1 -o json",
    "runs watch r-1",
    "runs cancel r-1",
    "runs retry r-1",
    "runs retry --where status=parked",
    "runs skip r-1",
    "runs resolve r-1 --done",
    "runs resume r-1",
    "call place-order",
    "call /orders/place",
    "call place-order --follow",
    "status",
    "status -o json",
    "service list",
    "service list -o json",
    "service get a",
    "service get a -o json",
    "service register --name a --url http://a",
    "service heartbeat a",
    "service unregister a",
]


@contextlib.contextmanager
def server(said: bytes) -> Iterator[str]:
    """A server that says this to whatever it is asked, and hangs up."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while line := self.rfile.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            with contextlib.suppress(OSError):
                self.wfile.write(said)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_address[1]}"
        finally:
            listening.shutdown()
            thread.join()


@pytest.mark.parametrize("said", ANSWERS)
def test_a_wrong_answer_is_one_line_and_exit_1(said: str) -> None:
    wrong = {}
    with server(ANSWERS[said]) as url:
        for command in COMMANDS:
            result = saga(*command.split(), env={"SAGA_RUNNER_URL": url, "SAGA_SERVICE_URL": url})
            lines = result.stderr.splitlines()
            if (result.exit_code, result.stdout, len(lines)) != (1, "", 1) or not lines[0].startswith("Error: "):
                wrong[command] = (result.exit_code, result.stdout, result.stderr)
    assert wrong == {}


ACCEPTED = Said(status=202, body={}, headers={"Location": "/api/v1/runs/r-1", "X-Saga-Run": "r-1"})


@pytest.mark.parametrize("body", [{}, {"runs": [{}]}, [], b"<html>", b"", {**RUN, "status": 7}, {**RUN, "steps": [{}]}])
@pytest.mark.parametrize("options", [(), ("--follow",)])
def test_a_run_that_cannot_be_read_after_its_start_is_one_line_and_exit_1(body: Json, options: tuple[str, ...]) -> None:
    script = {
        "GET /api/v1/sagas": [Said(body=SAGAS)],
        "POST /orders/place": [ACCEPTED],
        "GET /api/v1/runs/r-1": [Said(body=body)],
    }
    with runner(script) as served:
        result = saga("call", "place-order", *options, "--server", served.url)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "not as a runner does" in result.stderr


@pytest.mark.parametrize(("status", "words"), [(302, "302 Found"), (204, "")])
def test_a_reply_is_a_success_only_where_it_is_one(status: int, words: str) -> None:
    script = {"GET /api/v1/sagas": [Said(body=SAGAS)], "POST /orders/place": [Said(status=status)]}
    with runner(script) as served:
        result = saga("call", "place-order", "--server", served.url)
    assert (result.exit_code, result.stdout) == (1 if words else 0, "")
    assert words in result.stderr


def test_a_health_that_is_no_runners_is_not_ready() -> None:
    answers = {"GET /health": [Said(body={"status": "healthy", "version": "1"})], "GET /ready": [Said(body=b"OK")]}
    with runner(answers) as served:
        result = saga("status", "--server", served.url)
    assert (result.exit_code, result.stdout) == (1, "")
