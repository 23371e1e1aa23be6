"""What was written, before it is understood: values that know where they came from, and layers of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from registry.base.values import Json

#: Origin of what nobody said.
DEFAULT: Final = "default"

Scalar: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One value as somebody gave it, with everything below it."""

    value: "Scalar | dict[str, Given] | list[Given]"
    #: Where it stands, as a message begins: `saga.yml:3:12`, `environment SAGA_RUNNER__PORT`, `command line`.
    origin: str
    #: Where its key stands; empty: the same place.
    key_origin: str = ""
    #: The whole text, where the source knows nothing but text: a key that wants text takes it as it is.
    raw: str | None = None
    #: It pointed to something that is not there, which has been reported.
    lost: bool = False

    @property
    def kind(self) -> str:
        """What it is, for a sentence: `a mapping`, `text`, ..."""
        match self.value:
            case None:
                return "nothing"
            case bool():
                return "true or false"
            case int() | float():
                return "a number"
            case str():
                return "text"
            case dict():
                return "a mapping"
            case _:
                return "a list"

    def plain(self) -> Json:
        """The value alone, as JSON."""
        match self.value:
            case dict():
                return {key: below.plain() for key, below in self.value.items()}
            case list():
                return [item.plain() for item in self.value]
            case _:
                return self.value

    def leaves(self, key: str = "") -> Iterator[tuple[str, str]]:
        """`(dotted key, origin)` of this value and of all below it."""
        if key:
            yield key, self.origin
        if isinstance(self.value, dict):
            for name, below in self.value.items():
                yield from below.leaves(f"{key}.{name}" if key else name)


def given(value: Json, origin: str) -> Given:
    """A plain JSON value as given from `origin`. Text in it is taken as it is."""
    if isinstance(value, Mapping):
        return Given(value={str(key): given(below, origin) for key, below in value.items()}, origin=origin)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Given(value=[given(item, origin) for item in value], origin=origin)
    return Given(value=value, origin=origin, raw=value if isinstance(value, str) else None)


def merged(below: Given, over: Given) -> Given:
    """`over` laid over `below`: mappings join key by key, anything else replaces."""
    if not isinstance(below.value, dict) or not isinstance(over.value, dict):
        return over
    joined = dict(below.value)
    for key, value in over.value.items():
        joined[key] = merged(joined[key], value) if key in joined else value
    return replace(below if below.origin != DEFAULT else over, value=joined)


def nested(keys: Sequence[str], value: Given) -> Given:
    """`value` as a tree that holds it at the path `keys` and nothing else."""
    for key in reversed(keys):
        value = Given(value={key: value}, origin=value.origin)
    return value
