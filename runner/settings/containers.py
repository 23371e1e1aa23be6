"""Readers of what holds other values: lists, tables, and sections, which are made from nouns."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

from registry.base.values import Json
from runner.definitions.findings import meant
from runner.settings.given import Given
from runner.settings.scalars import Choice, Reader, Report, wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """Any JSON value."""

    def read(self, given: Given, key: str, report: Report) -> Json:
        return given.plain()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What `of` accepts, as JSON in the words in which it was written."""

    of: Reader

    def read(self, given: Given, key: str, report: Report) -> Json:
        self.of.read(given, key, report)
        return given.plain()


@dataclass(frozen=True, slots=True, kw_only=True)
class Optional:
    """What `of` reads, or nothing: null, or a variable that says so or is empty."""

    of: Reader

    def read(self, given: Given, key: str, report: Report) -> Any:
        nothing = given.value is None and (given.raw or "").strip() in ("", "null", "~")
        return None if nothing else self.of.read(given, key, report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """A list. One value may stand for a list of one; the environment may also number its items from 0."""

    of: Reader
    least: int = 0

    def read(self, given: Given, key: str, report: Report) -> tuple[Any, ...]:
        match given.value:
            case list() as items:
                wanted = items
            case dict() as numbered if numbered and all(name.isdigit() for name in numbered):
                wanted = [numbered[name] for name in sorted(numbered, key=int)]
            case dict() | None:
                wrong(given, key, report, "a list", "write for example [a, b]")
                return ()
            case _:
                wanted = [given]
        if len(wanted) < self.least:
            report.add(given.origin, f"{key} must not be empty; leave it out to have the default")
        return tuple(self.of.read(item, f"{key}[{at}]", report) for at, item in enumerate(wanted) if not item.lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping from free names to values of one kind."""

    of: Reader
    #: What its names may be.
    name: str = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
    #: Its names are those of HTTP headers: in lower case, and parted by hyphens.
    header: bool = False

    def read(self, given: Given, key: str, report: Report) -> dict[str, Any]:
        if given.value is None:
            return {}
        if not isinstance(given.value, dict):
            wrong(given, key, report, "a mapping")
            return {}
        out = {}
        for name, below in given.value.items():
            if not re.fullmatch(self.name, name):
                at = below.key_origin or below.origin
                report.add(at, f"{key} has the name `{name}`, which may not stand there; write another")
            if not below.lost:
                out[name.lower() if self.header else name] = self.of.read(below, f"{key}.{name}", report)
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A mapping with known keys, one per field of a noun; see `section`."""

    #: Key -> (argument of `build`, reader).
    keys: Mapping[str, tuple[str, Reader]]
    build: Callable[..., Any]
    required: tuple[str, ...] = ()
    #: Known keys that somebody else reads.
    passed: tuple[str, ...] = ()

    def read(self, given: Given, key: str, report: Report) -> Any:
        if given.value is not None and not isinstance(given.value, dict):
            wrong(given, key or "the whole file", report, "a mapping")
            return None
        below = given.value or {}
        prefix = f"{key}." if key else ""
        before = len(report)
        for name, value in below.items():
            if name not in self.keys and name not in self.passed:
                known = [*self.keys, *self.passed]
                report.add(
                    value.key_origin or value.origin,
                    f"{prefix}{name} is no setting; {suggestion(name, known)}",
                )
        arguments = {
            argument: reader.read(below[name], f"{prefix}{name}", report)
            for name, (argument, reader) in self.keys.items()
            if name in below and not below[name].lost
        }
        for name in self.required:
            if name not in below:
                report.add(given.origin, f"{key} lacks `{name}`; say it as {prefix}{name}")
        if len(report) > before or report.incomplete:
            return None
        noun = self.build(**arguments)
        for name, sentence in getattr(noun, "faults", tuple)():
            origin = below[name].origin if name in below else given.origin
            report.add(origin, f"{prefix}{name} {sentence}")
        return noun


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A mapping whose key `type` says which section it is."""

    of: Mapping[str, Section]

    def read(self, given: Given, key: str, report: Report) -> Any:
        if not isinstance(given.value, dict):
            wrong(given, key, report, "a mapping", f"write for example {{type: {next(iter(self.of))}}}")
            return None
        word = given.value.get("type")
        if word is None:
            report.add(given.origin, f"{key} lacks `type`; it is one of {', '.join(self.of)}")
            return None
        kind = Choice(words=tuple(self.of)).read(word, f"{key}.type", report)
        return self.of[kind].read(given, key, report)


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean ...?`, or what is known."""
    return meant(name, known, f"known here: {', '.join(sorted(known))}")


def key_of(field_name: str) -> str:
    """The key of a noun's field: in camel case, without the `_s` or `_ms` that tells the unit."""
    first, *rest = re.sub(r"_m?s$", "", field_name).split("_")
    return first + "".join(word.capitalize() for word in rest)


def section(noun: type[Any], *, passed: tuple[str, ...] = ()) -> Section:
    """The section that a noun stands for: each field is `Annotated` with the reader of its key.

    A key is its field's name in camel case, without the `_s` or `_ms` that tells the unit. A field without a
    default is a required key. A noun may have `faults()`, which yields `(key, sentence)` for what only the
    whole can tell.
    """
    hints = get_type_hints(noun, include_extras=True)
    keys: dict[str, tuple[str, Reader]] = {}
    required = []
    for place in fields(noun):
        key = key_of(place.name)
        keys[key] = (place.name, hints[place.name].__metadata__[0])
        if place.default is MISSING and place.default_factory is MISSING:
            required.append(key)
    return Section(keys=keys, build=noun, required=tuple(required), passed=passed)
