"""What the parts of the expression language share: its two errors, its limits, truth, equality, sizes."""

from collections.abc import Mapping
from typing import Final

import msgspec

from registry.base.values import Json

#: Longest expression, in characters of UTF-8.
MAX_TEXT: Final = 4_096
#: Largest result, and largest text built on the way, in bytes of JSON or UTF-8.
MAX_RESULT: Final = 1_048_576
#: Deepest nesting: of an expression at load, of data that a function walks at run time.
MAX_NESTING: Final = 64
#: Work one evaluation may do: nodes visited, plus what functions charge for long texts and lists.
MAX_WORK: Final = 200_000

#: Characters of a text that cost as much as one visited node.
_TEXT_UNIT: Final = 64
#: Elements handled by a C loop that cost as much as one visited node.
_LIST_UNIT: Final = 8

_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="deterministic")

_KINDS: Final[Mapping[type, str]] = {
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


class ExpressionInvalid(Exception):
    """An expression that cannot be taken into service; found when a definition is loaded.

    `offset` counts characters from the start of the text (0-based), `hint` says how to mend it, `code` is a
    stable word: `syntax`, `unknown-name`, `unknown-step`, `unknown-function`, `arity`, `type`, `value`,
    `context-in-projection`, `bare-index`, `too-long`, `too-deep`. `where` leads to the text inside a template
    (keys and indices).
    """

    def __init__(
        self,
        message: str,
        *,
        offset: int = 0,
        hint: str = "",
        code: str = "syntax",
        where: tuple[str | int, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.hint = hint
        self.code = code
        self.where = where


class ExpressionFailed(Exception):
    """An evaluation that gave no value; `detail` is a sentence: which expression, and what was wrong."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Budget:
    """The work that is left to one evaluation, so that no definition can hold the process."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_WORK

    def spend(self, units: int) -> None:
        """Takes `units` away. Raises ExpressionFailed when nothing is left."""
        self.left -= units
        if self.left < 0:
            raise ExpressionFailed(f"it takes more than {MAX_WORK:,} evaluation steps; work on fewer or smaller items")

    def handle(self, value: str | list[Json] | Mapping[str, Json]) -> None:
        """Charges for a pass over a text, or over the first level of a list or an object."""
        self.spend(len(value) // (_TEXT_UNIT if isinstance(value, str) else _LIST_UNIT) + 1)

    def compare(self, text: str, times: int = 1) -> None:
        """Charges for comparing a text so many times; free for a short one."""
        self.spend((len(text) * times) >> 10)

    def build_text(self, length: int) -> None:
        """Asks leave to build a text of `length` characters. Raises ExpressionFailed over 1 MiB."""
        if length > MAX_RESULT:
            raise ExpressionFailed("it builds a text of more than 1 MiB")
        self.spend(length // _TEXT_UNIT + 1)


def falsy(value: Json) -> bool:
    """Null, false, '', [] and {} are falsy; everything else is true, 0 included."""
    return value is None or value is False or (not value and isinstance(value, (str, list, dict)))


def is_number(value: Json) -> bool:
    """True for JSON numbers; Python counts booleans among the integers, JSON does not."""
    return isinstance(value, (int, float)) and value is not True and value is not False


def equal(left: Json, right: Json, budget: Budget) -> bool:
    """JSON equality: 1 equals 1.0, true only true, key order does not matter. Charges for its walk."""
    if isinstance(left, list):
        if not isinstance(right, list) or len(left) != len(right):
            return False
        budget.spend(len(left))
        return all(equal(a, b, budget) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict):
        if not isinstance(right, dict) or left.keys() != right.keys():
            return False
        budget.spend(len(left))
        return all(equal(a, right[key], budget) for key, a in left.items())
    if isinstance(left, str):
        budget.compare(left)
    return scalar_equal(left, right)


def scalar_equal(left: Json, right: Json) -> bool:
    """`equal` where at least one side is known to be neither a list nor an object."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def kind_of(value: Json) -> str:
    """A value's kind in a sentence: `text`, `a list`, `null` ..."""
    return _KINDS.get(type(value), f"a Python {type(value).__name__}")


def json_text(value: Json) -> str:
    """The value as compact JSON, keys in their order, no escapes but the needed ones."""
    return _written(_encoder, value)


def canonical_text(value: Json) -> str:
    """The value as compact JSON with sorted keys: equal values give equal texts."""
    return _written(_canonical, value)


def _written(encoder: msgspec.json.Encoder, value: Json) -> str:
    try:
        return encoder.encode(value).decode()
    except UnicodeEncodeError as error:
        raise ExpressionFailed("a text holds half of a surrogate pair, which UTF-8 cannot say") from error


def fill_text(value: Json) -> str:
    """A value as it is put into a text. Raises ExpressionFailed for null, a list or an object."""
    if isinstance(value, str):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (int, float)):
        return json_text(value)
    raise ExpressionFailed(f"{kind_of(value)} cannot be put into a text; only text, numbers and booleans can")


def check_size(value: Json, depth: int = 0, left: int = MAX_RESULT) -> int:
    """What is left of `left` bytes once `value` is written as JSON (a lower bound, without escapes).

    Counts a part as often as it occurs, so a small structure that names one list a million times is found
    out. Raises ExpressionFailed over 1 MiB, or when nested deeper than `MAX_NESTING` levels.
    """
    if isinstance(value, str):
        left -= len(value) + 2 if value.isascii() else len(value.encode("utf-8", "replace")) + 2
    elif isinstance(value, list | dict):
        if depth >= MAX_NESTING:
            raise ExpressionFailed(f"its data is nested deeper than {MAX_NESTING} levels")
        left -= 2 + len(value)
        if isinstance(value, list):
            for item in value:
                left = check_size(item, depth + 1, left)
        else:
            for key, item in value.items():
                left = check_size(item, depth + 1, left - len(key) - 3)
    else:
        left -= 1
    if left < 0:
        raise ExpressionFailed("its result is larger than 1 MiB")
    return left
