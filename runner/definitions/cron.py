"""Whether a cron text and a time zone can be taken: five fields, minute first, or six, seconds first."""

import re
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

MACROS: Final = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: Name, lowest, highest, words by number, whether `?` may stand.
_FIELDS: Final[tuple[tuple[str, int, int, dict[str, int], bool], ...]] = (
    ("second", 0, 59, {}, False),
    ("minute", 0, 59, {}, False),
    ("hour", 0, 23, {}, False),
    ("day of month", 1, 31, {}, True),
    ("month", 1, 12, {word: number for number, word in enumerate(_MONTHS, 1)}, False),
    ("day of week", 0, 7, {word: number for number, word in enumerate(_DAYS)}, True),
)
_ITEM: Final = re.compile(r"(\*|\?|[a-z0-9]{1,4})(?:-([a-z0-9]{1,4}))?(?:/([0-9]{1,4}))?")
#: The most days that each month can have.
_LENGTHS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def wrong_with_cron(text: str) -> str:
    """What is wrong with a cron text, as a sentence; empty if nothing is."""
    folded = text.strip().lower()
    if folded.startswith("@"):
        return "" if folded in MACROS else f"`{text}` is none of {', '.join(sorted(MACROS))}"
    parts = folded.split()
    if len(parts) not in (5, 6):
        return f"a cron text has 5 fields (minute first) or 6 (seconds first), and `{text}` has {len(parts)}"
    sets: dict[str, set[int]] = {}
    for part, (name, low, high, words, question) in zip(parts, _FIELDS[6 - len(parts) :], strict=True):
        found = _numbers(part, low, high, words, question)
        if isinstance(found, str):
            return f"in the {name} field: {found}"
        sets[name] = found
    if parts[-1] in ("*", "?") and all(min(sets["day of month"]) > _LENGTHS[month - 1] for month in sets["month"]):
        return "no month that it names has such a day, so it never comes"
    return ""


def _numbers(part: str, low: int, high: int, words: dict[str, int], question: bool) -> set[int] | str:
    found: set[int] = set()
    for item in part.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            return f"`{item}` is no number, range or step"
        first, last, step = match[1], match[2], match[3]
        if first == "?" and (not question or last or step or "," in part):
            return "`?` stands alone, for the day of month or the day of week"
        if step is not None and int(step) == 0:
            return "a step of 0 leads nowhere"
        if first in ("*", "?"):
            if last:
                return f"`{item}` is no range"
            start, end = low, high
        else:
            numbers = [_number(word, words) for word in (first, last) if word is not None]
            if any(number is None or not low <= number <= high for number in numbers):
                return f"`{item}` is not from {low} to {high}"
            start = numbers[0] or 0
            end = (numbers[1] or 0) if len(numbers) == 2 else high if step else start
            if end < start:
                return f"`{item}` ends before it begins"
        found.update(range(start, end + 1, int(step or 1)))
    return found


def _number(word: str, words: dict[str, int]) -> int | None:
    return int(word) if word.isdigit() else words.get(word)


@cache
def known_zone(name: str) -> bool:
    """Whether the IANA name of a time zone is known; any is, where the machine has no zone data at all."""
    if not available_timezones():
        return True
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
