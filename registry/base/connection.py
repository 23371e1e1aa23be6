"""One HTTP/1.1 connection of a server, with a bound on all that its caller can make it hold or wait for.

uvicorn's own protocol bounds neither the head of a request (its fields, its URL, the time it takes) nor the number of
connections, answers what it cannot read ahead of requests that came before it, and hangs up on a caller who has
sent all it has to say and only listens. Here:

- a head has `MAX_HEAD` bytes (431), its URL `MAX_URL` (414), and `HEAD_TIMEOUT` seconds from its first byte (408);
- a body that does not come with its head has `BODY_TIMEOUT` seconds from the moment its request is worked on (408);
- what is no HTTP is a 400, and each of these refusals waits for its turn behind answers still owed;
- fields after a chunked body (trailers) count as head and reach no application: nobody expects a header that late;
- a caller who closes its sending side after a whole request gets its answer;
- a request to change the protocol (`Upgrade: h2c`, as some clients send first) is served as it stands;
- a caller who takes nothing of its answer for `STALL` seconds is cut off, and so is one who drips a body that was
  answered long ago;
- connections above a given number are answered 503 and closed.

Sizes are checked exactly for a head that arrives alone. One that arrives together with the end of the request before
it may be larger by what one read takes (256 KiB at most), which bounds memory all the same.
"""

import asyncio
from typing import Any, Final

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from registry.base.problem import Problem
from registry.base.values import canonical

#: Bytes of a request's head: the names and values of its fields.
MAX_HEAD: Final = 65_536
#: Bytes of a request's target.
MAX_URL: Final = 16_384
#: Seconds for a head to be complete, from its first byte.
HEAD_TIMEOUT: Final = 10.0
#: Seconds for a body to be complete, from when its request is worked on.
BODY_TIMEOUT: Final = 30.0
#: Seconds in which a caller must take at least one byte of what is written for it.
STALL: Final = 30.0
#: Seconds that a refused caller has to read why.
FAREWELL: Final = 2.0

_BAD: Final = Problem(
    status=400,
    code="bad-request",
    title="The request cannot be read",
    detail="This is not HTTP/1.1 as RFC 9112 has it; the connection is closed.",
)
_SLOW: Final = Problem(
    status=408,
    code="head-too-slow",
    title="The request came too slowly",
    detail=f"The head of a request must arrive within {HEAD_TIMEOUT:g} s.",
)
_SLOW_BODY: Final = Problem(
    status=408,
    code="body-too-slow",
    title="The body came too slowly",
    detail=f"The whole body must arrive within {BODY_TIMEOUT:g} s.",
)
_LONG_URL: Final = Problem(
    status=414,
    code="url-too-long",
    title="The URL is too long",
    detail=f"This server takes URLs of up to {MAX_URL} bytes: send the rest in a body.",
)
_LARGE_HEAD: Final = Problem(
    status=431,
    code="head-too-large",
    title="The header fields are too large",
    detail=f"This server takes heads of up to {MAX_HEAD} bytes, trailers too.",
)
_FULL: Final = Problem(
    status=503,
    code="too-many-connections",
    title="The server has too many connections",
    detail="Try again in a moment, and use connections for more than one request.",
    headers={"retry-after": "1"},
)


