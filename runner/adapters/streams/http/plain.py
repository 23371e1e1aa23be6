"""The client for plain http: kept-alive connections by address, and one clock for all of their deadlines.

It exists because a call through it costs a fraction of the CPU of a general client (`python -m
bench.http_clients`); inside a cluster most calls are plain http and small.
"""

import asyncio
import socket

from registry.base.networks import Networks, Refused
from runner.adapters.streams.http import wire
from runner.adapters.streams.http.connection import Connection
from runner.saga.exchange import Exchange, Lost

#: Deadlines and idle connections are looked at this often, in seconds, so a timeout ends at most so much
#: late. One look over all connections costs less than a timer of its own for each call.
_TICK = 0.02
#: A connection that was idle for longer than this, in seconds, is asked whether the service has closed it
#: meanwhile; under load connections rest for less, and the question is a system call.
_DOUBTFUL_AFTER = 0.01


class PlainClient:
    """Sends each request once, over a connection nobody else uses meanwhile."""

    def __init__(
        self,
        networks: Networks,
        *,
        max_connections: int,
        max_response_bytes: int,
        connect_seconds: float,
        idle_seconds: float,
    ) -> None:
        self._networks = networks
        self._max_connections = max_connections
        self._max_response_bytes = max_response_bytes
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._open: set[Connection] = set()
        self._idle: dict[str, list[Connection]] = {}
        #: Connections that are being made.
        self._dialing = 0
        self._tick: asyncio.TimerHandle | None = None
        self._shut = False
        self._all_gone = asyncio.Event()

    async def exchange(self, call: wire.Outgoing) -> Exchange:
        """One attempt. A caller that is cancelled takes its connection with it."""
        connection = self._take_idle(call.origin.authority)
        if connection is None:
            opened = await self._connect(call)
            if isinstance(opened, Lost):
                return opened
            connection = opened
        fields = "".join([f"{name}: {value}\r\n" for name, value in call.headers])
        data = f"{call.method} {call.path} HTTP/1.1\r\n{fields}\r\n".encode()
        if call.body:
            data += call.body
        answer = connection.ask(data, head_only=call.method == "HEAD", deadline=call.deadline)
        try:
            return await answer
        except asyncio.CancelledError:
            # Once answered the connection may serve somebody else already.
            if connection.answer is answer:
                connection.discard()
            raise

    async def close(self) -> None:
        """Close every connection; calls under way end as lost, and later ones are refused."""
        self._shut = True
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        for connection in list(self._open):
            connection.settle(wire.unreachable("The runner stopped before the answer was whole.", sent=True))
        if self._open:
            await self._all_gone.wait()  # the event loop's next turn

    def _take_idle(self, authority: str) -> Connection | None:
        idle = self._idle.get(authority)
        while idle:
            connection = idle.pop()
            if connection.closed:
                continue
            # What was idle for a while may have been closed by the service in this very turn of the loop, and
            # a request written there would be of unknown outcome; a look at the socket tells.
            age = asyncio.get_running_loop().time() - connection.idle_since
            if age < _DOUBTFUL_AFTER or (age < self._idle_seconds and not connection.is_stale()):
                return connection
            connection.discard()
        return None

    async def _connect(self, call: wire.Outgoing) -> Connection | Lost:
        origin = call.origin
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(call.deadline, loop.time() + self._connect_seconds)) as limit:
                addresses = await self._networks.resolve(origin.host, origin.port)
                until = limit.when()
                assert until is not None
                return await self._dial(addresses, call, until)
        except TimeoutError:
            return wire.unreachable(f"{origin.authority} accepted no connection in time.", sent=False)
        except Refused as exc:
            return wire.unreachable(str(exc), sent=False)
        except socket.gaierror as exc:
            return wire.unreachable(f"The name {origin.host} was not found: {exc.strerror}.", sent=False)
        except OSError as exc:
            return wire.unreachable(f"{origin.authority} accepted no connection: {exc}.", sent=False)

    async def _dial(self, addresses: list[str], call: wire.Outgoing, until: float) -> Connection:
        """A connection to the first address that accepts one; each has an equal share of the time left."""
        loop = asyncio.get_running_loop()
        failure: OSError | None = None
        for place, address in enumerate(addresses):
            share = (until - loop.time()) / (len(addresses) - place)
            self._make_room()
            self._dialing += 1
            try:
                async with asyncio.timeout(share):
                    _, connection = await loop.create_connection(
                        lambda: Connection(
                            loop,
                            call.origin.authority,
                            self._max_response_bytes,
                            give_back=self._give_back,
                            gone=self._gone,
                        ),
                        address,
                        call.origin.port,
                    )
            except OSError as exc:
                failure = exc
                continue
            finally:
                self._dialing -= 1
            if self._shut:
                connection.discard()
                raise ConnectionAbortedError("the runner is stopping")
            self._open.add(connection)
            if self._tick is None:
                self._tick = loop.call_later(_TICK, self._look)
            return connection
        assert failure is not None
        raise failure

    def _make_room(self) -> None:
        """Close the connection that was idle longest where one more would be too many."""
        if len(self._open) + self._dialing < self._max_connections:
            return
        idle = [one for one in self._open if one.answer is None and not one.closed]
        if idle:
            min(idle, key=lambda one: one.idle_since).discard()

    def _give_back(self, connection: Connection) -> None:
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.setdefault(connection.authority, []).append(connection)

    def _gone(self, connection: Connection) -> None:
        self._open.discard(connection)
        if self._shut and not self._open:
            self._all_gone.set()
        idle = self._idle.get(connection.authority)
        if idle and connection in idle:
            idle.remove(connection)
            if not idle:
                del self._idle[connection.authority]

    def _look(self) -> None:
        """Settle the calls whose time is up, close what was idle for long; again while anything is open."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._open):
            if connection.answer is not None:
                if connection.deadline <= now:
                    connection.expire()
            elif not connection.closed and now - connection.idle_since >= self._idle_seconds:
                connection.discard()
        self._tick = loop.call_later(_TICK, self._look) if self._open else None
