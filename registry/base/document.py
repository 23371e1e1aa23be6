"""A document that somebody sent: JSON that means one thing, or a sentence why it does not.

RFC 8259 leaves open what a name said twice means, and readers differ: the one that checks an order may see another
amount than the one that books it. Numbers that a double cannot hold differ likewise. Both are refused here.
"""

import json
import re
from typing import Final

import msgspec

from registry.base.values import Json

#: Digits of a whole number that fits a double whatever they are.
DIGITS: Final = 308

#: Every name of an object is one match; what only looks like it, within a string, is one too many.
_NAMES: Final = re.compile(rb'"[ \t\r\n]*:')
#: From the first digit on only, so that a long number is looked at once.
_LONG_NUMBER: Final = re.compile(rb"(?<![0-9])[0-9]{%d}" % (DIGITS + 1))


class InvalidDocument(ValueError):
    """The message completes `The body ...`, without a full stop."""


def read_document(body: bytes, *, deepest: int) -> Json:
    """The value. Raises `InvalidDocument` for what is no JSON in UTF-8, nests lists and objects more than `deepest`,
    says a name twice in one object, or holds a number outside the range of a double.
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidDocument(f"is not JSON: {error}") from None
    except RecursionError:
        raise InvalidDocument(f"is nested more than {deepest} deep") from None
    names = _names(value, deepest) if isinstance(value, (list, dict)) else 0
    if names != len(_NAMES.findall(body)) or (len(body) > DIGITS and _LONG_NUMBER.search(body)):
        _look_closely(body)
    return value


def _names(value: Json, deepest: int) -> int:
    """How many names its objects have; level by level, so that no document can exhaust us."""
    level = [value]
    names = 0
    for _ in range(deepest):
        below = []
        for item in level:
            values = item
            if isinstance(item, dict):
                names += len(item)
                values = item.values()
            below += [inner for inner in values if isinstance(inner, (list, dict))]
        if not below:
            return names
        level = below
    raise InvalidDocument(f"is nested more than {deepest} deep")


def _look_closely(body: bytes) -> None:
    json.loads(body, object_pairs_hook=_said_once, parse_int=_in_range)


def _said_once(pairs: list[tuple[str, Json]]) -> None:
    seen = set()
    for name, _ in pairs:
        if name in seen:
            raise InvalidDocument(f"says {json.dumps(name[:80])} twice in one object: say it once")
        seen.add(name)


def _in_range(digits: str) -> None:
    if (many := len(digits.lstrip("-"))) > DIGITS:
        raise InvalidDocument(f"holds a whole number of {many} digits: send it as a string")
