"""The sink port over HTTP: renders the request, waits for a place, picks the client, follows redirects."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Protocol

import msgspec

from registry.base.networks import Networks
from runner.adapters.streams.http import wire
from runner.adapters.streams.http.gate import Gate
from runner.adapters.streams.http.plain import PlainClient
from runner.saga.exchange import Answer, Exchange, Lost, Request

#: Most redirects that one GET or HEAD follows.
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class _Client(Protocol):
    async def exchange(self, call: wire.Outgoing) -> Exchange: ...

    async def close(self) -> None: ...


class HttpSink:
    """Outgoing HTTP of one event loop.

    - One call of `send` is one request on the wire, but for redirects of a GET or HEAD; nothing is ever
      resent.
    - `Lost.sent` is False only where no byte can have left. `timeout` always means that something was sent: a
      place or a connection that did not come in time is `unreachable`.
    - An effect's redirect comes back as the `Answer` that it is; only the caller knows what it means.
    """

    def __init__(
        self,
        *,
        max_connections: int = 200,
        max_response_bytes: int = 1_048_576,
        allowed_networks: Sequence[str] = (),
        connect_seconds: float = 5.0,
        idle_seconds: float = 4.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Needs no event loop yet.

        `max_connections`: calls at once over all services, the others wait in line; also what plain http
        keeps open, idle ones included. `idle_seconds`: an idle connection is closed after so long; less than
        the 5 s after which common servers close theirs. `ssl_context`: None for the system's trust store.
        Raises ValueError for an entry of `allowed_networks` that is not a network.
        """
        self._networks = Networks(allowed_networks)
        self._gate = Gate(max_connections)
        self._max_response_bytes = max_response_bytes
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._ssl_context = ssl_context
        self._plain = PlainClient(
            self._networks,
            max_connections=max_connections,
            max_response_bytes=max_response_bytes,
            connect_seconds=connect_seconds,
            idle_seconds=idle_seconds,
        )
        self._secure: _Client | None = None
        self._closed = False

    async def send(
        self,
        request: Request,
        *,
        base_url: str,
        extra_headers: Sequence[tuple[str, str]],
        timeout: float,  # a deadline of our own costs less than asyncio.timeout
    ) -> Exchange:
        """One attempt, see the class. `timeout`: seconds, over everything from the line to the last byte."""
        deadline = asyncio.get_running_loop().time() + timeout
        try:
            call = wire.outgoing(request, base_url=base_url, extra_headers=extra_headers, deadline=deadline)
        except wire.BadAddress as exc:
            return wire.unreachable(str(exc), sent=False)
        except wire.Unsendable as exc:
            return Lost(kind="unexpected", detail=str(exc), sent=False)
        if timeout <= 0:
            return wire.unreachable(f"No time was left to call {call.origin.authority}.", sent=False)
        if self._closed:
            return wire.unreachable("The runner is stopping and calls nobody any more.", sent=False)
        gate = self._gate
        if not gate.enter() and not await gate.wait(deadline):
            return wire.unreachable(
                f"All connections (http.maxConnections) were in use; {call.origin.authority} was not called.",
                sent=False,
            )
        try:
            client = self._plain if call.origin.scheme == "http" else self._https()
            if request.reads:
                return await _follow(client, call)
            return await client.exchange(call)
        finally:
            gate.leave()

    async def close(self) -> None:
        """Close every connection. Calls under way end as lost, later ones are refused."""
        self._closed = True
        self._gate.dismiss()
        await self._plain.close()
        if self._secure is not None:
            await self._secure.close()

    def _https(self) -> _Client:
        if self._secure is None:
            from runner.adapters.streams.http.secure import SecureClient

            self._secure = SecureClient(
                self._networks,
                max_response_bytes=self._max_response_bytes,
                connect_seconds=self._connect_seconds,
                idle_seconds=self._idle_seconds,
                ssl_context=self._ssl_context,
            )
        return self._secure


async def _follow(client: _Client, call: wire.Outgoing) -> Exchange:
    """The answer at the end of a read's redirects, as long as they stay on the same scheme, host and port."""
    seen = {call.path}
    while True:
        exchange = await client.exchange(call)
        if not isinstance(exchange, Answer) or exchange.status not in _REDIRECTS:
            return exchange
        location = exchange.headers.get("location")
        path = None if location is None else wire.redirected(call, location)
        if path is None:
            why = "names no place" if location is None else "leads to another host"
        elif path in seen:
            why = "leads in a circle"
        elif len(seen) > _MAX_REDIRECTS:
            why = f"is one of more than {_MAX_REDIRECTS}"
        else:
            seen.add(path)
            call = msgspec.structs.replace(call, path=path)
            continue
        return Lost(
            kind="redirect",
            detail=f"{call.origin.authority} answered {exchange.status} with a redirect that {why}.",
            sent=True,
            status=exchange.status,
        )
