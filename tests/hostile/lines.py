"""A server in this process, and callers that do to the byte what a test says."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import uvloop

from registry.base.guest import Guest, listening

PATIENCE_S = 20

#: Event loops that servers run on; they differ in how they treat the end of a stream.
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


def played(loop: Callable[[], asyncio.AbstractEventLoop], scene: Coroutine[Any, Any, None]) -> None:
    """Run a scene to its end, in time."""

    async def in_time() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scene

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(in_time())


class Echo:
    """An application that answers with the method, path and body, once `gate` is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        #: Paths, in the order in which requests were begun.
        self.begun: list[str] = []
        #: Paths, as requests are done with, answered or not.
        self.done: asyncio.Queue[str] = asyncio.Queue()
        #: Header names, per request, as they stood after the body.
        self.headers: list[list[bytes]] = []
        #: Bytes of the answer to `/much`.
        self.much = 8 * 1_048_576

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.append(scope["path"])
        self.asked.set()
        body = b""
        if scope["path"] != "/hasty":  # which answers before the body has come
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    return
                body += event["body"]
                if not event["more_body"]:
                    break
        self.headers.append([name for name, _ in scope["headers"]])
        await self.gate.wait()
        said = b" " * self.much if scope["path"] == "/much" else f"{scope['method']} {scope['path']} ".encode() + body
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", str(len(said)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": said})
        self.done.put_nowait(scope["path"])


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[int]:
    """The port on which `app` is served."""
    with listening("127.0.0.1", 0, "the test") as listener:
        guest = Guest(app, listener, grace=1)
        await guest.open()
        try:
            yield guest.port
        finally:
            await guest.close()


class Caller:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        """The next answer: status and body. Raises EOFError where the server closes instead."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: ([0-9]+)", head)
        assert length is not None, head
        return int(head.split(b" ")[1]), await self.reader.readexactly(int(length[1]))

    async def closed(self) -> bytes:
        """What still comes until the server closes."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read()
        return b""


@contextlib.asynccontextmanager
async def calling(port: int) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
