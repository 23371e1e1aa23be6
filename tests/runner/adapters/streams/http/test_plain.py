"""The plain client in the one turn of the loop in which an answer arrives and its caller is cancelled."""

import asyncio

import pytest

from registry.base.networks import Networks
from runner.adapters.streams.http.plain import PlainClient
from runner.adapters.streams.http.wire import outgoing
from runner.saga.exchange import Answer, Exchange
from tests.runner.adapters.streams.http.calls import AMPLE_S, a_request
from tests.support.services import Peer, answer, serve


def test_a_caller_cancelled_after_its_answer_does_not_close_the_connection_under_the_next_one() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        arrived, speak = asyncio.Event(), asyncio.Event()

        async def script(peer: Peer) -> None:
            while True:
                await peer.request()
                arrived.set()
                await speak.wait()
                peer.write(answer(200, b"ok"))

        async with serve(script) as service:
            client = PlainClient(
                Networks(), max_connections=2, max_response_bytes=100, connect_seconds=5, idle_seconds=4
            )
            call = outgoing(a_request(), base_url=service.url, extra_headers=(), deadline=loop.time() + AMPLE_S)
            first = loop.create_task(client.exchange(call))
            await arrived.wait()
            [connection] = client._open
            under_way = connection.answer
            assert under_way is not None
            next_one = client.exchange(call)
            taken: asyncio.Future[asyncio.Future[Exchange]] = loop.create_future()

            def between_the_answer_and_its_caller() -> None:
                # Queued anew each turn, so ahead of the caller that the answer wakes.
                if under_way.done():
                    first.cancel()
                    taken.set_result(next_one.send(None))
                else:
                    loop.call_soon(between_the_answer_and_its_caller)

            loop.call_soon(between_the_answer_and_its_caller)
            speak.set()
            await asyncio.wait([await taken], timeout=AMPLE_S)
            with pytest.raises(StopIteration) as end:
                next_one.send(None)
            assert isinstance(end.value.value, Answer)
            assert first.cancelled()
            assert service.connections == 1
            await client.close()

    asyncio.run(scenario())
