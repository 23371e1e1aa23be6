"""Functions on text: JMESPath's own and ours. Lengths and positions count characters."""

import base64
import binascii
import hashlib
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import msgspec
import re2

from registry.base.values import Json
from runner.saga.evaluation import (
    MAX_RESULT,
    Budget,
    ExpressionFailed,
    canonical_text,
    check_size,
    fill_text,
    json_text,
)
from runner.saga.function import Function, declare

#: Bytes that one compiled pattern may take; a larger one is refused when it is compiled.
_PATTERN_MEMORY: Final = 1_048_576

_options = re2.Options()
_options.log_errors = False
_options.max_mem = _PATTERN_MEMORY


@lru_cache(maxsize=256)
def pattern(text: str) -> Any:
    """The compiled RE2 pattern (no back-references, so linear time). Raises ExpressionFailed."""
    try:
        return re2.compile(text, _options)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0] if error.args else ""
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ExpressionFailed(f"matches() cannot read the pattern {text[:60]!r}: {reason}") from error


def percent_encode(text: str) -> str:
    """The text percent-encoded, but for RFC 3986's unreserved characters. Raises ExpressionFailed."""
    return quote(_utf8(text), safe="")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ExpressionFailed("a text holds half of a surrogate pair, which UTF-8 cannot say") from error


def whole(name: str, value: float, least: int | None = None) -> int:
    """`value` as an integer. Raises ExpressionFailed for a fraction, or below `least`."""
    if value != value // 1 or (least is not None and value < least):
        bound = "" if least is None else f" of at least {least}"
        raise ExpressionFailed(f"{name} takes a whole number{bound}, not {json_text(value)}")
    return int(value)


def _concat(budget: Budget, *parts: Json) -> str:
    texts = [fill_text(part) for part in parts]
    budget.build_text(sum(map(len, texts)))
    return "".join(texts)


def _join(budget: Budget, separator: str, texts: list[str]) -> str:
    budget.handle(texts)
    budget.build_text(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _split(budget: Budget, text: str, separator: str) -> list[str]:
    budget.handle(text)
    parts = text.split(separator) if separator else list(text)
    budget.spend(len(parts))
    return parts


def _replace(budget: Budget, text: str, old: str, new: str) -> str:
    _not_empty(old)
    budget.handle(text)
    budget.build_text(len(text) + text.count(old) * max(0, len(new) - len(old)))
    return text.replace(old, new)


def _not_empty(old: Json) -> None:
    if old == "":
        raise ExpressionFailed("replace() cannot look for an empty text")


def _lower(budget: Budget, text: str) -> str:
    budget.build_text(len(text))
    return text.lower()


def _upper(budget: Budget, text: str) -> str:
    budget.build_text(len(text))
    return text.upper()


def _trim(budget: Budget, text: str) -> str:
    budget.build_text(len(text))
    return text.strip()


def _substr(budget: Budget, text: str, start: float, length: float | None = None) -> str:
    budget.build_text(len(text))
    begin = whole("substr()", start)
    begin = max(0, len(text) + begin) if begin < 0 else begin
    return text[begin:] if length is None else text[begin : begin + whole("substr()", length, 0)]


def _matches(budget: Budget, text: str, expression: str) -> bool:
    budget.handle(text)
    budget.handle(expression)
    return pattern(expression).search(_utf8(text).decode()) is not None


def _ends_with(budget: Budget, text: str, end: str) -> bool:
    budget.handle(end)
    return text.endswith(end)


def _starts_with(budget: Budget, text: str, start: str) -> bool:
    budget.handle(start)
    return text.startswith(start)


def _to_json(budget: Budget, value: Json) -> str:
    budget.spend(MAX_RESULT - check_size(value) >> 5)
    text = canonical_text(value)
    budget.build_text(len(text))
    return text


def _to_string(budget: Budget, value: Json) -> str:
    if isinstance(value, str):
        return value
    budget.spend(MAX_RESULT - check_size(value) >> 5)
    text = json_text(value)
    budget.build_text(len(text))
    return text


def _from_json(budget: Budget, text: str) -> Json:
    budget.build_text(len(text))
    try:
        value = msgspec.json.decode(_utf8(text))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ExpressionFailed(f"from_json() cannot read {text[:40]!r}: it is not JSON ({error})") from error
    check_size(value)
    return value


def _base64(budget: Budget, text: str) -> str:
    budget.build_text(len(text) * 4 // 3 + 4)
    return base64.b64encode(_utf8(text)).decode()


def _from_base64(budget: Budget, text: str) -> str:
    budget.build_text(len(text))
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise ExpressionFailed(f"from_base64() cannot read {text[:40]!r}: not base64 of UTF-8 text") from error


def _url_encode(budget: Budget, text: str) -> str:
    budget.build_text(len(text) * 3)
    return percent_encode(text)


def _sha256(budget: Budget, text: str) -> str:
    budget.handle(text)
    return hashlib.sha256(_utf8(text)).hexdigest()


TEXTS: Final[tuple[Function, ...]] = (
    declare("base64(text: string) -> string", "The text's UTF-8 in base64.", _base64),
    declare(
        "concat(part: string|number|boolean...) -> string",
        "The parts as one text; numbers as JSON writes them. A null is an error.",
        _concat,
    ),
    declare("ends_with(text: string, end: string) -> boolean", "Does the text end so?", _ends_with),
    declare(
        "from_base64(text: string) -> string",
        "The UTF-8 text that the base64 says; else an error.",
        _from_base64,
    ),
    declare("from_json(text: string) -> any", "The value that the JSON text says; else an error.", _from_json),
    declare(
        "join(separator: string, texts: list<string>) -> string",
        "The texts with the separator between.",
        _join,
    ),
    declare("lower(text: string) -> string", "In lower case.", _lower),
    declare(
        "matches(text: string, pattern: string) -> boolean",
        "Does the pattern (RE2) occur in the text? Anchor it with ^ and $ for the whole text.",
        _matches,
        checks={1: pattern},
    ),
    declare(
        "replace(text: string, old: string, new: string) -> string",
        "With every `old`, taken literally, made `new`.",
        _replace,
        checks={1: _not_empty},
    ),
    declare("sha256(text: string) -> string", "SHA-256 of the text's UTF-8, in lower-case hex.", _sha256),
    declare(
        "split(text: string, separator: string) -> list",
        "The parts between separators; an empty separator gives the characters.",
        _split,
    ),
    declare("starts_with(text: string, start: string) -> boolean", "Does the text begin so?", _starts_with),
    declare(
        "substr(text: string, start: number, length: number = null) -> string",
        "From `start` (0 is the first character, negative counts from the end), so many characters or all.",
        _substr,
    ),
    declare(
        "to_json(value: any) -> string",
        "Compact JSON with sorted keys: equal values give equal texts, fit for sha256.",
        _to_json,
    ),
    declare("to_string(value: any) -> string", "A text as it is, anything else as compact JSON.", _to_string),
    declare("trim(text: string) -> string", "Without white space at both ends.", _trim),
    declare("upper(text: string) -> string", "In upper case.", _upper),
    declare(
        "url_encode(text: string) -> string",
        "Percent-encoded but for letters, digits and -._~ (RFC 3986).",
        _url_encode,
    ),
)
