"""A uvicorn server as a guest of a running event loop: opened and closed by its host, which keeps its signals.

uvicorn's own `serve` closes its sockets first and swallows a failed start; a host that drains must do both itself.
What one caller can make the server hold is bounded by `registry.base.connection`.
"""

import asyncio
import contextlib
import gc
import resource
import socket
from collections.abc import Iterator
from typing import Any, Final

import uvicorn

from registry.base.connection import Connection

#: Requests that are waiting to be accepted.
BACKLOG: Final = 2048
#: Connections that are open at a time, more are answered 503; fewer where the process may not have as many files.
MOST_CONNECTIONS: Final = 10_000


class CannotListen(OSError):
    """The address is not to be had; the message says which and why."""


class Guest:
    """One ASGI application on one socket."""

    def __init__(self, app: Any, listener: socket.socket, *, grace: float, limit: int | None = None) -> None:
        """`grace`: seconds that open requests get at the end. `limit`: requests at a time, more are answered 503."""

        class Bounded(Connection):
            most = _most_connections()

        self._config = uvicorn.Config(
            app,
            http=Bounded,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Who the caller is decides what a nameless heartbeat means; a header must not say so.
            proxy_headers=False,
            limit_concurrency=limit,
            # Longer than callers pool connections, so that none is closed just as a request is put on it.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(grace)),
        )
        self._server = uvicorn.Server(self._config)
        self._listener = listener
        self._ticking: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """As bound: the real one where any was asked for."""
        return int(self._listener.getsockname()[1])

    async def open(self) -> None:
        """Serve from now on."""
        self._config.load()
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.startup([self._listener])
        self._ticking = asyncio.create_task(self._server.main_loop())

    async def close(self) -> None:
        """Take nothing new, answer what has come, and stop."""
        if self._ticking is not None:
            self._server.should_exit = True
            await self._ticking
            await self._server.shutdown([self._listener])
            self._ticking = None


def _most_connections() -> int:
    """A quarter of the files that this process may open is left for the journal and for calls to services."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files * 3 // 4)


@contextlib.contextmanager
def listening(host: str, port: int, what: str) -> Iterator[socket.socket]:
    """A bound socket (port 0: any free one). Raises `CannotListen`, `what` being who wanted to listen."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise CannotListen(
            f"{what} cannot listen on {host}:{port} ({error.strerror}): stop what runs there, or give it another port"
        ) from None
    with listener:
        yield listener


def url_of(host: str, port: int) -> str:
    """`http://host:port`, an IPv6 address in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def settle_memory() -> None:
    """What is loaded by now stays: the collector need not look at it again, and looks at the rest less often.

    Measured: a third off the slowest answers, since each full collection walked every definition.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
