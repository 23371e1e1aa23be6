"""Services that do to the byte what a script says: the only way to have a bad one.

A script is a coroutine function that gets one connection as a `Peer` and ends when it is done with it; then
the service closes it. What came in is kept in `Service.received`, so that a test can count.

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")
        await peer.client_closed()

    async with serve(script) as service:
        ... service.url ...
"""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

#: Seconds after which a script that waits has waited in vain.
PATIENCE_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came over the wire."""

    #: Which connection of the service it came on, from 1.
    connection: int
    method: str
    target: str
    #: As sent, in order.
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of the only header of that name, None where there is none."""
        values = [v for n, v in self.headers if n.lower() == name]
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None


class Peer:
    """One connection, as the service sees it."""

    def __init__(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        received: list[Received],
    ) -> None:
        #: From 1, in the order of arrival.
        self.number = number
        self._reader = reader
        self._writer = writer
        self._received = received

    async def head(self) -> Received:
        """The next request's head; its body stays unread. Raises EOFError if the client closes instead."""
        try:
            raw = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            raise EOFError from exc
        first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = first.split(" ")
        pairs = [line.split(": ", 1) for line in lines]
        return Received(
            connection=self.number, method=method, target=target, headers=[(n, v) for n, v in pairs], body=b""
        )

    async def request(self) -> Received:
        """The next whole request, kept in `Service.received`. Raises EOFError if the client closes."""
        head = await self.head()
        try:
            body = await self._reader.readexactly(int(head.header("content-length") or 0))
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            raise EOFError from exc
        whole = Received(
            connection=head.connection,
            method=head.method,
            target=head.target,
            headers=head.headers,
            body=body,
        )
        self._received.append(whole)
        return whole

    def write(self, data: bytes) -> None:
        """Send these bytes."""
        self._writer.write(data)

    async def pour(self, data: bytes, *, limit: int) -> int:
        """Send `data` again and again, as fast as the client reads, until it closes; the bytes sent.

        Fails after `limit` bytes: the client should have had enough.
        """
        poured = 0
        with contextlib.suppress(ConnectionError):
            while not self._writer.is_closing():
                self._writer.write(data)
                await self._writer.drain()
                await asyncio.sleep(0)  # drain alone lets nobody else run while the buffer has room
                poured += len(data)
                assert poured < limit, f"the client took {poured} bytes without a word"
        return poured

    async def client_closed(self) -> None:
        """Wait until the client has closed or reset the connection; what it still sends is thrown away."""
        with contextlib.suppress(ConnectionError):
            while await asyncio.wait_for(self._reader.read(65_536), PATIENCE_S):
                pass

    async def close(self) -> None:
        """Close in good order, after everything written has left."""
        self._writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()

    def reset(self) -> None:
        """Break the connection as a crashed process or a firewall does (RST)."""
        with socket.socket(fileno=os.dup(self._writer.get_extra_info("socket").fileno())) as handle:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script: TypeAlias = Callable[[Peer], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Service:
    """A running scripted service."""

    url: str
    port: int
    #: Whole requests, in the order in which they were read.
    received: list[Received] = field(default_factory=list)
    #: How many connections were accepted.
    connections: int = 0


def answer(
    status: int = 200,
    body: bytes = b"",
    headers: tuple[tuple[str, str], ...] = (),
    *,
    length: int | None = None,
) -> bytes:
    """The bytes of an HTTP/1.1 answer; `length` to lie about the body's."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} Said\r\n{lines}content-length: {size}\r\n\r\n".encode() + body


def always(*answers: bytes) -> Script:
    """Answers each request of a connection with the next of `answers`, with the last one for ever."""

    async def script(peer: Peer) -> None:
        left = list(answers)
        while True:
            await peer.request()
            peer.write(left.pop(0) if len(left) > 1 else left[0])

    return script


@contextlib.asynccontextmanager
async def serve(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", name: str | None = None
) -> AsyncIterator[Service]:
    """Run `script` for each connection on a free port of `host`; `name` is the host in `Service.url`.

    On leaving, open connections are broken, and whatever failed in a script is raised.
    """
    service = Service(url="", port=0)
    running: set[asyncio.Task[None]] = set()
    failures: list[Exception] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        service.connections += 1
        peer = Peer(service.connections, reader, writer, service.received)
        try:
            await script(peer)
            await peer.close()
        except (EOFError, asyncio.CancelledError):
            pass
        except Exception as exc:
            failures.append(exc)
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            running.discard(task)

    server = await asyncio.start_server(connected, host, 0, ssl=tls)
    service.port = server.sockets[0].getsockname()[1]
    service.url = f"{'https' if tls else 'http'}://{name or host}:{service.port}"
    try:
        yield service
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        if running:
            await asyncio.wait(list(running), timeout=PATIENCE_S)
        await server.wait_closed()
        if failures:
            raise failures[0]
