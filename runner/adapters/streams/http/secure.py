"""The client for https: aiohttp, kept from resending, from cookies, proxies, redirects and decoding.

aiohttp resends GET, PUT and DELETE once by itself when a kept-alive connection turns out to be dead. The
first try may have had its effect, so that choice belongs to the caller: `_once` turns the errors that trigger
it into one that does not. Imported at the first https call only, since aiohttp costs a fifth of a second.
"""

import asyncio
import io
import socket
import ssl
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from multidict import CIMultiDict
from yarl import URL

from registry.base.networks import Networks, Refused
from runner.adapters.streams.http import wire
from runner.saga.exchange import Exchange

#: Larger bodies are written piece by piece; aiohttp warns about more in one write.
_ONE_WRITE = 1_048_576


class _Broken(Exception):
    """The connection ended under the request."""


@dataclass(slots=True)
class _Attempt:
    """How far a call has come."""

    #: Whether there was a connection, so that bytes may have left.
    sent: bool = False
    #: HTTP status, once the answer's head was read.
    status: int = 0


class SecureClient:
    """Sends each request once over TLS with verified certificates."""

    def __init__(
        self,
        networks: Networks,
        *,
        max_response_bytes: int,
        connect_seconds: float,
        idle_seconds: float,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        """`ssl_context`: None for the system's trust store. Needs a running event loop."""
        self._networks = networks
        self._max_response_bytes = max_response_bytes
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_connected)
        trace.on_connection_reuseconn.append(_connected)
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=0,  # the sink's gate counts
                resolver=_Resolver(networks),
                use_dns_cache=False,
                keepalive_timeout=idle_seconds,
                ssl=ssl.create_default_context() if ssl_context is None else ssl_context,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
            auto_decompress=False,
            max_line_size=wire.HEAD_LIMIT,
            max_field_size=wire.HEAD_LIMIT,
            max_headers=wire.HEAD_LIMIT,
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            middlewares=(_once,),
            trace_configs=[trace],
        )

    async def exchange(self, call: wire.Outgoing) -> Exchange:
        """One attempt. A caller that is cancelled takes its connection with it."""
        origin = call.origin
        attempt = _Attempt()
        try:
            async with asyncio.timeout_at(call.deadline):
                # aiohttp asks its resolver for names only.
                self._networks.check_literal(origin.host)
                return await self._ask(call, attempt)
        except (TimeoutError, aiohttp.ServerTimeoutError):
            if attempt.sent:
                return wire.late(origin.authority, attempt.status)
            return wire.unreachable(f"{origin.authority} accepted no connection in time.", sent=False)
        except Refused as exc:
            return wire.unreachable(str(exc), sent=False)
        except aiohttp.ClientConnectorDNSError as exc:
            return wire.unreachable(_lookup_failure(origin.host, exc.os_error), sent=False)
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError):
            if attempt.status:
                return wire.cut_short(origin.authority, attempt.status)
            # aiohttp's own message quotes what the service sent.
            return wire.unexpected(f"{origin.authority} sent what is not readable as HTTP.")
        except (_Broken, aiohttp.ClientError, OSError) as exc:
            if attempt.sent:
                return wire.cut_short(origin.authority, attempt.status)
            return wire.unreachable(f"{origin.authority} accepted no connection: {_reason(exc)}.", sent=False)
        except (ValueError, RuntimeError, AssertionError) as exc:
            # What aiohttp raises for a request it cannot write, or a session that was closed meanwhile.
            return wire.unreachable(f"The call to {origin.authority} failed: {exc}.", sent=attempt.sent)

    async def close(self) -> None:
        """Close every connection; calls under way end as lost, and later ones are refused."""
        await self._session.close()

    async def _ask(self, call: wire.Outgoing, attempt: _Attempt) -> Exchange:
        origin = call.origin
        body = call.body
        response = await self._session.request(
            call.method,
            URL(f"https://{_literal(origin.host)}:{origin.port}{call.path}", encoded=True),
            headers=CIMultiDict(call.headers),
            data=io.BytesIO(body) if body is not None and len(body) > _ONE_WRITE else body,
            allow_redirects=False,
            trace_request_ctx=attempt,
        )
        attempt.status = status = response.status
        whole = False
        try:
            if wire.head_size(response.raw_headers) > wire.HEAD_LIMIT:
                return wire.oversized(origin.authority, "a head", wire.HEAD_LIMIT, status)
            if not 200 <= status < 600:
                return wire.unexpected(f"{origin.authority} answered with status {status}.", status)
            parts: list[bytes] = []
            size = 0
            async for part in response.content.iter_any():
                size += len(part)
                if size > self._max_response_bytes:
                    return wire.oversized(origin.authority, "a body", self._max_response_bytes, status)
                parts.append(part)
            whole = True
            return wire.answer(status, response.raw_headers, b"".join(parts), origin.authority)
        finally:
            if whole:
                response.release()
            else:
                response.close()


class _Connector(aiohttp.TCPConnector):
    """Never hands out a connection on which something came in while it was idle."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # the name is aiohttp's
    ) -> Connection:
        # aiohttp would take what came in for the answer to the next request. Each turn closes a connection.
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()


class _Resolver(AbstractResolver):
    """Lets aiohttp connect to permitted addresses only."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # any family will do
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._networks.resolve(host, port)
        ]

    async def close(self) -> None:
        """Nothing is held open."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent, and aiohttp does not repeat it
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise _Broken(str(exc)) from exc


async def _connected(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    attempt: _Attempt = context.trace_request_ctx
    attempt.sent = True


def _literal(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reason(failure: Exception) -> object:
    """What aiohttp's error was about, without the addresses of objects in its text."""
    if isinstance(failure, aiohttp.ClientConnectorCertificateError):
        return failure.certificate_error
    if isinstance(failure, aiohttp.ClientConnectorError):
        return failure.os_error
    return failure


def _lookup_failure(host: str, cause: OSError) -> str:
    if isinstance(cause, Refused):
        return str(cause)
    return f"The name {host} was not found: {cause.strerror or cause}."
