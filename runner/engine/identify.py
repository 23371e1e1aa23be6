"""Run ids: a run's id is its dedup key, so a repeated trigger finds the run that the first one made."""

import base64
import hashlib
import os
import secrets
from functools import lru_cache

import msgspec

from registry.base.values import Json, canonical

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
#: Two letters for every ten bits, the highest first.
_PAIRS = tuple(one + other for one in _ALPHABET for other in _ALPHABET)
#: Turns random bytes into as many letters of the alphabet, all equally likely.
_LETTERS = bytes(ord(_ALPHABET[byte % 32]) for byte in range(256))
#: Random halves of ids in store, each handed out once: to ask the system for one costs as much as for many.
_CHANCE: list[str] = []
os.register_at_fork(after_in_child=_CHANCE.clear)


def new_run_id(now: int) -> str:
    """An id for a trigger without a key: 26 characters that sort by time (`now` in milliseconds)."""
    if not _CHANCE:
        many = secrets.token_bytes(16 * 256).translate(_LETTERS).decode()
        _CHANCE.extend(many[at : at + 16] for at in range(0, len(many), 16))
    return _moment(now) + _CHANCE.pop()


@lru_cache(maxsize=8)
def _moment(now: int) -> str:
    """The half of an id that is its time, ten characters."""
    return "".join([_PAIRS[now >> shift & 1023] for shift in (40, 30, 20, 10, 0)])


def keyed_run_id(*parts: str) -> str:
    """The id that these parts alone decide: 26 characters, starting with `k`."""
    hashed = hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).digest()
    return "k" + base64.b32encode(hashed).decode().rstrip("=").lower()[:25]


def fingerprint(payload: Json) -> str:
    """What two payloads under one key are compared by (32 hex characters)."""
    return hashlib.blake2b(canonical(payload), digest_size=16).hexdigest()
