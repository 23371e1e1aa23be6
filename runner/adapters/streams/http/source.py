"""HTTP in: a plain ASGI handler that turns requests into messages, ahead of the management application.

A saga's path costs no framework: the handler reads the head, asks the dispatcher who answers, and only then the body.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import structlog

from registry.base.clock import Clock
from registry.base.document import InvalidDocument, read_document
from registry.base.problem import Problem
from registry.base.values import Json
from runner.engine.dispatch import Dispatcher, Early
from runner.engine.killpoints import reached
from runner.engine.reply import of_problem
from runner.saga.message import Message, Reply, Wishes

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

log = structlog.get_logger("saga.http")

#: First path segments that no saga may have.
RESERVED: Final = frozenset({"api", "console", "docs", "openapi.json", "asyncapi.json", "metrics", "health", "ready"})
#: Nesting of an input.
DEEPEST: Final = 64
#: Characters of an idempotency key.
LONGEST_KEY: Final = 255
#: Headers that no saga sees.
HIDDEN: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization"})
#: A percent sign that encodes nothing: who sent it encoded nothing, so that `+` and `&` would be misread, too.
_BROKEN_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CHARSET: Final = re.compile(r"(?:^|;)\s*charset\s*=\s*\"?([^\";\s]+)")


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


@dataclass(slots=True, kw_only=True)
class HttpSource:
    """The ASGI application of a runner. `streams` maps HTTP stream aliases to their path prefixes."""

    dispatcher: Dispatcher
    management: Application
    streams: Mapping[str, str]
    clock: Clock
    max_body: int = 1_048_576

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_ours(scope["path"]):
            await self._manage(scope, receive, send)
            return
        early = _Early(send, head=scope["method"] == "HEAD")
        try:
            reply = await self._reply(scope, receive, early)
        except Exception:  # whatever it is, the caller gets a problem document and the log the rest
            log.exception("a request could not be answered", path=scope["path"])
            reply = of_problem(_internal().at(scope["path"]))
        if early.sending is None:
            await _send(reply, send, head=early.head)
        else:
            await early.sending
        reached("http.answered")

    async def _manage(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request to the management application; a body has the same limits there as anywhere."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.management(scope, receive, send)
            return
        try:
            headers = _headers(scope["headers"])
            body = await self._body(headers, receive)
            _parsed(headers, body)
        except _Refused as refused:
            await _send(of_problem(refused.problem.at(scope["path"])), send)
            return
        read = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> MutableMapping[str, Any]:
            return next(read, None) or await receive()

        await self.management(scope, again, send)

    async def _reply(self, scope: Scope, receive: Receive, early: Early) -> Reply:
        method: str = scope["method"]
        stream, path = self._stream(scope["path"])
        # An encoded slash is no separator: what reads like a path of a saga must have been sent as one.
        raw = scope.get("raw_path", b"")
        encoded = b"%" in raw and b"%2f" in raw.lower()
        if stream is None or encoded or path.startswith("/On_"):
            return of_problem(
                Problem(
                    status=404,
                    code="no-saga",
                    title="No saga has this path",
                    detail=f"{scope['path']}: no active saga has this path on this stream and runner.",
                    instance=scope["path"],
                )
            )
        try:
            headers = _headers(scope["headers"])
            chosen = self.dispatcher.choose(
                stream=stream, path=path, method=method, version=_version(headers.get("x_saga_version"))
            )
            if isinstance(chosen, Problem):
                return of_problem(chosen.at(scope["path"]))
            key = _key(headers.get("idempotency_key"), scope["headers"])
            wishes = _wishes(headers.get("prefer"))
            given = (
                _fields(scope["query_string"])
                if method in ("GET", "HEAD", "DELETE")
                else _parsed(headers, await self._body(headers, receive))
            )
        except _Refused as refused:
            return of_problem(refused.problem.at(scope["path"]))
        message = Message(
            stream=stream,
            path=path,
            method=method,
            input=given,
            headers=headers,
            time=self.clock.millis(),
            key=key,
        )
        return await self.dispatcher.handle(chosen, message, wishes, early, address=scope["path"])

    def _stream(self, path: str) -> tuple[str | None, str]:
        """The alias whose prefix is the longest that matches, and the path below it."""
        best: tuple[str, str] | None = None
        for alias, prefix in self.streams.items():
            matches = path == prefix or path.startswith(prefix + "/") if prefix else True
            if matches and (best is None or len(prefix) > len(best[1])):
                best = alias, prefix
        return (None, path) if best is None else (best[0], path[len(best[1]) :] or "/")

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        declared = headers.get("content_length", "")
        if declared.isdecimal() and int(declared[:20]) > self.max_body:
            raise _Refused(self._too_large())
        if headers.get("content_encoding", "identity") != "identity":
            raise _Refused(_unsupported(f"a body encoded as {headers['content_encoding'][:40]}"))
        parts: list[bytes] = []
        size = 0
        while True:  # the connection bounds the time that it may take
            event = await receive()
            if event["type"] == "http.disconnect":
                raise _Refused(_bad_request("The connection was closed before the whole body had come."))
            part = event.get("body", b"")
            size += len(part)
            if size > self.max_body:
                raise _Refused(self._too_large())
            parts.append(part)
            if not event.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> Problem:
        return Problem(
            status=413,
            code="body-too-large",
            title="The body is too large",
            # The connection stays open and the server swallows the rest unread: closed under a caller who is
            # still sending, it would be reset, and this answer lost.
            detail=f"This runner takes bodies of up to {self.max_body} bytes.",
        )


class _Early:
    """Answers a caller whose request still drives its run."""

    __slots__ = ("_send", "head", "sending")

    def __init__(self, send: Send, *, head: bool) -> None:
        self._send = send
        self.head = head
        #: None: not answered yet.
        self.sending: asyncio.Task[None] | None = None

    def __call__(self, reply: Reply) -> None:
        self.sending = asyncio.create_task(_send(reply, self._send, head=self.head))


async def _send(reply: Reply, send: Send, *, head: bool = False) -> None:
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in reply.headers.items()]
    if reply.status != 204:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})


def _is_ours(path: str) -> bool:
    """Whether the management application answers: on its own paths, and on what is no path at all."""
    parts = path.split("/", 2)
    return len(parts) < 2 or parts[1] in RESERVED


@lru_cache(maxsize=512)
def _spelled(name: bytes) -> str:
    """A header's name as sagas see it; kept, because most requests name the same few."""
    return name.decode("latin-1").replace("-", "_")


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Lower case with `_`, without credentials; a header sent twice is joined with a comma."""
    out: dict[str, str] = {}
    for name, value in raw:
        if name in HIDDEN:
            continue
        key = _spelled(name)
        text = value.decode("latin-1")
        out[key] = f"{out[key]}, {text}" if key in out else text
    return out


def _version(value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isdecimal() or len(value) > 9:
        raise _Refused(_bad_request("X-Saga-Version must be a whole number, like `X-Saga-Version: 2`."))
    return int(value)


def _key(value: str | None, raw: list[tuple[bytes, bytes]]) -> str:
    """The idempotency key, quoted or bare: the same key either way."""
    if value is None:
        return ""
    if sum(name == b"idempotency-key" for name, _ in raw) > 1:
        raise _Refused(_bad_request("Idempotency-Key is sent more than once: send the one that is meant."))
    key = value.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not key or len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise _Refused(_bad_request(f"Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters."))
    return key


def _wishes(value: str | None) -> Wishes:
    """`Prefer: respond-async, wait=5`; what is not understood is ignored, as RFC 7240 says."""
    if value is None:
        return Wishes()
    at_once, wait = False, None
    for part in value.lower().split(","):
        name, _, given = part.partition(";")[0].strip().partition("=")
        if name.strip() == "respond-async":
            at_once = True
        elif name.strip() == "wait":
            seconds = given.strip().strip('"')
            if seconds.isdecimal():
                wait = float(seconds[:6])
    return Wishes(at_once=at_once and wait is None, wait=wait)


def _parsed(headers: dict[str, str], body: bytes) -> Json:
    if not body:
        return {}
    media, _, parameters = headers.get("content_type", "application/json").lower().partition(";")
    media = media.strip()
    if media == "application/x-www-form-urlencoded":
        charset = _CHARSET.search(parameters)
        if charset is not None and charset[1] not in ("utf-8", "us-ascii"):
            raise _Refused(_unsupported(f"a form in the charset {charset[1][:60]}, only UTF-8"))
        return _fields(body)
    if media != "application/json" and not media.endswith("+json"):
        raise _Refused(_unsupported(f"a body of type {media[:60]}"))
    try:
        return read_document(body, deepest=DEEPEST)
    except InvalidDocument as wrong:
        raise _Refused(_bad_request(f"The body {wrong}.")) from wrong


def _fields(raw: bytes) -> dict[str, Json]:
    """Query or form fields; a repeated one becomes a list."""
    if _BROKEN_PERCENT.search(raw):
        raise _Refused(_bad_request("The fields cannot be read: a percent sign is written `%25` there."))
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError as error:
        raise _Refused(_bad_request(f"The fields cannot be read: {error}.")) from error
    out: dict[str, Json] = {}
    for name, value in pairs:
        if name not in out:
            out[name] = value
        elif isinstance(out[name], list):
            out[name].append(value)
        else:
            out[name] = [out[name], value]
    return out


def _internal() -> Problem:
    return Problem(status=500, code="internal", title="The runner failed", detail="Its log says how.")


def _bad_request(detail: str) -> Problem:
    return Problem(status=400, code="bad-request", title="The request cannot be read", detail=detail)


def _unsupported(what: str) -> Problem:
    return Problem(
        status=415,
        code="unsupported-media-type",
        title="The body's type is not supported",
        detail=f"This runner does not take {what}; send application/json or application/x-www-form-urlencoded.",
        headers={"accept-post": "application/json, application/x-www-form-urlencoded"},
    )
