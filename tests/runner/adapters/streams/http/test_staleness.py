"""A service that closed its end in the same turn of the event loop in which the next call begins."""

import asyncio
import socket
import threading

from runner.adapters.streams.http import HttpSink
from runner.saga.exchange import Answer
from tests.runner.adapters.streams.http.calls import send
from tests.support.services import PATIENCE_S, answer


def test_an_end_that_the_event_loop_has_not_read_yet_is_noticed_before_anything_is_written() -> None:
    close_now, closed = threading.Event(), threading.Event()
    requests = 0

    def service(listener: socket.socket) -> None:
        nonlocal requests
        for number in range(2):
            connection, _ = listener.accept()
            connection.settimeout(PATIENCE_S)
            with connection:
                requests += bool(connection.recv(65_536))
                connection.sendall(answer())
                if number == 0:
                    close_now.wait(PATIENCE_S)
                else:
                    connection.recv(1)  # until the client closes
            closed.set()

    async def scenario(url: str) -> None:
        loop = asyncio.get_running_loop()
        sink = HttpSink()
        assert isinstance(await send(sink, url), Answer)
        answered_at = loop.time()
        close_now.set()
        assert closed.wait(PATIENCE_S)  # blocks the loop, so that it cannot read the end
        while loop.time() - answered_at < 0.05:
            pass
        assert isinstance(await send(sink, url), Answer)
        await sink.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        thread = threading.Thread(target=service, args=(listener,))
        thread.start()
        asyncio.run(scenario(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join(PATIENCE_S)
    assert requests == 2
