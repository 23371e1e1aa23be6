"""Passive health: an instance that keeps failing gets no calls for a while. One pybreaker per failing
instance.

An `Ejection` is made at the first failure and thrown away when its breaker is closed with nothing counted: a
success on a closed pybreaker does nothing but set its failure counter to zero, so no breaker and a fresh
breaker are the same, and an instance that works costs nothing.

pybreaker is used synchronously and after the fact (its coroutine entry points do not work, and its context
manager counts a cancellation as a failure): the caller awaits first and then settles the known outcome. When
the breaker may be tried again is decided here on a `Clock`, by calling `half_open`; pybreaker's own wall
clock therefore decides nothing, and a jump of it moves nothing.
"""

from contextlib import suppress
from typing import Final

import pybreaker

from registry.base.clock import Clock

#: Consecutive failures that eject, seconds of ejection, and successes in a row that end the trial after it.
FAIL_MAX: Final = 5
RESET_TIMEOUT: Final = 10.0
SUCCESS_THRESHOLD: Final = 3


class Ejection:
    """The failures of one instance and what follows from them.

    `era` names the breaker's present state; a call remembers the era it began in and its outcome counts only
    there, so a late failure of before the ejection cannot end a trial that goes well.
    """

    __slots__ = ("_breaker", "_clock", "_tried_at", "era")

    def __init__(self, clock: Clock, *, era: int) -> None:
        self._clock = clock
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=FAIL_MAX, reset_timeout=RESET_TIMEOUT, success_threshold=SUCCESS_THRESHOLD
        )
        self._tried_at = 0.0
        self.era = era

    @property
    def spent(self) -> bool:
        """Whether it can be thrown away: closed, with no failure counted."""
        return self._breaker.current_state == pybreaker.STATE_CLOSED and self._breaker.fail_counter == 0

    def admits(self) -> bool:
        """Whether the instance may be called now; after `RESET_TIMEOUT` seconds of ejection the trial begins
        here.
        """
        if self._breaker.current_state != pybreaker.STATE_OPEN:
            return True
        if self._clock.monotonic() < self._tried_at:
            return False
        self._breaker.half_open()
        self.era += 1
        return True

    @property
    def ejected(self) -> bool:
        """The same question without beginning the trial."""
        return self._breaker.current_state == pybreaker.STATE_OPEN and self._clock.monotonic() < self._tried_at

    def settle(self, *, ok: bool, era: int) -> None:
        """Count one outcome of a call that began in `era`."""
        if era != self.era or self._breaker.current_state == pybreaker.STATE_OPEN:
            return
        before = self._breaker.current_state
        with suppress(_CallFailed, pybreaker.CircuitBreakerError):
            self._breaker.call(_succeed if ok else _fail)
        if self._breaker.current_state != before:
            self.era += 1
            self._tried_at = self._clock.monotonic() + RESET_TIMEOUT


class _CallFailed(Exception):
    """Carries a known failure into the breaker; never leaves this module."""


def _succeed() -> None:
    return


def _fail() -> None:
    raise _CallFailed
