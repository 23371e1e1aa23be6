"""What nobody should send or answer: the runner refuses it, stays up, and keeps nothing of it."""

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Server, ask, order, run
from tests.support.services import PATIENCE_S, Peer, Script, answer, serve

pytestmark = pytest.mark.process

HEAD = b"POST /examples/switch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
GOOD = HEAD + b'content-length: 11\r\n\r\n{"total":1}'


def connected(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def statuses(server: Server, sent: bytes, count: int = 1) -> list[int]:
    """The statuses of the first `count` answers to these bytes; fewer where the connection is closed before."""
    came = b""
    with connected(server) as caller:
        try:
            caller.sendall(sent)
            while len(found := re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", came)) < count:
                part = caller.recv(65_536)
                if not part:
                    break
                came += part
        except ConnectionError:
            found = re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", came)
    return [int(status) for status in found]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"/ HTTP/1.1\r\n\r\n",
        bytes.fromhex("160301020001000001fc0303") + b"a" * 300,
        b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /a\x00b HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 99999999999999999999999\r\n\r\n",
        HEAD + b"content-length: 11\r\ncontent-length: 12\r\n\r\n{}",
        HEAD + b"content-length: 11\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_a_400_and_the_connection_is_closed(shop: Server, sent: bytes) -> None:
    assert statuses(shop, sent, count=2) == [400]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /%zz%ff HTTP/1.1\r\nhost: x\r\n\r\n", 404),
        (b"POST /examples/../examples/switch HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", 404),
        (HEAD + b'x-odd: \xff\xfe\r\ncontent-length: 11\r\n\r\n{"total":1}', 200),
        (HEAD + b'idempotency-key: \xff\r\ncontent-length: 11\r\n\r\n{"total":1}', 400),
        (HEAD + b'x-saga-version: \xb2\r\ncontent-length: 11\r\n\r\n{"total":1}', 400),
        (HEAD + b'prefer: wait=\xb2, ;;,=\r\ncontent-length: 11\r\n\r\n{"total":1}', 200),
        (HEAD + b'prefer: wait=9999999999999999999999\r\ncontent-length: 11\r\n\r\n{"total":1}', 200),
        (b"GET /api/v1/runs?status=%ff HTTP/1.1\r\nhost: x\r\n\r\n", 422),
        (b"GET /api/v1/runs?label=a:%00 HTTP/1.1\r\nhost: x\r\n\r\n", 200),
        (b"GET /api/v1/runs?since=0001-01-01T00:00:00%2B14:00 HTTP/1.1\r\nhost: x\r\n\r\n", 200),
        (b"GET /api/v1/runs/%ed%a0%80 HTTP/1.1\r\nhost: x\r\n\r\n", 422),
    ],
)
def test_odd_requests_get_an_answer_that_fits(shop: Server, sent: bytes, status: int) -> None:
    assert statuses(shop, sent) == [status]


def test_requests_in_one_go_are_answered_one_by_one(shop: Server) -> None:
    refused = b"GET /nope HTTP/1.1\r\nhost: x\r\n\r\n"
    assert statuses(shop, GOOD + refused + GOOD, count=3) == [200, 404, 200]


def test_a_body_without_end_is_refused_at_the_limit_and_not_kept(shop: Server) -> None:
    def memory() -> int:
        assert shop.process is not None
        text = Path(f"/proc/{shop.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+([0-9]+) kB", text)[0])

    before = memory()
    with connected(shop) as caller:
        caller.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(64):
            caller.sendall(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
        assert caller.recv(65_536).startswith(b"HTTP/1.1 413 ")
    assert memory() - before < 32_768, "64 MiB were sent"


def test_a_caller_who_leaves_in_the_middle_of_a_body_starts_nothing(shop: Server) -> None:
    key = "left-in-the-middle"
    with connected(shop) as caller:
        caller.sendall(
            b"POST /orders/place HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            + f"idempotency-key: {key}\r\n".encode()
            + b'content-length: 500\r\n\r\n{"orderId": "left'
        )
    answer_ = shop.post("/orders/place", order("stayed"), Idempotency_Key=key)
    assert answer_.status == 200, "had the half body started a run, this would be another payload under its key"


def test_a_slow_caller_holds_up_nobody_else(shop: Server) -> None:
    with connected(shop) as slow:
        slow.sendall(HEAD + b"content-length: 11\r\n\r\n{")
        assert shop.post("/examples/switch", {"total": 1}).status == 200
        slow.sendall(b'"total":1}')
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200 ")


# ---------------------------------------------------------------------- services that misbehave


ASK = """
path: /ask
methods: [POST]
steps:
  - name: ask
    timeout: 2s
    call: {service: odd, path: /ask, body: 1}
    compensate:
      call: {service: odd, method: DELETE, path: /ask}
"""


def then_good(first: bytes) -> Script:
    """Answers the forward request with `first` and everything after it (the undo) well."""

    async def script(peer: Peer) -> None:
        asked = await peer.request()
        peer.write(first if asked.method == "POST" else answer(200, b"{}"))
        if asked.method == "POST":
            return
        await peer.client_closed()

    return script


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A runner whose service `odd` is looked up in its registry, where each test registers its own."""
    with run(tmp_path_factory.mktemp("odd"), {"ask.yaml": ASK}) as server:
        yield server


JSON = (("content-type", "application/json"),)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (answer(200, b"{bad", JSON), "unexpected"),
        (answer(200, b'{"a":NaN}', JSON), "unexpected"),
        (answer(200, b'{"a":"\xff"}', JSON), "unexpected"),
        (answer(200, b"[" * 100_000, JSON), "unexpected"),
        (answer(200, b" " * 2_000_000 + b"1", JSON), "unexpected"),
        (answer(200, b"{}", JSON, length=100), "unexpected"),
        (answer(999, b"{}", JSON), "unexpected"),
        (answer(500, b"{bad", JSON), "500"),
        (answer(302, b"", (("location", "http://elsewhere.invalid/"),)), "redirect"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "unexpected"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n{}", "unexpected"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 1_000_000 + b"\r\n\r\n", "unexpected"),
        (b"", "unreachable"),
    ],
    ids=[
        *("not-json", "nan", "not-utf-8", "deep", "oversized", "cut-short", "status-999", "500-not-json"),
        *("redirect-away", "not-http", "length-no-number", "header-too-large", "nothing"),
    ],
)
async def test_a_service_that_answers_nonsense_fails_the_step_and_is_undone(
    odd: Server, said: bytes, kind: str
) -> None:
    async with serve(then_good(said)) as service:
        ask(odd.registry, "DELETE", "/api/v1/services/odd")
        registered = ask(
            odd.registry, "POST", "/api/v1/services/register", {"service_name": "odd", "service_url": service.url}
        )
        assert registered.status in (200, 201), registered
        came = await asyncio.to_thread(odd.post, "/ask", {})
        found = await asyncio.to_thread(odd.run, came.headers["x-saga-run"])
    assert came.status in (502, 504), came.body
    assert found["error"]["kind"] == kind, found["error"]
    assert found["status"] == "compensated", "its outcome was unknown, so it was undone"
    assert [heard.method for heard in service.received] == ["POST", "DELETE"]


def test_nothing_of_all_this_made_the_runner_fail(shop: Server, odd: Server) -> None:
    for server in (shop, odd):
        assert server.ask("GET", "/health/ready").status == 200
        assert "Traceback" not in server.said
        assert server.runs("?status=parked") == []
