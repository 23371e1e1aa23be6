"""From a `Request` to what is written, from what was read to an `Answer`: both clients' rules, no I/O."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

import msgspec

from runner.saga.exchange import Answer, Exchange, Lost, Request

#: Most bytes of status line and header fields in an answer.
HEAD_LIMIT = 65_536
#: Most interim answers (100 Continue, 103 Early Hints) ahead of the real one.
INTERIM_LIMIT = 8

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
#: Fields that say where the message ends or what becomes of the connection: only the client can know.
_FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class BadAddress(ValueError):
    """The service's address cannot be called."""


class Unsendable(ValueError):
    """The request cannot be written as HTTP."""


class Origin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Scheme, host and port, with the path that an instance's URL puts in front of every target."""

    #: `http` or `https`.
    scheme: str
    #: Name or IP address, without brackets.
    host: str
    port: int
    #: What stands in the `host` field: the port only where it is not the scheme's own.
    authority: str
    #: Path without a trailing slash; mostly empty.
    prefix: str


class Outgoing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request, ready to be written."""

    origin: Origin
    method: str
    #: Path and query, with the origin's prefix.
    path: str
    #: In sending order, `host` first.
    headers: list[tuple[str, str]]
    body: bytes | None
    #: By the event loop's clock.
    deadline: float


@lru_cache(maxsize=4096)
def parse_origin(url: str) -> Origin:
    """The origin of an instance's URL. Raises BadAddress."""
    origin, path = split_url(url)
    if "?" in path:
        raise BadAddress(f"The address {url!r} holds a query; give scheme, host, port and path only.")
    return msgspec.structs.replace(origin, prefix=path.rstrip("/"))


def split_url(url: str) -> tuple[Origin, str]:
    """Origin (without prefix) and path with query of an absolute URL. Raises BadAddress."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError as exc:
        raise BadAddress(f"The address {url!r} cannot be read: {exc}.") from exc
    if parts.scheme not in ("http", "https") or not host or not _TOKEN.fullmatch(host.replace(":", "")):
        raise BadAddress(f"The address {url!r} is not an absolute http:// or https:// URL.")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("An address holds a user or password; put credentials into the service's headers.")
    standard = 443 if parts.scheme == "https" else 80
    shown = f"[{host}]" if ":" in host else host
    origin = Origin(
        scheme=parts.scheme,
        host=host,
        port=standard if port is None else port,
        authority=shown if port is None or port == standard else f"{shown}:{port}",
        prefix="",
    )
    return origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def outgoing(request: Request, *, base_url: str, extra_headers: Sequence[tuple[str, str]], deadline: float) -> Outgoing:
    """Join request, address and credentials. Raises BadAddress or Unsendable."""
    if request.url:
        origin, path = split_url(request.url)
    else:
        origin = parse_origin(base_url)
        path = origin.prefix + request.target
    method = request.method
    if not (path.isascii() and path.isprintable() and path.startswith("/") and " " not in path):
        raise Unsendable(f"The target {path!r} is not a percent-encoded path that starts with a slash.")
    if not method.isalpha() or not method.isascii():
        raise Unsendable(f"{method!r} is not an HTTP method.")
    return Outgoing(
        origin=origin,
        method=method,
        path=path,
        headers=_fields(request, origin.authority, extra_headers),
        body=request.body,
        deadline=deadline,
    )


def _fields(request: Request, authority: str, extra_headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Header fields by precedence: settings over the step's own over these defaults."""
    fields = {
        "host": authority,
        "accept": "application/json, */*;q=0.5",
        "accept-encoding": "identity",
        "user-agent": "saga-runner",
    }
    if request.key:
        fields["idempotency-key"] = _value("idempotency-key", request.key)
    body = request.body
    if body is not None:
        fields["content-type"] = "application/json"
        fields["content-length"] = str(len(body))
    elif request.method not in ("GET", "HEAD"):
        fields["content-length"] = "0"
    repeated: list[tuple[str, str]] = []
    authored: set[str] = set()
    for name, value in request.headers:
        name = _name(name)
        if name in authored:
            repeated.append((name, _value(name, value)))
        else:
            authored.add(name)
            fields[name] = _value(name, value)
    for name, value in extra_headers:
        name = _name(name)
        fields[name] = _value(name, value)
        if repeated:
            repeated = [pair for pair in repeated if pair[0] != name]
    return [*fields.items(), *repeated]


@lru_cache(maxsize=1024)
def _name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise Unsendable(f"{name!r} is not a header name.")
    if name.lower() in _FRAMING:
        raise Unsendable(f"The header {name!r} is set by the runner itself; remove it.")
    return name.lower()


def _value(name: str, value: str) -> str:
    # Almost every value is printable; only the others are looked at closely (a tab is allowed, line ends
    # never).
    if not value.isprintable() and _UNSENDABLE.search(value):
        raise Unsendable(f"The value of header {name!r} holds a control character, which no header may.")
    return value


def redirected(call: Outgoing, location: str) -> str | None:
    """Path and query a redirect leads to, or None where it leaves scheme, host or port (or is no URL)."""
    origin = call.origin
    try:
        target, path = split_url(urljoin(f"{origin.scheme}://{origin.authority}{call.path}", location))
    except ValueError:  # from urljoin or as a BadAddress
        return None
    if (target.scheme, target.host, target.port) != (origin.scheme, origin.host, origin.port):
        return None
    return path if path.isascii() and path.isprintable() and " " not in path else None


def head_size(fields: Iterable[tuple[bytes, bytes]]) -> int:
    """Bytes of header fields as they were sent, line ends included."""
    return sum(len(name) + len(value) + 4 for name, value in fields)


def answer(status: int, fields: Iterable[tuple[bytes, bytes]], body: bytes, authority: str) -> Exchange:
    """The whole answer, or Lost where its body is in a coding that was not asked for.

    Field values are read as Latin-1, which loses no byte and cannot fail.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name = raw_name.decode("latin-1").lower()
        value = raw_value.decode("latin-1").strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    coding = headers.get("content-encoding", "identity")
    if body and coding.lower() not in ("identity", ""):
        return unexpected(f"{authority} answered in {coding!r} although no coding was asked for.", status)
    coding = headers.get("transfer-encoding", "chunked")
    if coding.lower() != "chunked":
        return unexpected(f"{authority} answered in the transfer coding {coding!r}, which is not read.", status)
    return Answer(status=status, headers=headers, body=body)


def unreachable(detail: str, *, sent: bool) -> Lost:
    """No connection, or one that broke before an answer began."""
    return Lost(kind="unreachable", detail=detail, sent=sent)


def unexpected(detail: str, status: int = 0) -> Lost:
    """Something came back that cannot be used."""
    return Lost(kind="unexpected", detail=detail, sent=True, status=status)


def late(authority: str, status: int = 0) -> Lost:
    """The request went out and no whole answer came in time."""
    return Lost(
        kind="timeout",
        detail=f"{authority} gave no whole answer within the timeout.",
        sent=True,
        status=status,
    )


def cut_short(authority: str, status: int) -> Lost:
    """The connection ended while the answer was under way (`status` 0: before its head was whole)."""
    if status:
        return unexpected(f"{authority} closed the connection in the middle of its answer.", status)
    return unreachable(f"{authority} closed the connection before it answered.", sent=True)


def oversized(authority: str, what: str, limit: int, status: int = 0) -> Lost:
    """An answer of which `what` has more than `limit` bytes."""
    return unexpected(f"{authority} sent {what} of more than {limit} bytes.", status)
