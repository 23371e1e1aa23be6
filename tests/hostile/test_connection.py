"""What one connection can make a server hold, wait for, or get wrong."""

import asyncio
from collections.abc import Callable

import pytest

from registry.base import connection, guest
from tests.hostile.lines import LOOPS, Echo, calling, played, serving

GOOD = b"GET /good HTTP/1.1\r\nhost: x\r\n\r\n"

Loop = Callable[[], asyncio.AbstractEventLoop]

pytestmark = pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])


@pytest.mark.parametrize(
    ("first", "more", "status"),
    [
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"", 414),
        (b"GET /", b"a" * 65_536, 414),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 90) for n in range(700)) + b"\r\n", b"", 431),
        (b"GET / HTTP/1.1\r\nx: ", b"y" * 65_536, 431),
        (b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 10_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"x" * 70_000, b"", 431),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"y" * 65_536, 431),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n" * 10_000, 431),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;", b"y" * 65_536, 431),
        (b"", b"\r\n" * 30_000, 431),
    ],
    ids=[
        *("url", "url-without-end", "fields", "value-without-end", "fields-without-end", "name"),
        *("trailer-without-end", "trailers-without-end", "chunk-extension", "empty-lines"),
    ],
)
def test_a_head_has_a_size_and_the_answer_says_so(loop: Loop, first: bytes, more: bytes, status: int) -> None:
    async def scene() -> None:
        async with serving(Echo()) as port:
            async with calling(port) as caller:
                await caller.send(first)
                for _ in range(20 if more else 0):
                    await caller.send(more)
                came, body = await caller.answer()
                assert came == status, body
                assert await caller.closed() == b""
            async with calling(port) as caller:
                await caller.send(GOOD)
                assert await caller.answer() == (200, b"GET /good ")

    played(loop, scene())


def test_a_head_just_below_the_limits_is_served(loop: Loop) -> None:
    async def scene() -> None:
        async with serving(Echo()) as port, calling(port) as caller:
            fields = b"".join(b"x-%02d: %s\r\n" % (n, b"y" * 990) for n in range(60))
            for _ in range(3):
                await caller.send(b"GET /" + b"a" * 16_000 + b" HTTP/1.1\r\n" + fields + b"\r\n")
                status, body = await caller.answer()
                assert status == 200
                assert len(body) == len("GET /") + 16_000 + 1

    played(loop, scene())


@pytest.mark.parametrize("first", [b"G", b"GET / HTTP/1.1\r\nx: y", b"\r\n"], ids=["word", "field", "empty-line"])
def test_a_head_that_does_not_come_to_its_end_is_a_408(
    loop: Loop, first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT", 0.05)

    async def scene() -> None:
        async with serving(Echo()) as port, calling(port) as caller:
            await caller.send(first)
            status, _ = await caller.answer()
            assert status == 408

    played(loop, scene())


def test_a_connection_that_only_drips_after_its_answer_is_cut(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT", 0.05)

    async def scene() -> None:
        async with serving(Echo()) as port, calling(port) as caller:
            await caller.send(b"POST /hasty HTTP/1.1\r\ncontent-length: 1000\r\n\r\na")
            assert (await caller.answer())[0] == 200
            await caller.send(b"a")
            assert await caller.closed() == b""

    played(loop, scene())


def test_a_body_that_comes_after_its_answer_leaves_the_connection_good(loop: Loop) -> None:
    async def scene() -> None:
        async with serving(Echo()) as port, calling(port) as caller:
            await caller.send(b"POST /hasty HTTP/1.1\r\ncontent-length: 100000\r\n\r\n")
            assert (await caller.answer())[0] == 200
            await caller.send(b"a" * 100_000 + GOOD)
            assert await caller.answer() == (200, b"GET /good ")

    played(loop, scene())


def test_a_caller_that_has_said_all_and_only_listens_gets_its_answers(loop: Loop) -> None:
    async def scene() -> None:
        app = Echo()
        app.gate.clear()
        async with serving(app) as port, calling(port) as caller:
            await caller.send(b"POST /a HTTP/1.1\r\ncontent-length: 1\r\n\r\n1" + GOOD)
            caller.writer.write_eof()
            await app.asked.wait()
            app.gate.set()
            assert await caller.answer() == (200, b"POST /a 1")
            assert await caller.answer() == (200, b"GET /good ")
            assert await caller.closed() == b""

    played(loop, scene())


@pytest.mark.parametrize("sent", [b"GET /", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n1", b""])
def test_a_caller_that_stops_in_the_middle_is_hung_up_on(loop: Loop, sent: bytes) -> None:
    async def scene() -> None:
        app = Echo()
        async with serving(app) as port, calling(port) as caller:
            await caller.send(sent)
            caller.writer.write_eof()
            assert await caller.closed() == b""
            assert app.headers == []

    played(loop, scene())


@pytest.mark.parametrize(
    "garbage", [b"\x00\x01\r\n\r\n", b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"]
)
def test_garbage_behind_a_good_request_is_answered_behind_it(loop: Loop, garbage: bytes) -> None:
    async def scene() -> None:
        app = Echo()
        app.gate.clear()
        async with serving(app) as port, calling(port) as caller:
            await caller.send(GOOD + garbage)
            await app.asked.wait()
            app.gate.set()
            assert await caller.answer() == (200, b"GET /good ")
            assert (await caller.answer())[0] == 400
            assert await caller.closed() == b""
            assert app.begun == ["/good"]

    played(loop, scene())


def test_trailers_do_not_become_headers(loop: Loop) -> None:
    async def scene() -> None:
        app = Echo()
        async with serving(app) as port, calling(port) as caller:
            await caller.send(
                b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
                b"1\r\na\r\n0\r\nidempotency-key: k\r\n\r\n"
            )
            assert await caller.answer() == (200, b"POST / a")
            assert app.headers == [[b"host", b"transfer-encoding"]]

    played(loop, scene())


@pytest.mark.parametrize("apart", [False, True])
def test_a_wish_for_another_protocol_is_ignored_and_the_connection_stays_good(loop: Loop, apart: bool) -> None:
    async def scene() -> None:
        async with serving(Echo()) as port, calling(port) as caller:
            wish = (
                b"POST /a HTTP/1.1\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\ncontent-length: 1\r\n\r\n1"
            )
            await caller.send(wish if apart else wish + GOOD)
            assert await caller.answer() == (200, b"POST /a 1")
            if apart:
                await caller.send(GOOD)
            assert await caller.answer() == (200, b"GET /good ")

    played(loop, scene())


def test_a_caller_that_takes_nothing_of_its_answer_is_cut_off(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALL", 0.05)

    async def scene() -> None:
        app = Echo()
        async with serving(app) as port, calling(port) as caller:
            caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await caller.send(b"GET /much HTTP/1.1\r\nhost: x\r\n\r\n" * 4)
            # The second is not written while the first is not taken: only the cut ends its work.
            assert [await app.done.get(), await app.done.get()] == ["/much", "/much"]
            caller.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert len(await caller.closed()) < 2 * app.much

    played(loop, scene())


def test_more_connections_than_the_server_takes_are_turned_away(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "MOST_CONNECTIONS", 2)

    async def scene() -> None:
        async with serving(Echo()) as port, calling(port) as one, calling(port) as two:
            for caller in (one, two):
                await caller.send(GOOD)
                assert (await caller.answer())[0] == 200
            async with calling(port) as third:
                await third.send(GOOD)
                assert (await third.answer())[0] == 503
                assert await third.closed() == b""
            await one.send(GOOD)
            assert (await one.answer())[0] == 200

    played(loop, scene())
