"""Requests to a runner that no honest caller sends: it never fails, never hangs, keeps little, and goes on serving."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.processes import PATIENCE_S, SHOP, Server, dev

pytestmark = pytest.mark.process

HEAD = b"POST /examples/switch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
#: Resident memory in KiB that a runner may gain by anything in this file; a real leak of what is sent gains far more.
MOST_GAINED = 65_536


def connected(shop: Server) -> socket.socket:
    host, port = shop.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def told(shop: Server, sent: bytes) -> bytes:
    """All that these bytes are answered; the caller then closes its side, so the server must close its own."""
    came = b""
    with connected(shop) as caller:
        try:
            caller.sendall(sent)
            caller.shutdown(socket.SHUT_WR)
            while part := caller.recv(1 << 20):
                came += part
        except ConnectionError:
            pass
    return came


def said(shop: Server, sent: bytes) -> list[int]:
    """The statuses of all answers to these bytes."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", told(shop, sent))]


def memory(shop: Server) -> int:
    assert shop.process is not None
    status = Path(f"/proc/{shop.process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+([0-9]+) kB", status)[0])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A shop of its own: after every test it is as well and nearly as small as before."""
    with dev(tmp_path_factory.mktemp("shop"), (SHOP,)) as server:
        assert server.post("/examples/switch", {"total": 1}).status == 200
        yield server


@pytest.fixture(autouse=True)
def unharmed(shop: Server) -> Iterator[None]:
    before = memory(shop)
    yield
    assert shop.post("/examples/switch", {"total": 1}).status == 200
    assert memory(shop) - before < MOST_GAINED
    assert "Traceback" not in shop.said


PATHS = st.sampled_from(
    ["/examples/switch", "/orders/place", "/orders/check", "/orders", "/", "/api/v1/runs", "//", "/On_x", "/docs/x"]
) | st.text(alphabet="/.%2fFaé\x7f-_~:@", max_size=12).map(lambda text: "/" + text.encode().decode("latin-1"))
TOKENS = st.text(alphabet="abcxyz-019", min_size=1, max_size=8)
FIELDS = st.one_of(
    st.tuples(
        TOKENS,
        st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30),
    ),
    st.tuples(
        st.sampled_from(["idempotency-key", "x-saga-version", "prefer", "content-encoding", "accept", "traceparent"]),
        st.sampled_from(
            ["", "a", '"', '"a"', "1", "-1", "respond-async", "wait=0", "wait=-1", "gzip", "a" * 300, "00-x"]
        ),
    ),
    st.tuples(
        st.just("content-type"),
        st.sampled_from(["application/json", "application/x-www-form-urlencoded", "text/plain", "", ";", "a/b+json"]),
    ),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["total", "orderId", "lines", "customer", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)
BODIES = st.one_of(
    st.binary(max_size=60),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.text(alphabet="ab=&%+2f;é", max_size=30).map(str.encode),
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PURGE"])
QUERIES = st.text(alphabet="ab=&%+2f;[]", max_size=20)


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=METHODS, path=PATHS, query=QUERIES, fields=st.lists(FIELDS, max_size=4), body=BODIES)
def test_no_request_makes_the_runner_fail(
    shop: Server, method: str, path: str, query: str, fields: list[tuple[str, str]], body: bytes
) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    head = f"{method} {path}?{query} HTTP/1.1\r\nhost: x\r\n{lines}content-length: {len(body)}\r\n\r\n"
    answer = told(shop, head.encode("latin-1") + body)
    (status,) = re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)
    # A saga without a schema may fail on what it was given, and says so; the runner itself must not.
    assert int(status) < 500 or b"\r\nx-saga-run: " in answer.lower(), answer


def posted(body: bytes) -> bytes:
    return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"total":1,"total":1000000}', 400),
        (b'{"total":1' + b"0" * 5_000 + b"}", 400),
        (b'{"total":1' + b"0" * 320 + b"}", 400),
        (b'{"total":1e999}', 400),
        (b'{"total":NaN}', 400),
        (b'{"total":"\xff"}', 400),
        (b'{"total":"\\ud800"}', 400),
        (b'\xef\xbb\xbf{"total":1}', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 100_000, 400),
        (b"[" * 500_000 + b"]" * 500_000, 400),
        (b" " * 1_048_577, 413),
        (b"1" * 1_000_000, 400),
    ],
    ids=[
        *("twice", "10^5000", "10^320", "1e999", "nan", "not-utf-8", "lone-surrogate", "byte-order-mark"),
        *("open-lists", "open-objects", "deep", "oversized", "long-number"),
    ],
)
def test_a_hostile_body_is_refused(shop: Server, body: bytes, status: int) -> None:
    assert said(shop, posted(body)) == [status]


def test_an_idempotency_key_sent_twice_starts_nothing(shop: Server) -> None:
    sent = posted(b'{"total":1}').replace(b"host: x\r\n", b"host: x\r\nidempotency-key: a\r\nidempotency-key: b\r\n")
    assert said(shop, sent) == [400]


@pytest.mark.parametrize(
    "framing",
    [
        b"content-length: 11\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 11\r\n",
        b"content-length: 11\r\ncontent-length: 11\r\n",
        b"content-length: 11, 11\r\n",
        b"content-length: +11\r\n",
        b"content-length: 0x0b\r\n",
        b"content-length : 11\r\n",
        b"transfer-encoding : chunked\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        b"x: y\r\n content-length: 11\r\n",
        b"x: y\ncontent-length: 11\r\n",
    ],
)
def test_a_body_of_doubtful_length_hides_no_second_request(shop: Server, framing: bytes) -> None:
    hidden = b"POST /examples/switch HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    assert said(shop, HEAD + framing + b"\r\n" + b'{"total":1}' + hidden) == [400]


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"b;\x00\r\n",
        b'b\r\n{"total":1}XX0\r\n\r\n',
        b"fffffffffffffffff\r\n",
        b"b\n",
        b"\r\n",
        b" b\r\n",
    ],
)
def test_chunks_that_are_none_are_a_400(shop: Server, chunks: bytes) -> None:
    assert said(shop, HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunks) == [400]


def test_a_caller_may_leave_at_any_byte(shop: Server) -> None:
    whole = posted(b'{"total":1}')
    for stop in range(len(whole)):
        with connected(shop) as caller:
            caller.sendall(whole[:stop])


def test_many_heads_without_end_cost_little(shop: Server) -> None:
    part = b"x: " + b"y" * 1_000_000
    for _ in range(20):
        with connected(shop) as caller:
            try:
                caller.sendall(b"GET / HTTP/1.1\r\n")
                for _ in range(8):
                    caller.sendall(part)
            except ConnectionError:
                continue
            assert caller.recv(65_536).startswith(b"HTTP/1.1 431 ")


def test_hundreds_of_callers_who_drip_keep_nobody_out(shop: Server) -> None:
    dripping = [connected(shop) for _ in range(300)]
    try:
        for at, caller in enumerate(dripping):
            caller.sendall(posted(b'{"total":1}')[: 20 + at % 100])
        assert shop.post("/examples/switch", {"total": 1}).status == 200
    finally:
        for caller in dripping:
            caller.close()


def test_pipelined_requests_are_answered_each_in_its_turn(shop: Server) -> None:
    one = posted(b'{"total":1}')
    refused = posted(b"{")
    assert said(shop, (one + refused) * 50) == [200, 400] * 50
