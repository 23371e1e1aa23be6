"""What comes of one attempt, for every way in which a service can behave."""

import asyncio

import pytest

from runner.saga.exchange import Answer
from tests.runner.adapters.streams.http.calls import a_request, send, verdict
from tests.runner.adapters.streams.http.conftest import Net
from tests.support.ports import free_port
from tests.support.services import Peer, Script, always, answer


def saying(*pieces: bytes, then: str = "close") -> Script:
    """Read one request, write the pieces one by one, then `close`, `reset` or `stay`."""

    async def script(peer: Peer) -> None:
        await peer.request()
        for piece in pieces:
            peer.write(piece)
            await asyncio.sleep(0)
        if then == "reset":
            peer.reset()
        elif then == "stay":
            await peer.client_closed()

    return script


@pytest.mark.parametrize("status", [200, 201, 302, 304, 404, 409, 425, 429, 500, 503, 599])
def test_a_whole_answer_of_any_status_is_handed_over_as_it_is(net: Net, status: int) -> None:
    body = b"" if status == 304 else b'{"id":1}'
    headers = (("Content-Type", "application/json"), ("Retry-After", "3"))

    async def scenario() -> None:
        async with net.service(always(answer(status, body, headers))) as service, net.sink() as sink:
            got = await send(sink, service.url)
            assert isinstance(got, Answer)
            assert (got.status, got.body) == (status, body)
            assert got.headers["content-type"] == "application/json"
            assert got.headers["retry-after"] == "3"

    net.run(scenario())


def test_a_header_sent_twice_is_joined_and_no_byte_of_it_is_lost(net: Net) -> None:
    raw = b"HTTP/1.1 200 OK\r\nX-Tag: a\r\nx-tag:  b \r\nX-Odd: caf\xe9\r\ncontent-length: 0\r\n\r\n"

    async def scenario() -> None:
        async with net.service(always(raw)) as service, net.sink() as sink:
            got = await send(sink, service.url)
            assert isinstance(got, Answer)
            assert got.headers == {"x-tag": "a, b", "x-odd": "caf\xe9", "content-length": "0"}

    net.run(scenario())


