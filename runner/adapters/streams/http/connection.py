"""One kept-alive connection of the plain client: writes a request, reads its answer, knows if it may be
reused.

A connection serves one call at a time. Whatever it cannot account for (bytes nobody asked for, a second
answer, a request not wholly written) ends it, so that no answer is ever given to the wrong call.
"""

import asyncio
import select
from collections.abc import Callable

import httptools

from runner.adapters.streams.http import wire
from runner.saga.exchange import Exchange, Lost

#: Framing and trailers may take this many bytes for each byte of body, beyond `2 * HEAD_LIMIT`.
_FRAMING_FACTOR = 8


class Connection(asyncio.Protocol):
    """An `asyncio.Protocol` around httptools' response parser."""

    __slots__ = (
        "_authority",
        "_fault",
        "_fields",
        "_give_back",
        "_gone",
        "_head_only",
        "_interim",
        "_limit",
        "_loop",
        "_parser",
        "_parts",
        "_received",
        "_reusable",
        "_size",
        "_status",
        "_transport",
        "_whole",
        "answer",
        "closed",
        "deadline",
        "idle_since",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        authority: str,
        limit: int,
        *,
        give_back: "Callable[[Connection], None]",
        gone: "Callable[[Connection], None]",
    ) -> None:
        """`limit`: most bytes of body; `give_back` is called when it is idle again, `gone` at its end."""
        self._loop = loop
        self._authority = authority
        self._limit = limit
        self._give_back = give_back
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        #: The call under way; None: idle.
        self.answer: asyncio.Future[Exchange] | None = None
        #: No call may be put on it any more.
        self.closed = False
        self.deadline = 0.0
        self.idle_since = 0.0
        self._begin(head_only=False)

    @property
    def authority(self) -> str:
        """The `host:port` it leads to."""
        return self._authority

    def ask(self, data: bytes, *, head_only: bool, deadline: float) -> asyncio.Future[Exchange]:
        """Write one request; the future gets what comes of it, and never an exception.

        Only on a connection that is idle and not closed.
        """
        assert self._transport is not None
        self._begin(head_only=head_only)
        self.deadline = deadline
        self.answer = answer = self._loop.create_future()
        self._transport.write(data)
        return answer

    def discard(self) -> None:
        """Close at once, whatever is still to be written or read."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def settle(self, exchange: Exchange, *, keep: bool = False) -> None:
        """End the call under way with `exchange`; `keep`: the connection is fit for another one."""
        answer = self.answer
        self.answer = None
        if keep and answer is not None and not answer.done():
            self._give_back(self)
        else:
            self.discard()
        if answer is not None and not answer.done():
            answer.set_result(exchange)

    def expire(self) -> None:
        """End the call under way because its time is up."""
        self.settle(wire.late(self._authority, self._status))

    def is_stale(self) -> bool:
        """Whether the service has closed or written although the event loop has not come to read it yet."""
        assert self._transport is not None
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _begin(self, *, head_only: bool) -> None:
        self._head_only = head_only
        self._status = 0
        self._interim = 0
        self._received = 0
        self._size = 0
        self._whole = False
        self._reusable = True
        self._fault: Lost | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's, as create_connection makes

    def data_received(self, data: bytes) -> None:
        if self.answer is None:
            self.discard()  # nobody asked
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._reusable = False
            if not self._whole and self._fault is None:
                self._fault = wire.unexpected(
                    f"{self._authority} sent what is not readable as HTTP ({exc}).", self._status
                )
        if self._whole:
            self._finish()
        elif self._fault is not None or self._sprawls():
            self.settle(self._fault or wire.oversized(self._authority, "a head", wire.HEAD_LIMIT))

    def eof_received(self) -> None:
        self.closed = True
        if self.answer is not None:
            if self._status and not any(
                name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._fields
            ):
                self._finish()  # the end of the connection is the end of such a body
            else:
                self.settle(wire.cut_short(self._authority, self._status))
        self.discard()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.closed = True
        if self.answer is not None:
            self.settle(wire.cut_short(self._authority, self._status))
        # Each of the two refers to the other; the garbage collector need not find out.
        del self._parser
        self._gone(self)

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._whole:
            self._reusable = False  # a second answer

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # afterwards they are trailers, which nobody reads
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self._whole:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interim += 1
            self._fields.clear()
            if self._interim > wire.INTERIM_LIMIT:
                self._fault = wire.unexpected(f"{self._authority} sent more than {wire.INTERIM_LIMIT} interim answers.")
            return
        self._status = status
        if not 200 <= status < 600:
            self._fault = wire.unexpected(f"{self._authority} answered with status {status}.", status)
        elif self._head_only:
            self._whole = True
            self._reusable = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        if self._whole:
            self._reusable = False  # a body after the end of the answer, as to a HEAD
            return
        self._size += len(body)
        if self._size <= self._limit:
            self._parts.append(body)
        elif self._fault is None:
            self._fault = wire.oversized(self._authority, "a body", self._limit, self._status)

    def on_message_complete(self) -> None:
        if self._status and not self._whole and self._fault is None:
            self._whole = True
            self._reusable = self._parser.should_keep_alive()

    # The end of an answer.

    def _finish(self) -> None:
        assert self._transport is not None
        if self._received > wire.HEAD_LIMIT and wire.head_size(self._fields) > wire.HEAD_LIMIT:
            self.settle(wire.oversized(self._authority, "a head", wire.HEAD_LIMIT, self._status))
            return
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        # An answer that came before the request was wholly written leaves the rest of it on the connection.
        keep = self._reusable and not self.closed and not self._transport.get_write_buffer_size()
        if keep and self._head_only:
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for a body that never comes
        self.settle(wire.answer(self._status, self._fields, body, self._authority), keep=keep)

    def _sprawls(self) -> bool:
        if not self._status:
            return self._received > wire.HEAD_LIMIT
        return self._received - self._size > 2 * wire.HEAD_LIMIT + _FRAMING_FACTOR * self._size
