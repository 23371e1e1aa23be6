"""Snapshots of a journal: `K` holds the records of a stretch, without those that the fold can do without.

The fold of a journal with its snapshots is the fold of the journal as it was appended: a snapshot is made of records,
not of state, so there is nothing in it that `apply` would not have made itself. Here records are bytes, as they are
stored.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from registry.base.values import Json
from runner.saga.journal import Record, Snapshot


class _Head(msgspec.Struct, array_like=True, gc=False):
    """How a record begins: letter, and first field, which in `B` and `D` is the path."""

    letter: str
    first: Json


class _Filled(msgspec.Struct, array_like=True, tag="K", gc=False):
    records: list[msgspec.Raw]
    t: int


_head: Final = msgspec.json.Decoder(_Head).decode
_encode: Final = msgspec.json.Encoder().encode


def snapshot(stretch: Sequence[bytes], t: int, *, exact: bool) -> bytes:
    """The `K` that stands in for these records. `exact`: with every one of them, see `State.exact`."""
    kept = stretch if exact else compact(stretch)
    return _encode(_Filled([msgspec.Raw(body) for body in kept], t))


def compact(stretch: Sequence[bytes]) -> list[bytes]:
    """The records without each `B` whose `D` follows, with nothing but other `B`s and `D`s between.

    That an attempt was begun is of interest to what comes while it is under way, and then nothing did.
    """
    dropped: set[int] = set()
    begun: dict[str, int] = {}
    for at, body in enumerate(stretch):
        head = _head(body)
        if head.letter == "B":
            begun[head.first] = at
        elif head.letter == "D":
            dropped.add(begun.pop(head.first, -1))
        elif head.letter != "K":
            begun.clear()
    return [body for at, body in enumerate(stretch) if at not in dropped]


def since_last(bodies: Sequence[bytes]) -> list[bytes]:
    """Of a run's stored records, those that the next snapshot will stand in for: all since the last one, or `S`."""
    at = len(bodies) - 1
    while at > 0 and not bodies[at].startswith(b'["K"'):
        at -= 1
    return list(bodies[at + 1 :])


def last_in(records: Sequence[Record]) -> int:
    """Where the last snapshot among these records is. Raises ValueError where there is none."""
    return max(at for at, record in enumerate(records) if isinstance(record, Snapshot))
