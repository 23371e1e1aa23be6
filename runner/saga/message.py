"""What arrives and what answers: one shape for every stream."""

from typing import Any

import msgspec

from registry.base.values import Json


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger, its input already read."""

    #: Alias of the stream that it came on.
    stream: str
    path: str
    #: Upper-case HTTP verb; empty on other streams.
    method: str
    #: Parsed body, form or query.
    input: Json
    #: Lower case with `_`; without `authorization` and `cookie`.
    headers: dict[str, str]
    #: Wall time, milliseconds.
    time: int
    #: Who sent it; empty: nobody is authenticated.
    subject: str = ""
    roles: tuple[str, ...] = ()
    claims: dict[str, Any] = {}
    #: `Idempotency-Key`, or a record's own id; empty: none.
    key: str = ""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """How the sender wants to be answered (`Prefer`)."""

    #: `respond-async`.
    at_once: bool = False
    #: `wait=N`, seconds.
    wait: float | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender gets."""

    status: int
    headers: dict[str, str]
    body: bytes
