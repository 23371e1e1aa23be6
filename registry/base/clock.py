"""Time as an argument: nobody else asks the machine what time it is."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """Two readings of time.

    - `now` is wall time in seconds since the epoch; it may jump, so it dates things and never measures them.
    - `millis` is the same in whole milliseconds, as records have it.
    - `monotonic` is seconds from an arbitrary start; it never goes back, so it measures things and never dates them.
    """

    def now(self) -> float: ...

    def millis(self) -> int: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's own clocks; not wrapped, because they are read with every request."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def millis(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands until it is moved; for tests and simulations."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        return self._now

    def millis(self) -> int:
        return int(self._now * 1000)

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both readings."""
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Move wall time alone, forward or back, as an administrator would."""
        self._now += seconds


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC with microseconds, `2026-01-31T12:00:00.000000Z`."""
    whole, fraction = divmod(round(seconds * 1e6), 1_000_000)
    return f"{_second(whole)}.{fraction:06d}Z"


@lru_cache(maxsize=64)
def _second(whole: int) -> str:
    """Kept, because the times of a busy process fall into a few seconds."""
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
