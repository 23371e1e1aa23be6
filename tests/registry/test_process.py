"""`saga registry` as operators run it: a process with its file, its tokens, its log and its end."""

import json
import socket
import subprocess
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.processes import PATIENCE_S, Answer, Server, ask, saga

pytestmark = pytest.mark.process

OPS = {"Authorization": "Bearer ops-token-00000001"}


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    """Starts `saga registry` with these variables; all are stopped at the end."""
    running: list[Server] = []

    def start(**environment: str) -> Server:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        server = Server(
            arguments=("registry", "--port", str(port)),
            folder=tmp_path,
            url=url,
            registry=url,
            environment={"HOME": str(tmp_path), **environment},
        )
        running.append(server)
        server.start()
        return server

    yield start
    for server in running:
        server.kill()


def api(server: Server, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    return ask(server.url, method, f"/api/v1{path}", body, headers=headers)


def test_file_and_environment_rule_a_registry_and_it_stops_when_told(tmp_path: Path, started: Any) -> None:
    (tmp_path / ".saga").mkdir()
    (tmp_path / ".saga" / "config.toml").write_text('service_name = "saga-eu"\nregistration_ttl = 20\n')
    server = started(HEARTBEAT_INTERVAL="10", RUST_LOG="saga=debug")
    told = api(server, "POST", "/services/register", {"service_name": "a", "service_url": "http://10.0.0.1:1"})
    assert told.status == 201
    assert (told.json["ttl"], told.json["heartbeat_interval"]) == (20, 10)
    assert api(server, "GET", "/health").json["service"] == "saga-eu"
    assert server.stop() == 0
    assert "REDIS_URL is not set: services are kept in this process alone" in server.said
    assert "DEBUG registry.door: POST /api/v1/services/register 201 in " in server.said


def test_a_quiet_log_says_no_more_than_warnings(started: Any) -> None:
    server = started(SAGA_LOG="warn", REGISTRATION_TTL="10")
    api(server, "GET", "/services")
    assert server.stop() == 0
    assert "WARNING registry.app: REGISTRATION_TTL is 10 s, less than twice HEARTBEAT_INTERVAL" in server.said
    assert "INFO" not in server.said


def test_a_registry_that_is_open_to_others_says_so_loudly_and_one_with_tokens_does_not(
    tmp_path: Path, started: Any
) -> None:
    server = started(HOST="0.0.0.0")
    assert server.stop() == 0
    assert "WARNING registry.app: HOST is 0.0.0.0 and REGISTRY_TOKENS is not set" in server.said
    (tmp_path / "stderr").write_text("")
    (tmp_path / "tokens").write_text("ops ops-token-00000001 admin\nreader reader-token-00001 read\n")
    server = started(HOST="0.0.0.0", REGISTRY_TOKENS=str(tmp_path / "tokens"))
    assert "WARNING" not in server.said
    entry = {"service_name": "a", "service_url": "http://10.0.0.1:1"}
    assert api(server, "POST", "/services/register", entry).status == 401
    assert api(server, "POST", "/services/register", entry, Authorization="Bearer reader-token-00001").status == 403
    assert api(server, "POST", "/services/register", entry, **OPS).status == 201
    assert api(server, "GET", "/services/a", Authorization="Bearer reader-token-00001").status == 200
    assert [x["who"] for x in api(server, "GET", "/audit", **OPS).json["entries"]] == ["ops@127.0.0.1"]
    assert server.stop() == 0
    assert "token-0" not in server.said


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORT": "high"}, "PORT is 'high', but it must be a whole number from 0 to 65535."),
        ({"REDIS_URL": "redis:/localhost"}, "REDIS_URL cannot be used: "),
        ({"ALLOWED_NETWORKS": "intern"}, "ALLOWED_NETWORKS is 'intern', but it must be networks as 10.0.0.0/8"),
        ({"REGISTRY_TOKENS": "/no/such/file"}, "REGISTRY_TOKENS names the file /no/such/file, which cannot be read"),
        ({"RUST_LOG": "saga=all"}, "RUST_LOG is 'saga=all', but it must give saga one of error, warn, info"),
    ],
)
def test_a_wrong_setting_ends_it_at_once_with_a_sentence(
    tmp_path: Path, environment: Mapping[str, str], sentence: str
) -> None:
    done = saga("registry", folder=tmp_path, environment={"HOME": str(tmp_path), **environment})
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_key_of_the_file_is_named_with_what_was_meant(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("registraton_ttl = 20\n")
    done = saga("registry", folder=tmp_path, environment={"SAGA_CONFIG_DIR": str(tmp_path)})
    assert done.returncode == 1
    assert "has the unknown key 'registraton_ttl': did you mean registration_ttl?" in done.stderr


def test_addresses_beyond_the_allowed_networks_are_refused(started: Any) -> None:
    server = started(ALLOWED_NETWORKS="10.0.0.0/8")
    for url, status in (("http://10.9.9.9:1", 201), ("http://192.168.0.1:1", 422), ("http://localhost:1", 422)):
        told = api(server, "POST", "/services/register", {"service_name": "a", "service_url": url})
        assert told.status == status
        assert status == 201 or "is not within ALLOWED_NETWORKS" in told.json["error"]


def raw(server: Server, sent: bytes) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of what is answered to these bytes."""
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(sent)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_hostile_requests_are_refused_with_a_sentence_and_harm_nobody(started: Any) -> None:
    server = started()
    close = b"Host: h\r\nConnection: close\r\n"
    for sent, statuses in (
        (b"GET /api/v1/services/%00%ff HTTP/1.1\r\n" + close + b"\r\n", {404}),
        (b"GET /api/v1/services/" + b"x" * 4000 + b" HTTP/1.1\r\n" + close + b"\r\n", {404}),
        (b"GET /api/v1/services/" + b"x" * 100_000 + b" HTTP/1.1\r\n" + close + b"\r\n", {414}),
        (b"GET /api/v1/services/a HTTP/1.1\r\n" + close + b"X: " + b"y" * 200_000 + b"\r\n\r\n", {431}),
        (b"GET /api/v1/services?limit=%F0%9F%92%A9&health=\xff HTTP/1.1\r\n" + close + b"\r\n", {400, 422}),
        (b"GET /api/v1/services/watch HTTP/1.1\r\n" + close + b"Last-Event-ID: " + b"9" * 500 + b"\r\n\r\n", {422}),
        (b"GET /api/v1/services/a?index=1&wait=" + b"9" * 30 + b" HTTP/1.1\r\n" + close + b"\r\n", {422}),
        (b"GET /api/v1/services/a HTTP/1.1\r\n" + close + b"Authorization: \xff\xfe\r\n\r\n", {404}),
        (b"POST /api/v1/services/a/heartbeat?service_id=%00 HTTP/1.1\r\n" + close + b"\r\n", {404}),
        (b"POST /api/v1/services/a/heartbeat?service_id=a&service_id=b&x HTTP/1.1\r\n" + close + b"\r\n", {404, 422}),
        (b"POST /api/v1/services/%2e%2e/heartbeat HTTP/1.1\r\n" + close + b"\r\n", {404}),
        (b"PATCH /api/v1/services/a/instances/%0d%0a HTTP/1.1\r\n" + close + b"Content-Length: 2\r\n\r\n[]", {422}),
    ):
        status, told = raw(server, sent)
        assert status in statuses, sent[:80]
        assert told["title"]
        assert told["detail"]
    assert api(server, "GET", "/health/live").status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/services/register"),
        ("POST", "/services/a/heartbeat"),
        ("PATCH", "/services/a/instances/a"),
        ("POST", "/services/a/instances/a/drain"),
        ("DELETE", "/services/a"),
    ],
)
def test_ten_megabytes_are_refused_with_a_sentence(started: Any, method: str, path: str) -> None:
    server = started()
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE_S)
    connection.request(method, f"/api/v1{path}", body=b"x" * 10_000_000)
    with connection.getresponse() as response:
        assert response.status == 413
        assert json.load(response)["error"] == "The body is larger than 1048576 bytes: send less."
    connection.close()
    assert api(server, "GET", "/services").json["count"] == 0


def test_what_waits_is_answered_when_the_registry_is_told_to_stop(started: Any) -> None:
    server = started()
    api(server, "POST", "/services/register", {"service_name": "a", "service_url": "http://10.0.0.1:1"})
    index = api(server, "GET", "/services/a").json["index"]
    with (
        subprocess.Popen(["curl", "-sN", f"{server.url}/api/v1/services/watch"], stdout=subprocess.PIPE) as stream,
        subprocess.Popen(
            ["curl", "-s", f"{server.url}/api/v1/services/a?index={index}&wait=300s"], stdout=subprocess.PIPE
        ) as poll,
    ):
        assert stream.stdout is not None
        assert stream.stdout.readline() == b": watching\n"
        while "saga_registry_watchers 2.0" not in ask(server.url, "GET", "/metrics").body.decode():
            pass
        assert server.stop() == 0
        out, _ = poll.communicate(timeout=PATIENCE_S)
        assert json.loads(out)["index"] == index