@pytest.mark.parametrize(
    ("pieces", "then", "body"),
    [
        (
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n",),
            "stay",
            b"hello!",
        ),
        (
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
                b"5\r\nhel",
                b"lo\r\n0\r\nx-sum: 1\r\n\r\n",
            ),
            "stay",
            b"hello",
        ),
        ((b"HTTP/1.1 200 OK\r\n", b"content-length: 5\r\n\r\nhe", b"llo"), "stay", b"hello"),
        ((b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"), "close", b"hello"),
        ((b"HTTP/1.0 200 OK\r\n\r\nhello",), "close", b"hello"),
        ((b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",), "close", b"hello"),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), "stay", b""),
    ],
    ids=["chunked", "chunked-in-pieces", "length", "until-close", "http-1.0", "connection-close", "204"],
)
def test_a_body_is_read_however_it_is_delimited(net: Net, pieces: tuple[bytes, ...], then: str, body: bytes) -> None:
    async def scenario() -> None:
        async with net.service(saying(*pieces, then=then)) as service, net.sink() as sink:
            got = await send(sink, service.url)
            assert isinstance(got, Answer)
            assert got.body == body
            assert list(got.headers) in (
                [],
                ["transfer-encoding"],
                ["content-length"],
                ["connection", "content-length"],
            )

    net.run(scenario())


def test_interim_answers_are_skipped(net: Net) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"

    async def scenario() -> None:
        async with net.service(always(interim + answer(201, b"ok"))) as service, net.sink() as sink:
            for _ in range(2):
                got = await send(sink, service.url)
                assert got == Answer(status=201, headers={"content-length": "2"}, body=b"ok")
            assert service.connections == 1

    net.run(scenario())


def test_a_refused_connection_is_known_not_to_have_been_sent(net: Net) -> None:
    async def scenario() -> None:
        async with net.sink() as sink:
            got = await send(sink, f"{net.scheme}://127.0.0.1:{free_port()}")
            assert verdict(got) == ("unreachable", False, 0)

    net.run(scenario())


def test_an_unknown_name_is_known_not_to_have_been_sent(net: Net) -> None:
    async def scenario() -> None:
        async with net.sink() as sink:
            for host in ("nobody.invalid", "a" * 70 + ".invalid"):
                got = await send(sink, f"{net.scheme}://{host}:1")
                assert verdict(got) == ("unreachable", False, 0)
                assert host in got.detail  # type: ignore[union-attr]  # verdict has made sure

    net.run(scenario())


@pytest.mark.parametrize(
    ("pieces", "then", "outcome"),
    [
        ((), "close", ("unreachable", True, 0)),
        ((), "reset", ("unreachable", True, 0)),
        ((b"HTTP/1.1 200 OK\r\ncontent-le",), "close", ("unreachable", True, 0)),
        ((answer(200, b"abc", length=10),), "close", ("unexpected", True, 200)),
        (
            (b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",),
            "close",
            ("unexpected", True, 500),
        ),
        ((b"\x16\x03\x01 what is this\r\n\r\n",), "stay", ("unexpected", True, 0)),
        ((b"HTTP/1.1 2x0 OK\r\n\r\n",), "stay", ("unexpected", True, 0)),
        ((b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",), "stay", ("unexpected", True, 999)),
        (
            (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",),
            "stay",
            ("unexpected", True, 101),
        ),
        (
            (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08",),
            "stay",
            ("unexpected", True, 200),
        ),
    ],
    ids=[
        "closed-unanswered",
        "reset-unanswered",
        "closed-in-the-head",
        "short-body",
        "short-chunk",
        "garbage",
        "no-status",
        "odd-status",
        "upgrade",
        "coded",
    ],
)
def test_what_is_no_whole_answer_is_unknown(
    net: Net, pieces: tuple[bytes, ...], then: str, outcome: tuple[str, bool, int]
) -> None:
    async def scenario() -> None:
        async with net.service(saying(*pieces, then=then)) as service, net.sink() as sink:
            assert verdict(await send(sink, service.url)) == outcome
            assert len(service.received) == 1

    net.run(scenario())


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nhello",
    ],
)
def test_an_unreadable_length_is_unknown(net: Net, raw: bytes) -> None:
    async def scenario() -> None:
        async with net.service(saying(raw, then="stay")) as service, net.sink() as sink:
            kind, sent, _ = verdict(await send(sink, service.url))
            assert (kind, sent) == ("unexpected", True)

    net.run(scenario())


@pytest.mark.parametrize(
    ("pieces", "status"),
    [((), 0), ((b"HTTP/1.1 200 O",), 0), ((answer(200, b"abc", length=10),), 200)],
    ids=["silent", "in-the-head", "in-the-body"],
)
def test_an_answer_that_is_not_whole_in_time_is_a_timeout_and_its_connection_is_closed(
    net: Net, pieces: tuple[bytes, ...], status: int
) -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await saying(*pieces, then="stay")(peer)
        closed.set()

    async def scenario() -> None:
        async with net.service(script) as service, net.sink() as sink:
            assert verdict(await send(sink, service.url, timeout=0.3)) == ("timeout", True, status)
            await closed.wait()

    net.run(scenario())


def test_drops_that_keep_coming_do_not_stretch_the_timeout(net: Net) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await peer.pour(b"1\r\n.\r\n", limit=2**30)

    async def scenario() -> None:
        async with net.service(script) as service, net.sink(max_response_bytes=2**40) as sink:
            assert verdict(await send(sink, service.url, timeout=0.3)) == ("timeout", True, 200)

    net.run(scenario())


def test_no_time_left_means_nothing_is_sent(net: Net) -> None:
    async def scenario() -> None:
        async with net.service(always(answer())) as service, net.sink() as sink:
            assert verdict(await send(sink, service.url, timeout=0)) == ("unreachable", False, 0)
            assert service.received == []

    net.run(scenario())


def test_a_read_of_the_head_alone_waits_for_no_body_and_keeps_its_connection(net: Net) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"

    async def scenario() -> None:
        async with net.service(always(head, head, answer(200, b"body"))) as service, net.sink() as sink:
            for _ in range(2):
                got = await send(sink, service.url, a_request("HEAD"))
                assert got == Answer(status=200, headers={"content-length": "1000"}, body=b"")
            got = await send(sink, service.url, a_request("GET"))
            assert isinstance(got, Answer)
            assert got.body == b"body"
            assert service.connections == 1

    net.run(scenario())


def test_an_early_answer_counts_although_the_request_was_not_read(net: Net) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.write(answer(413, b"too much"))
        await peer.client_closed()

    async def scenario() -> None:
        async with net.service(script) as service, net.sink() as sink:
            got = await send(sink, service.url, a_request(body=b"x" * 8_000_000))
            assert isinstance(got, Answer)
            assert (got.status, got.body) == (413, b"too much")
            # The rest of the request is still on the first connection.
            got = await send(sink, service.url, a_request(body=b"x"))
            assert isinstance(got, Answer)
            assert service.connections == 2

    net.run(scenario())


def test_a_large_body_arrives_whole(net: Net) -> None:
    body = bytes(range(256)) * 12_000

    async def scenario() -> None:
        async with net.service(always(answer())) as service, net.sink() as sink:
            assert isinstance(await send(sink, service.url, a_request(body=body)), Answer)
            assert service.received[0].body == body

    net.run(scenario())
