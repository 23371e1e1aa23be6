"""Shapes: what may be written at each place of a definition, declared once.

The parser reads documents by them, the JSON Schema for editors is emitted from them, and their sentences are what
an author sees while typing. A shape says only what can be seen at that place; what needs the whole saga (names,
references, the pivot's rules) is a check.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

SLUG: Final = r"[a-z][a-z0-9_-]*"
NAME: Final = r"[a-z][A-Za-z0-9_]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """true or false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """An integer."""

    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Percent:
    """A number over 0 and up to 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number, fractions allowed, greater than `above`."""

    above: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Literal text: `${ }` is not evaluated here."""

    pattern: str | None = None
    #: How `pattern` is told to people, e.g. "a lower-case slug".
    told: str = ""
    choices: tuple[str, ...] = ()
    #: Choices are compared in upper case (HTTP verbs).
    upper: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """`250ms`, `30s`, `5m`, `2h`, `7d`; read as milliseconds."""

    #: A bare integer is milliseconds (the seed's own fields); elsewhere it is an error that names `30ms` and `30s`.
    bare: bool = False
    #: May also be one `${ }`.
    filled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """An expression that stands bare; one whole `${ }` is accepted, too."""

    #: Context names that exist here beside the usual ones.
    sees: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """Any JSON value whose strings may hold `${ }`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledText:
    """Text that may hold `${ }` and must come out as text."""

    #: A URL path: each filled value is percent-encoded as one segment.
    path: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """Any JSON value, taken as it is written."""

    #: Only a mapping is allowed.
    mapping: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """A list of error kinds: built-in words, statuses, classes, raised types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A list of steps; one step mapping may stand instead of a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """A list of one shape."""

    of: "Shape"
    empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping from free names to one shape."""

    of: "Shape"
    key: str | None = None
    most: int | None = None
    empty: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    """The first of these shapes whose YAML kind (mapping, list, text, number, flag) fits."""

    of: "tuple[Shape, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of a record."""

    shape: "Shape"
    #: One sentence for the author.
    doc: str
    required: bool = False
    #: The default as told to people; the value itself is the noun's own default.
    default: str = ""
    #: Null may stand here and means absent.
    nullable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A mapping with known keys."""

    keys: Mapping[str, Entry] = field(default_factory=dict)
    doc: str = ""


Shape: TypeAlias = (
    Flag
    | Whole
    | Percent
    | Number
    | Word
    | Duration
    | Bare
    | Filled
    | FilledText
    | Literal
    | Kinds
    | Steps
    | Many
    | Table
    | Either
    | Record
)
