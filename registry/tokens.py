"""Who may do what: bearer tokens with scopes. Without any token everybody may do everything.

A token is one line of `REGISTRY_TOKENS`: a name for the audit log, the token itself, and its scopes.

    shop    2c1f0e6a9b7d4c35  read register:shop-
    ops     9d8e7f6a5b4c3d2e  admin
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

#: Characters of a token at least: shorter ones are guessed.
SHORTEST: Final = 16

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]+", re.ASCII)
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,128}", re.ASCII)


class InvalidTokens(ValueError):
    """The message completes `REGISTRY_TOKENS ...`, without a full stop and without any token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and what they may do."""

    #: As the audit log has it.
    name: str
    reads: bool
    admin: bool
    #: Beginnings of the names of services that they may write.
    prefixes: tuple[str, ...] = ()

    def may_write(self, service: str) -> bool:
        """Whether they may register, beat, change and remove instances of this service."""
        return self.admin or service.startswith(self.prefixes)


#: Everybody, where no tokens are set.
ANYBODY: Final = Caller(name="anybody", reads=True, admin=True)


class Tokens:
    """The tokens of a registry. Kept and compared as digests, so that time tells nothing about them."""

    def __init__(self, callers: Mapping[bytes, Caller]) -> None:
        self._callers = callers

    def caller(self, authorization: bytes | None) -> Caller | None:
        """Who sends this `Authorization` field; None if nobody is known by it."""
        if not self._callers:
            return ANYBODY
        scheme, _, token = (authorization or b"").partition(b" ")
        return self._callers.get(_digest(token.strip())) if scheme.lower() == b"bearer" else None

    def __bool__(self) -> bool:
        return bool(self._callers)


def read_tokens(text: str) -> Tokens:
    """The tokens in `text`: an entry a line, or entries separated by `;`. Raises `InvalidTokens`."""
    callers: dict[bytes, Caller] = {}
    for number, entry in enumerate(re.split(r"[\n;]", text), start=1):
        words = entry.partition("#")[0].split()
        if not words:
            continue
        name, token, *scopes = [*words, "", ""][: max(3, len(words))]
        where = f"has in entry {number}"
        if _NAME.fullmatch(name) is None:
            raise InvalidTokens(f"{where} a name other than 1 to 64 letters, digits, dots, dashes or underscores")
        if len(token) < SHORTEST or _TOKEN.fullmatch(token) is None:
            raise InvalidTokens(f"{where} ({name}) no token of {SHORTEST} or more characters that a header can hold")
        digest = _digest(token.encode())
        if digest in callers:
            raise InvalidTokens(f"{where} ({name}) a token that {callers[digest].name} has already")
        callers[digest] = _caller(name, filter(None, scopes), f"{where} ({name})")
    return Tokens(callers)


def _caller(name: str, scopes: Iterable[str], where: str) -> Caller:
    given = set(scopes)
    prefixes = []
    for scope in sorted(given):
        kind, colon, prefix = scope.partition(":")
        if kind == "register" and colon and _PREFIX.fullmatch(prefix):
            prefixes.append(prefix)
        elif scope not in ("read", "admin"):
            raise InvalidTokens(f"{where} the scope {scope[:40]!r}: a scope is read, register:PREFIX or admin")
    if not given:
        raise InvalidTokens(f"{where} no scope: give it read, register:PREFIX or admin")
    admin = "admin" in given
    return Caller(name=name, reads=admin or "read" in given, admin=admin, prefixes=tuple(prefixes))


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()
