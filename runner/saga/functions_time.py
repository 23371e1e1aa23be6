"""Functions on times: ISO 8601 texts in, ISO 8601 texts out. There is no clock here; start from
`saga.startedAt`.

A time without a zone is UTC, a date is its midnight.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from registry.base.values import Json
from runner.saga.evaluation import Budget, ExpressionFailed
from runner.saga.function import Function, declare
from runner.saga.functions_number import Number, quotient

_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,9}))?([Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_DURATION: Final = re.compile(r"(-?)(\d{1,15})(ms|s|m|h|d)", re.ASCII)
_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MICROSECONDS: Final = {
    "milliseconds": 1_000,
    "seconds": 1_000_000,
    "minutes": 60_000_000,
    "hours": 3_600_000_000,
    "days": 86_400_000_000,
}
_FIELD: Final = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|([^A-Za-z']+)", re.ASCII)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_FIELDS: Final = (
    "yyyy", "yy", "MMMM", "MMM", "MM", "M", "dd", "d", "EEEE", "EEE", "HH", "H", "hh", "h", "a",
    "mm", "m", "ss", "s", "SSS", "xxx", "DDD",
)  # fmt: skip


def read_time(text: str) -> datetime:
    """The moment an ISO 8601 text says, in its own offset. Raises ExpressionFailed."""
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not ISO 8601")
        day, minute, second, fraction, zone = match.groups()
        micros = (fraction or "").ljust(6, "0")[:6]
        offset = "+00:00" if zone in (None, "Z", "z") else zone
        return datetime.fromisoformat(f"{day}T{minute or '00:00'}{second or ':00'}.{micros}{offset}")
    except ValueError as error:
        raise ExpressionFailed(
            f"{text[:40]!r} is not a time; write it like '2026-05-01T10:00:00Z' ({error})"
        ) from error


def time_text(moment: datetime) -> str:
    """ISO 8601 with Z for UTC, and milli- or microseconds only where there are any."""
    places = "seconds" if not moment.microsecond else "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.isoformat(timespec=places).replace("+00:00", "Z")


def read_duration(text: Json) -> timedelta:
    """`250ms 30s 5m 2h 7d`, maybe with a minus before. Raises ExpressionFailed."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ExpressionFailed(f"{text[:40]!r} is not a duration; write it like '250ms', '30s', '5m', '2h' or '7d'")
    sign, count, unit = match.groups()
    try:
        return timedelta(**{_UNITS[unit]: int(sign + count)})
    except OverflowError as error:
        raise ExpressionFailed(f"the duration {text} is too long") from error


@lru_cache(maxsize=64)
def read_zone(name: str) -> ZoneInfo:
    """The IANA zone of that name. Raises ExpressionFailed."""
    try:
        return ZoneInfo(name)
    except (
        ValueError,
        KeyError,
        OSError,
    ) as error:  # what zoneinfo raises for odd, unknown and unreadable names
        raise ExpressionFailed(f"{name[:40]!r} is not a time zone; write it like 'Europe/Berlin'") from error


@lru_cache(maxsize=256)
def read_pattern(pattern: str) -> tuple[tuple[bool, str], ...]:
    """The pieces of a date pattern: (is a field, text). Raises ExpressionFailed at an unknown field."""
    pieces: list[tuple[bool, str]] = []
    position = 0
    while position < len(pattern):
        match = _FIELD.match(pattern, position)
        if match is None:
            raise ExpressionFailed(f"the date pattern {pattern[:60]!r} has a quote that is never closed")
        quoted, letter, plain = match.groups()
        if letter and match.group() not in _FIELDS:
            raise ExpressionFailed(
                f"the date pattern {pattern[:60]!r} has {match.group()!r}; known are {' '.join(_FIELDS)}, "
                "and plain text stands in single quotes"
            )
        text = match.group() if letter or plain else quoted.replace("''", "'") or "'"
        pieces.append((bool(letter), text))
        position = match.end()
    return tuple(pieces)


def _date_add(_: Budget, time: str, duration: str) -> str:
    try:
        return time_text(read_time(time) + read_duration(duration))
    except OverflowError as error:
        raise ExpressionFailed(f"{time} and {duration} lead out of the years 1 to 9999") from error


def _date_format(budget: Budget, time: str, pattern: str, zone: str = "UTC") -> str:
    budget.handle(pattern)
    try:
        moment = read_time(time).astimezone(UTC if zone == "UTC" else read_zone(zone))
    except OverflowError as error:
        raise ExpressionFailed(f"{time} lies outside the years 1 to 9999 in {zone}") from error
    return "".join(_field(text, moment) if is_field else text for is_field, text in read_pattern(pattern))


def _field(name: str, moment: datetime) -> str:
    match name[0]:
        case "y":
            return f"{moment.year:04}" if len(name) == 4 else f"{moment.year % 100:02}"
        case "M" if len(name) > 2:
            return _MONTHS[moment.month - 1][: 3 if len(name) == 3 else None]
        case "E":
            return _DAYS[moment.weekday()][: 3 if len(name) == 3 else None]
        case "a":
            return "AM" if moment.hour < 12 else "PM"
        case "S":
            return f"{moment.microsecond // 1000:03}"
        case "x":
            offset = moment.strftime("%z")
            return f"{offset[:3]}:{offset[3:5]}"
        case letter:
            value = {
                "M": moment.month,
                "d": moment.day,
                "D": moment.timetuple().tm_yday,
                "H": moment.hour,
                "h": moment.hour % 12 or 12,
                "m": moment.minute,
                "s": moment.second,
            }[letter]
            return f"{value:0{len(name)}}"


def _date_diff(_: Budget, a: str, b: str, unit: str) -> Number:
    check_unit(unit)
    microseconds = (read_time(a) - read_time(b)) // timedelta(microseconds=1)
    return quotient(Decimal(microseconds), Decimal(_MICROSECONDS[unit]))


def check_unit(unit: Json) -> None:
    """Raises ExpressionFailed where `unit` is no unit of `date_diff`."""
    if unit not in _MICROSECONDS:
        raise ExpressionFailed(f"date_diff() knows the units {', '.join(_MICROSECONDS)}, not {unit!r}")


TIMES: Final[tuple[Function, ...]] = (
    declare(
        "date_add(time: string, duration: string) -> string",
        "The time so much later ('4h') or earlier ('-7d'), in its own offset.",
        _date_add,
        checks={0: read_time, 1: read_duration},
    ),
    declare(
        "date_diff(a: string, b: string, unit: string) -> number",
        "a - b in milliseconds, seconds, minutes, hours or days, with fractions; floor() gives whole ones.",
        _date_diff,
        checks={0: read_time, 1: read_time, 2: check_unit},
    ),
    declare(
        "date_format(time: string, pattern: string, zone: string = 'UTC') -> string",
        f"The time in an IANA zone by a pattern of {' '.join(_FIELDS)}; plain text in single quotes.",
        _date_format,
        checks={0: read_time, 1: read_pattern, 2: read_zone},
    ),
)
