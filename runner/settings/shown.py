"""Every setting with its value, as it may be shown, and where it came from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from registry.base.values import Json
from runner.settings.containers import key_of
from runner.settings.given import DEFAULT
from runner.settings.journal import JournalUrl
from runner.settings.secret import MASK, Secret, secret_url
from runner.settings.streams import HttpStream, InProcessStream, KafkaStream, MemoryState, RedisState
from runner.settings.tree import Sections, Settings

#: The key `type` of the nouns that a `type` chooses.
_TYPES: Final[Mapping[type, str]] = {
    HttpStream: "http",
    InProcessStream: "inprocess",
    KafkaStream: "kafka",
    MemoryState: "memory",
    RedisState: "redis",
}
_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One setting as it may be shown."""

    #: Dotted, as messages name it: `runner.port`.
    key: str
    #: As one would write it into the file; secrets are masked. None: absent.
    value: Json
    #: `saga.yml:3:12`, `environment SAGA_RUNNER__PORT`, `command line`, `host name shop-2` or `default`.
    origin: str


def shown_values(settings: Settings) -> tuple[Shown, ...]:
    """All settings in the order of the reference, defaults too."""
    # Names of headers are in lower case there, and may be written otherwise.
    origins = {key.lower(): origin for key, origin in settings.origins.items()} | dict(settings.origins)
    return tuple(
        _shown(key, value, origins.get(key, DEFAULT))
        for place in fields(Sections)
        for key, value in _leaves(key_of(place.name), getattr(settings, place.name))
    )


def _leaves(key: str, value: Any, *, in_seconds: bool = False) -> Iterator[tuple[str, Json]]:
    """`(dotted key, value)` of a setting and of all below it."""
    if is_dataclass(value) and not isinstance(value, Secret | JournalUrl):
        if type(value) in _TYPES:
            yield f"{key}.type", _TYPES[type(value)]
        for place in fields(value):
            below = getattr(value, place.name)
            yield from _leaves(f"{key}.{key_of(place.name)}", below, in_seconds=place.name.endswith("_s"))
    elif isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from _leaves(f"{key}.{name}", below)
    else:
        yield key, _span(value) if in_seconds and value is not None else _plain(value)


def _plain(value: Any) -> Json:
    """A value as JSON; what is a noun of its own (a path, a network, a secret) as the text that may be seen."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return {} if isinstance(value, Mapping) else str(value)


def _span(seconds: float) -> str:
    """Seconds as the settings write them: `20s`, `200ms`, `7d`."""
    ms = round(seconds * 1_000)
    size, unit = next(((size, unit) for size, unit in _UNITS if ms and ms % size == 0), (1_000, "s"))
    return f"{ms // size}{unit}"


def _shown(key: str, value: Json, origin: str) -> Shown:
    """With what the reader could not know to be secret masked: passwords in URLs, variables fetched from elsewhere."""
    fetched = key.startswith("vars.") and origin.endswith(")")
    return Shown(key=key, value=MASK if fetched else _without_passwords(value), origin=origin)


def _without_passwords(value: Json) -> Json:
    if isinstance(value, list):
        return [_without_passwords(item) for item in value]
    return secret_url(value).shown if isinstance(value, str) and "://" in value else value
