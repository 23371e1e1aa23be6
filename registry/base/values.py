"""JSON values: their type, their one canonical form, and their digest."""

import hashlib
from typing import Any, TypeAlias

import msgspec

#: What JSON can say. Kept open because a recursive union costs every reader a cast and proves nothing here.
Json: TypeAlias = Any

_canonical = msgspec.json.Encoder(order="deterministic")


def canonical(value: Json) -> bytes:
    """The one spelling of a JSON value: UTF-8, keys sorted, no spaces. Equal values have equal bytes."""
    return _canonical.encode(value)


def digest(data: bytes) -> str:
    """SHA-256 of `data` in lower-case hex (64 characters)."""
    return hashlib.sha256(data).hexdigest()


def merged(under: dict[str, Json], over: dict[str, Json]) -> dict[str, Json]:
    """A deep merge of mappings: `over` wins, lists are replaced. Neither argument is changed."""
    out = dict(under)
    for key, value in over.items():
        below = out.get(key)
        out[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return out