class Connection(HttpToolsProtocol):
    """A connection with limits. `most` is how many there may be at a time, bound in a subclass by the server."""

    most: int = 10_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Bytes read since the last sign of progress: the begin or end of a message, its whole head, some of its body.
        self._quiet = 0
        #: Whether the parser is between a message's first byte and the end of its head; of its body.
        self._in_head = False
        self._in_body = False
        #: The request that is worked on or was last; those behind wait in `pipeline`; `cycle` is the last.
        self._running: RequestResponseCycle | None = None
        #: Requests that were begun and not answered yet.
        self._owed = 0
        #: What is answered once nothing is owed any more; from then on nothing is read.
        self._farewell: Problem | None = None
        self._over = False
        #: Runs while nothing is owed and a message is under way.
        self._patience: asyncio.TimerHandle | None = None
        #: Runs while the request that is worked on lacks some of its body.
        self._body_patience: asyncio.TimerHandle | None = None
        #: Runs while something is to be written that the caller does not take.
        self._stall: asyncio.TimerHandle | None = None
        self._stuck_at = 0

    # ------------------------------------------------------------------ the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        full = len(self.connections) >= self.most
        super().connection_made(transport)
        if full:
            self._refuse(_FULL)
        else:
            # One that never sends a byte ends like one that has been idle for long.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        for timer in (self._patience, self._body_patience, self._stall, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self._patience = self._body_patience = self._stall = None
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse on, up to a limit."""
        if self._farewell is not None:
            return
        self._unset_keepalive_if_required()
        self._quiet += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(_BAD)
        if self._refused():
            return
        if self._quiet > MAX_HEAD:
            self._refuse(_LARGE_HEAD)
        elif not self._owed and self._patience is None:
            self._patience = self.loop.call_later(HEAD_TIMEOUT, self._too_slow)
        if self._in_body:
            self._await_body()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # uvicorn always hangs up
        """Whether the connection stays open to write: as long as answers to whole requests are owed, unbegun."""
        if self._in_head or self._in_body or not self._owed:
            return None
        if self._running is None or self._running.response_started:  # a stream: who wanted more of it would be here
            return None
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """The caller does not take what is written."""
        super().pause_writing()
        self._watch_writing()

    def shutdown(self) -> None:
        """The server stops: idle connections are closed, the others with their last answer."""
        super().shutdown()
        self._watch_writing()

    # ------------------------------------------------------------------ the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL:
            self._refuse(_LONG_URL)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if (
            self._farewell is None
            and self._quiet > MAX_HEAD
            and sum(len(n) + len(v) for n, v in self.headers) > MAX_HEAD
        ):
            self._refuse(_LARGE_HEAD)
        if self._farewell is not None or self.parser.should_upgrade():
            return
        self._quiet = 0
        self._lose_patience()
        super().on_headers_complete()
        self._owed += 1
        self._in_body = True
        self.headers = []  # where trailers go

    def on_body(self, body: bytes) -> None:
        if self._farewell is None:
            self._quiet = 0
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._farewell is not None or self.parser.should_upgrade():
            return
        self._quiet = 0
        self._in_body = False
        if self._body_patience is not None:
            self._body_patience.cancel()
            self._body_patience = None
        super().on_message_complete()
        if not self._owed:  # it was answered before its body had come, and only now the connection is idle
            self._lose_patience()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the request again without its wish for another protocol; `rest` is what came behind its head.

        The parser stops for good behind such a head and takes the body for the other protocol's first bytes, which
        would make of a request with a body one without.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(_BAD)
            return
        head = b"".join(
            (
                b"%b %b HTTP/%b\r\n" % (method, self.url, self.parser.get_http_version().encode()),
                *(b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"),
                b"\r\n",
            )
        )
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as before: uvicorn relies on it
        self._quiet = 0
        self.data_received(head + rest)

    # ------------------------------------------------------------------ answers and ends

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)
        if self._in_body:  # it waited in line until now
            self._await_body()

    def on_response_complete(self) -> None:
        """One answer is written: next come those behind it, then what was refused meanwhile."""
        self._owed -= 1
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_writing()
        elif self._farewell is not None and not self._owed:
            self._say_farewell()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for long."""
        super().timeout_keep_alive_handler()
        self._watch_writing()

    def _refused(self) -> bool:
        return self._farewell is not None

    def _lose_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _await_body(self) -> None:
        """From now on the rest of the body must come in time: its request is worked on, and nothing holds it up."""
        if self._body_patience is None and self._running is self.cycle and not self.cycle.response_started:
            self._body_patience = self.loop.call_later(BODY_TIMEOUT, self._body_too_slow)

    def _body_too_slow(self) -> None:
        self._body_patience = None
        if self._in_body and not self.cycle.response_started:
            self._refuse(_SLOW_BODY)

    def _too_slow(self) -> None:
        self._patience = None
        if self._in_body:  # the caller has had its answer, and drips on
            self.transport.abort()
        else:
            self._refuse(_SLOW)

    def _refuse(self, problem: Problem) -> None:
        """Read nothing more, and answer this as soon as everything before it is answered."""
        if self._farewell is not None or self._over:
            return
        self._farewell = problem
        self._lose_patience()
        self._unset_keepalive_if_required()
        if self._in_body:  # the request with the fault has begun
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()  # but not its work
                self._owed -= 1
            elif self.cycle.response_started:
                self.transport.close()
                self._watch_writing()
                return
            else:
                self.cycle.disconnected = True  # whoever works on it learns that no more will come
                self.cycle.message_event.set()
                self._owed = 0
        if not self._owed:
            self._say_farewell()

    def _say_farewell(self) -> None:
        """Write the refusal, and close once the caller has closed or had time to read it."""
        assert self._farewell is not None
        if self._over or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        problem = self._farewell
        body = canonical(problem.body())
        headers = {
            "content-type": "application/problem+json",
            "content-length": str(len(body)),
            "connection": "close",
            **problem.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(STATUS_LINE[problem.status] + lines.encode() + b"\r\n" + body)
        # Closed under a caller who is still sending, it would be reset, and the answer lost: so what comes is
        # taken and thrown away for a while.
        self.flow.resume_reading()
        self.transport.write_eof()
        self._patience = self.loop.call_later(FAREWELL, self.transport.abort)

    def _watch_writing(self) -> None:
        """Look after a while whether the caller takes what is written."""
        if self._stall is None and not self._over and self.transport.get_write_buffer_size():
            self._stuck_at = self.transport.get_write_buffer_size()
            self._stall = self.loop.call_later(STALL, self._look_at_writing)

    def _look_at_writing(self) -> None:
        self._stall = None
        left = self.transport.get_write_buffer_size()
        if left and left >= self._stuck_at:
            self.transport.abort()
        else:
            self._watch_writing()
