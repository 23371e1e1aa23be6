"""Wishes: what a run asks of the world. Whoever performs one answers with records."""

from typing import TypeAlias

import msgspec

from runner.saga.journal import Record


class Write(msgspec.Struct, frozen=True, gc=False):
    """Append this record, as it is: a decision that the fold has already made."""

    record: Record


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """Make one attempt of a `call` or `emit`: render it, journal the intent if it has effects, send, judge."""

    path: str
    dir: str
    number: int


class Arm(msgspec.Struct, frozen=True, gc=False):
    """Fire `key` at this wall time (milliseconds). A later `Arm` of the same key replaces it."""

    key: str
    at: int


class Abort(msgspec.Struct, frozen=True, gc=False):
    """Break off the attempt in flight; its outcome is unknown."""

    path: str


Command: TypeAlias = Write | Attempt | Arm | Abort
