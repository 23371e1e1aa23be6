"""Hostile and broken services: whatever they send, memory and time are bounded."""

import asyncio

import pytest

from runner.saga.exchange import Answer
from tests.runner.adapters.streams.http.calls import send, verdict
from tests.runner.adapters.streams.http.conftest import Net
from tests.support.services import Peer, Script, always, answer

MEGABYTE = 1_048_576


def endless(start: bytes, drop: bytes) -> Script:
    """Answers with `start` and then `drop` for ever, until the client has had enough."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.write(start)
        await peer.pour(drop, limit=4096 * MEGABYTE)

    return script


@pytest.mark.parametrize(
    ("start", "drop", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536, 200),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", b"x" * 65_536, 200),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"400\r\n" + b"x" * 1024 + b"\r\n", 200),
    ],
    ids=["until-close", "length", "chunked"],
)
def test_a_body_without_end_is_unknown_and_the_connection_is_closed(
    net: Net, start: bytes, drop: bytes, status: int
) -> None:
    async def scenario() -> None:
        async with net.service(endless(start, drop)) as service, net.sink() as sink:
            assert verdict(await send(sink, service.url)) == ("unexpected", True, status)

    net.run(scenario())


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"y" * 1_000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nx-long: ", b"y" * 65_536),
        (b"HTTP/1.1 200 ", b"y" * 65_536),
    ],
    ids=["many-headers", "long-header", "long-reason"],
)
def test_a_head_without_end_is_unknown_and_the_connection_is_closed(net: Net, start: bytes, drop: bytes) -> None:
    async def scenario() -> None:
        async with net.service(endless(start, drop)) as service, net.sink() as sink:
            kind, sent, _ = verdict(await send(sink, service.url))
            assert (kind, sent) == ("unexpected", True)

    net.run(scenario())


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
            b"x-trailer: " + b"y" * 1_000 + b"\r\n",
        ),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;", b"y" * 65_536),
    ],
    ids=["trailers", "chunk-extension"],
)
def test_framing_without_end_is_unknown_and_the_connection_is_closed(net: Net, start: bytes, drop: bytes) -> None:
    async def scenario() -> None:
        async with net.service(endless(start, drop)) as service, net.sink() as sink:
            kind, sent, _ = verdict(await send(sink, service.url, timeout=1))
            assert sent
            assert kind in ("unexpected", "timeout")

    net.run(scenario())


def test_interim_answers_without_end_never_become_an_answer(net: Net) -> None:
    async def scenario() -> None:
        async with (
            net.service(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n")) as service,
            net.sink() as sink,
        ):
            kind, sent, status = verdict(await send(sink, service.url, timeout=0.5))
            assert (sent, status) == (True, 0)
            assert kind == ("unexpected" if net.scheme == "http" else "timeout")

    net.run(scenario())


@pytest.mark.parametrize("over", [0, 1])
def test_the_body_may_have_exactly_the_permitted_size(net: Net, over: int) -> None:
    async def scenario() -> None:
        async with (
            net.service(always(answer(200, b"x" * (5_000 + over)))) as service,
            net.sink(max_response_bytes=5_000) as sink,
        ):
            got = await send(sink, service.url)
            if over:
                assert verdict(got) == ("unexpected", True, 200)
                assert "5000" in got.detail  # type: ignore[union-attr]  # verdict has made sure
            else:
                assert isinstance(got, Answer)

    net.run(scenario())


@pytest.mark.parametrize(("size", "fits"), [(60_000, True), (66_000, False)])
def test_a_head_may_have_sixty_four_kibibytes(net: Net, size: int, fits: bool) -> None:
    raw = answer(200, b"ok", tuple((f"x-{n}", "y" * 990) for n in range(size // 1_000)))

    async def scenario() -> None:
        async with net.service(always(raw)) as service, net.sink() as sink:
            got = await send(sink, service.url)
            if fits:
                assert isinstance(got, Answer)
                assert len(got.headers) == size // 1_000 + 1
            else:
                kind, sent, _ = verdict(got)
                assert (kind, sent) == ("unexpected", True)

    net.run(scenario())


def test_calls_beyond_the_limit_wait_for_their_turn_in_order(net: Net) -> None:
    async def scenario() -> None:
        let_go = asyncio.Event()
        inside: list[str] = []
        most = 0

        async def script(peer: Peer) -> None:
            nonlocal most
            while True:
                got = await peer.request()
                inside.append(got.target)
                most = max(most, len(inside))
                await let_go.wait()
                inside.remove(got.target)
                peer.write(answer())

        async with net.service(script) as service, net.sink(max_connections=2) as sink:
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(send(sink, service.url)) for _ in range(7)]
                while len(inside) < 2:
                    await asyncio.sleep(0)
                let_go.set()
            assert all(isinstance(call.result(), Answer) for call in calls)
            assert most == 2
            assert service.connections == 2
            assert len(service.received) == 7

    net.run(scenario())


def test_a_call_that_finds_no_place_in_time_was_not_sent(net: Net) -> None:
    async def scenario() -> None:
        arrived = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            arrived.set()
            await peer.client_closed()

        async with net.service(script) as service, net.sink(max_connections=1) as sink:
            first = asyncio.create_task(send(sink, service.url))
            await arrived.wait()
            assert verdict(await send(sink, service.url, timeout=0.1)) == ("unreachable", False, 0)
            first.cancel()
            await asyncio.wait([first])
            assert len(service.received) == 1

    net.run(scenario())
