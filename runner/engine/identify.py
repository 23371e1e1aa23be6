"""Run ids: a run's id is its dedup key, so a repeated trigger finds the run that the first one made."""

import base64
import hashlib
import os
import secrets

import msgspec

from registry.base.values import Json, canonical

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
#: Two letters for every ten bits, the highest first.
_PAIRS = tuple(one + other for one in _ALPHABET for other in _ALPHABET)
_SHIFTS = tuple(range(120, -1, -10))
#: Random bytes in store, each handed out once.
_CHANCE: list[bytes] = []
os.register_at_fork(after_in_child=_CHANCE.clear)


def new_run_id(now: int) -> str:
    """An id for a trigger without a key: 26 characters that sort by time (`now` in milliseconds)."""
    number = (now & (1 << 48) - 1) << 80 | int.from_bytes(_drawn(), "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def _drawn() -> bytes:
    """Ten random bytes. To ask the system for so few costs as much as for many."""
    if not _CHANCE:
        many = secrets.token_bytes(10 * 256)
        _CHANCE.extend(many[at : at + 10] for at in range(0, len(many), 10))
    return _CHANCE.pop()


def keyed_run_id(*parts: str) -> str:
    """The id that these parts alone decide: 26 characters, starting with `k`."""
    hashed = hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).digest()
    return "k" + base64.b32encode(hashed).decode().rstrip("=").lower()[:25]


def fingerprint(payload: Json) -> str:
    """What two payloads under one key are compared by (32 hex characters)."""
    return hashlib.blake2b(canonical(payload), digest_size=16).hexdigest()
