"""One exchange with a service: the request as it leaves, and what came of it."""

import hashlib
from typing import TypeAlias

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An HTTP request as a step rendered it: everything that the digest pins, and nothing secret."""

    #: Name in the registry (`stock`, `stock@2`); empty where `url` stands.
    service: str
    #: Absolute URL in place of a service; empty otherwise.
    url: str
    #: Upper-case verb.
    method: str
    #: Path and query, percent-encoded, starting with `/` (empty where `url` stands).
    target: str
    #: Header names in lower case, in sending order; never credentials, never the key.
    headers: tuple[tuple[str, str], ...]
    #: The body's bytes; None: no body.
    body: bytes | None
    #: Value of `Idempotency-Key`.
    key: str

    def digest(self) -> str:
        """Hex digest (32 characters) of all that a resend must repeat to the byte."""
        head = f"{self.service}\n{self.url}\n{self.method}\n{self.target}\n{self.key}"
        for name, value in self.headers:
            head += f"\n{name}:{value}"
        body = b"\0\0" if self.body is None else b"\0\1" + self.body
        return hashlib.blake2b(head.encode() + body, digest_size=16).hexdigest()

    @property
    def reads(self) -> bool:
        """GET and HEAD have no effect, so they need no intent in the journal."""
        return self.method in ("GET", "HEAD")


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A whole HTTP answer."""

    status: int
    #: Lower-case names; a name sent twice is joined with `, `.
    headers: dict[str, str]
    body: bytes


class Lost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """No usable answer. `sent` decides the outcome: nothing sent means *not done*, anything sent means *unknown*."""

    #: `unreachable`, `timeout`, `unexpected` (unreadable or oversized), `redirect`, `circuitOpen`, `serviceNotFound`.
    kind: str
    #: One sentence for people.
    detail: str
    #: Whether a byte of the request may have reached the service.
    sent: bool
    #: HTTP status where one was read before the answer turned out to be unusable, else 0.
    status: int = 0


Exchange: TypeAlias = Answer | Lost


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record for a stream, as a step rendered it."""

    stream: str
    key: bytes | None
    #: None is a tombstone.
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def reads(self) -> bool:
        return False

    def digest(self) -> str:
        """Hex digest (32 characters) of all that a resend must repeat to the byte."""
        h = hashlib.blake2b(digest_size=16)
        h.update(self.stream.encode())
        for part in (self.key, self.value):
            h.update(b"\0" if part is None else b"\1%d:" % len(part) + part)
        for name, value in self.headers:
            h.update(b"%s:%d:%s" % (name.encode(), len(value), value))
        return h.hexdigest()


class Put(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The stream took the record."""

    partition: int
    offset: int
