"""From what was given to what it means: one reader per kind of single value, and a report of every error.

A reader never raises. Where a value is wrong it reports a sentence and answers a stand-in, which nobody sees:
a report with a sentence in it ends in `SettingsInvalid`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from runner.definitions.findings import meant
from runner.settings.given import Given
from runner.settings.secret import Secret, secret_url

#: Line and column at the end of an origin, behind which stands at most what it pointed to.
_PLACE: Final = re.compile(r":([0-9]+):([0-9]+)(?: \(.*\))?\Z", re.DOTALL)
_DURATION: Final = re.compile(r"([0-9]+)(ms|s|m|h|d)", re.ASCII)
_UNIT_MS: Final[Mapping[str, int]] = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

#: Longest text shown in a message.
_SHOWN: Final = 60


class Report:
    """Sentences about what is wrong."""

    __slots__ = ("_found", "folder", "incomplete")

    def __init__(self, folder: Path) -> None:
        #: What relative paths count from.
        self.folder = folder
        #: Something that was pointed to is not there, so nothing can be said of values together.
        self.incomplete = False
        self._found: list[tuple[tuple[int, int], str]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, origin: str, sentence: str) -> None:
        """`<where it came from>: <what is wrong, and how to mend it>`."""
        place = _PLACE.search(origin)
        at = (int(place[1]), int(place[2])) if place else (0, 0)
        self._found.append((at, f"{origin}: {sentence}"))

    def sentences(self) -> tuple[str, ...]:
        """What has no place in the file first, then line by line."""
        return tuple(sentence for _, sentence in sorted(self._found, key=lambda found: found[0]))


class Reader(Protocol):
    """Reads one value of one kind."""

    def read(self, given: Given, key: str, report: Report) -> Any: ...


def shown(given: Given) -> str:
    """What was given, for a message: `the text "80a"`, `a mapping`."""
    value = given.raw if given.raw is not None else given.value
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return f'"{value if len(value) <= _SHOWN else value[:_SHOWN] + "..."}"'
        case _:
            return given.kind


def wrong(given: Given, key: str, report: Report, told: str, mend: str = "", *, secret: bool = False) -> None:
    """Report that `key` must be `told`, and how to mend it; a secret is not shown."""
    what = given.kind if secret else shown(given)
    report.add(given.origin, f"{key} must be {told}, not {what}" + (f"; {mend}" if mend else ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """true or false."""

    def read(self, given: Given, key: str, report: Report) -> bool:
        if not isinstance(given.value, bool):
            wrong(given, key, report, "true or false", "write it without quotes")
            return False
        return given.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number from `low` to `high`."""

    low: int = 0
    high: int | None = None

    def read(self, given: Given, key: str, report: Report) -> int:
        value = given.value
        inside = (
            isinstance(value, int)
            and not isinstance(value, bool)
            and value >= self.low
            and (self.high is None or value <= self.high)
        )
        if not inside:
            span = f"from {self.low} to {self.high}" if self.high is not None else f"of {self.low} or more"
            wrong(given, key, report, f"a whole number {span}", f"write for example {max(self.low, 1)}")
            return self.low
        assert isinstance(value, int)
        return value


def _text(given: Given) -> str | None:
    """The text that was given; None where it is none. An empty one is none either."""
    if given.raw is not None:
        return given.raw or None
    return (given.value or None) if isinstance(given.value, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text, of the form `pattern` where one is given."""

    pattern: str = ""
    #: What it is, and one example.
    told: str = "text"
    example: str = ""
    #: Whether it may be empty.
    empty: bool = False
    #: Whether a whole number counts as its digits (a status as an error kind).
    number: bool = False

    def read(self, given: Given, key: str, report: Report) -> str:
        text = _text(given)
        if self.empty and not (given.value if given.raw is None else given.raw):
            return ""
        if self.number and isinstance(given.value, int) and not isinstance(given.value, bool):
            text = str(given.value)
        if text is None or (self.pattern and not re.fullmatch(self.pattern, text)):
            quote = "put it in quotes" if isinstance(given.value, bool | int | float) else ""
            wrong(given, key, report, self.told, f"write for example {self.example}" if self.example else quote)
            return ""
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, given: Given, key: str, report: Report) -> str:
        text = _text(given)
        if text not in self.words:
            told = f"one of {', '.join(self.words)}" if len(self.words) > 1 else self.words[0]
            wrong(given, key, report, told, meant(text or "", self.words))
            return self.words[0]
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """`250ms`, `20s`, `5m`, `2h`, `7d`, as seconds."""

    low_ms: int = 0

    def read(self, given: Given, key: str, report: Report) -> float:
        text = given.value if isinstance(given.value, str) else ""
        found = _DURATION.fullmatch(text.strip())
        if found is None:
            bare = isinstance(given.value, int) and not isinstance(given.value, bool)
            mend = f"write {given.value}ms or {given.value}s" if bare else "write for example 250ms, 20s, 5m, 2h or 7d"
            wrong(given, key, report, "a duration with its unit", mend)
            return 0
        span = int(found[1]) * _UNIT_MS[found[2]]
        if span < self.low_ms:
            wrong(given, key, report, f"at least {self.low_ms}ms", "write it longer")
        return span / 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A file or folder; a relative one counts from the settings file's folder."""

    def read(self, given: Given, key: str, report: Report) -> Path:
        text = _text(given)
        if text is None or "\0" in text:
            wrong(given, key, report, "the path of a file or folder")
            return report.folder
        return report.folder / text


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An absolute URL of one of `schemes`, or one of `words`; masked as a Secret where `secret`."""

    schemes: tuple[str, ...] = ("http", "https")
    words: tuple[str, ...] = ()
    secret: bool = False

    def read(self, given: Given, key: str, report: Report) -> str | Secret:
        text = _text(given) or ""
        if text in self.words or self._fits(text):
            return secret_url(text) if self.secret else text
        if self.secret is False and "@" in text.partition("://")[2].partition("/")[0]:
            # Credentials in a URL end up in logs and listings.
            report.add(given.origin, f"{key} must hold no user or password; send them as a header instead")
            return ""
        told = f"an absolute {' or '.join(s + '://' for s in self.schemes)} URL"
        mend = f"write for example {self.schemes[0]}://127.0.0.1:9000"
        if self.words:
            told += f" or the word {' or '.join(self.words)}"
        wrong(given, key, report, told, mend, secret=self.secret)
        return secret_url("") if self.secret else ""

    def _fits(self, text: str) -> bool:
        try:
            parts = urlsplit(text)
            _ = parts.port  # raises where it is no port
        except ValueError:
            return False
        open_ = self.secret or "@" not in parts.netloc
        return parts.scheme in self.schemes and bool(parts.netloc) and open_ and not re.search(r"\s", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """Text that is a secret."""

    #: It goes into a header, so it has no line breaks or other control characters.
    line: bool = False

    def read(self, given: Given, key: str, report: Report) -> Secret:
        text = _text(given)
        if text is not None and self.line and not (text.isprintable() and text.isascii()):
            report.add(given.origin, f"{key} must be one line of plain ASCII to stand in a header; take the rest out")
        elif text is None:
            wrong(given, key, report, "text", "put it in quotes, or write env:NAME or file:PATH", secret=True)
        return Secret(value=text or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """An address range, `10.0.0.0/8`."""

    def read(self, given: Given, key: str, report: Report) -> IPv4Network | IPv6Network:
        text = _text(given) or ""
        try:
            return ip_network(text)
        except ValueError as error:
            wrong(given, key, report, f"an address range ({error})", "write for example 10.0.0.0/8")
            return IPv4Network("0.0.0.0/32")
