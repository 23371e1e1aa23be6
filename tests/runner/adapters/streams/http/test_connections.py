"""Connections between calls: kept, dropped in time, never shared, and no request is ever sent twice."""

import asyncio

import pytest

from runner.saga.exchange import Answer
from tests.runner.adapters.streams.http.calls import a_request, send, verdict
from tests.runner.adapters.streams.http.conftest import Net
from tests.support.services import Peer, always, answer


async def turns_of_the_loop() -> None:
    """Let what was written on one end of the loopback be read on the other."""
    for _ in range(50):
        await asyncio.sleep(0)


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def test_one_connection_serves_calls_that_follow_each_other(net: Net) -> None:
    async def scenario() -> None:
        async with net.service(always(answer(200, b"ok"))) as service, net.sink() as sink:
            for method in METHODS * 3:
                request = a_request(method)
                got = await send(sink, service.url, request)
                if method == "HEAD":  # it was given a body nonetheless, so its connection cannot be trusted
                    continue
                assert isinstance(got, Answer)
            assert len(service.received) == 18
            assert service.connections <= 4

    net.run(scenario())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_request_on_a_kept_connection_that_breaks_is_sent_once_only(net: Net, method: str, how: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.write(answer())
        await peer.request()
        if how == "reset":
            peer.reset()

    async def scenario() -> None:
        async with net.service(script) as service, net.sink() as sink:
            assert isinstance(await send(sink, service.url), Answer)
            assert verdict(await send(sink, service.url, a_request(method))) == ("unreachable", True, 0)
            assert [one.connection for one in service.received] == [1, 1]
            assert service.connections == 1

    net.run(scenario())


@pytest.mark.parametrize("method", METHODS)
def test_a_request_on_a_new_connection_that_breaks_is_sent_once_only(net: Net, method: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    async def scenario() -> None:
        async with net.service(script) as service, net.sink() as sink:
            assert verdict(await send(sink, service.url, a_request(method))) == ("unreachable", True, 0)
            assert len(service.received) == 1

    net.run(scenario())


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_connection_that_the_service_closed_meanwhile_is_not_used(net: Net, how: str) -> None:
    async def scenario() -> None:
        gone = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            peer.write(answer())
            if peer.number == 1:
                await closing.wait()
                if how == "reset":
                    peer.reset()
                else:
                    await peer.close()
                gone.set()
            else:
                await peer.client_closed()

        closing = asyncio.Event()
        async with net.service(script) as service, net.sink() as sink:
            assert isinstance(await send(sink, service.url), Answer)
            closing.set()
            await gone.wait()
            await turns_of_the_loop()
            assert isinstance(await send(sink, service.url), Answer)
            assert [one.connection for one in service.received] == [1, 2]

    net.run(scenario())


def test_a_connection_that_was_idle_for_long_is_closed(net: Net) -> None:
    async def scenario() -> None:
        gone = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            peer.write(answer())
            await peer.client_closed()
            gone.set()

        async with net.service(script) as service, net.sink(idle_seconds=0.05) as sink:
            assert isinstance(await send(sink, service.url), Answer)
            await gone.wait()
            assert isinstance(await send(sink, service.url), Answer)
            assert service.connections == 2

    net.run(scenario())


@pytest.mark.parametrize(
    "surplus",
    [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong", b"HTTP/1.1 2", b"surplus"],
    ids=["whole", "begun", "garbage"],
)
def test_bytes_that_nobody_asked_for_never_become_the_answer_to_the_next_call(net: Net, surplus: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.write(answer(200, b"right") + (surplus if peer.number == 1 else b""))
        # aiohttp forgets an answer that has only begun, and keeps the connection.
        await peer.request()
        peer.write(answer(200, b"right"))
        await peer.client_closed()

    async def scenario() -> None:
        async with net.service(script) as service, net.sink() as sink:
            first = await send(sink, service.url)
            second = await send(sink, service.url)
            assert isinstance(second, Answer)
            assert second.body == b"right"
            if isinstance(first, Answer):
                assert first.body == b"right"
            if net.scheme == "http":
                assert service.connections == 2

    net.run(scenario())


def test_bytes_that_come_while_idle_end_the_connection(net: Net) -> None:
    async def scenario() -> None:
        speak = asyncio.Event()
        spoken = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            peer.write(answer(200, b"right"))
            if peer.number == 1:
                await speak.wait()
                peer.write(answer(200, b"wrong"))
                spoken.set()
            await peer.client_closed()

        async with net.service(script) as service, net.sink() as sink:
            await send(sink, service.url)
            speak.set()
            await spoken.wait()
            await turns_of_the_loop()
            got = await send(sink, service.url)
            assert isinstance(got, Answer)
            assert got.body == b"right"
            assert service.connections == 2

    net.run(scenario())


def test_a_cancelled_call_closes_its_connection_and_gives_its_place_back(net: Net) -> None:
    async def scenario() -> None:
        arrived = asyncio.Event()
        gone = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            if peer.number > 1:
                peer.write(answer())
            arrived.set()
            await peer.client_closed()
            gone.set()

        async with net.service(script) as service, net.sink(max_connections=1) as sink:
            call = asyncio.create_task(send(sink, service.url))
            await arrived.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await gone.wait()
            assert isinstance(await send(sink, service.url), Answer)
            assert service.connections == 2

    net.run(scenario())


def test_a_call_cancelled_as_its_answer_arrives_harms_no_other_call(net: Net) -> None:
    async def scenario() -> None:
        async with net.service(always(answer(200, b"ok"))) as service, net.sink(max_connections=3) as sink:
            for turns in range(40):
                doomed = asyncio.create_task(send(sink, service.url))
                for _ in range(turns):
                    await asyncio.sleep(0)
                doomed.cancel()
                others = [asyncio.create_task(send(sink, service.url)) for _ in range(2)]
                for other in others:
                    assert isinstance(await other, Answer)
                await asyncio.wait([doomed])

    net.run(scenario())


def test_a_call_cancelled_while_it_waits_for_a_place_leaves_the_line(net: Net) -> None:
    async def scenario() -> None:
        arrived = asyncio.Event()
        speak = asyncio.Event()

        async def script(peer: Peer) -> None:
            while True:
                await peer.request()
                arrived.set()
                await speak.wait()
                peer.write(answer())

        async with net.service(script) as service, net.sink(max_connections=1) as sink:
            first = asyncio.create_task(send(sink, service.url))
            await arrived.wait()
            second, third = (asyncio.create_task(send(sink, service.url)) for _ in range(2))
            await asyncio.sleep(0)
            second.cancel()
            speak.set()
            assert isinstance(await first, Answer)
            assert isinstance(await third, Answer)
            assert second.cancelled()
            assert len(service.received) == 2

    net.run(scenario())


def test_closing_ends_the_calls_under_way_and_refuses_later_ones(net: Net) -> None:
    async def scenario() -> None:
        arrived = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            arrived.set()
            await peer.client_closed()

        async with net.service(script) as service, net.sink(max_connections=1) as sink:
            first, waiting = (asyncio.create_task(send(sink, service.url)) for _ in range(2))
            await arrived.wait()
            await sink.close()
            assert verdict(await first) == ("unreachable", True, 0)
            assert verdict(await waiting) == ("unreachable", False, 0)
            assert verdict(await send(sink, service.url)) == ("unreachable", False, 0)
            assert len(service.received) == 1

    net.run(scenario())


def test_an_idle_connection_makes_room_for_another_service(net: Net) -> None:
    async def scenario() -> None:
        gone = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            peer.write(answer())
            await peer.client_closed()
            gone.set()

        async with (
            net.service(script) as one,
            net.service(always(answer())) as other,
            net.sink(max_connections=1, idle_seconds=0.3 if net.scheme == "https" else 60) as sink,
        ):
            assert isinstance(await send(sink, one.url), Answer)
            assert isinstance(await send(sink, other.url), Answer)
            await gone.wait()

    net.run(scenario())
