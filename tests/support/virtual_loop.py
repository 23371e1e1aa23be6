"""An event loop whose time is a number: waiting moves it, so an hour passes at once and every run is the same run.

Nothing in here waits for the machine. Where nothing is ready and nothing is scheduled, a real loop would wait for ever;
this one says so.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: Wall time at which every virtual loop begins (seconds since the epoch).
BEGINNING = 1_700_000_000.0
#: Turns of one loop; more means that something goes round without time passing.
MOST_TURNS = 400_000


class Hang(AssertionError):
    """Nothing will ever happen again, or something goes on for ever."""


class _Selector(selectors.SelectSelector):
    """Waits by moving the loop's time."""

    def __init__(self, horizon: float) -> None:
        super().__init__()
        self.time = 0.0
        self._horizon = horizon
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Hang("nothing is ready and nothing is scheduled: whoever waits now waits for ever")
        self._turns += 1
        if self._turns > MOST_TURNS:
            raise Hang(f"{MOST_TURNS} turns of the loop, and it is only {self.time:.3f} s: it goes round")
        self.time += max(timeout, 0.0)
        if self.time > self._horizon:
            raise Hang(f"still at work after {self._horizon:.0f} virtual seconds")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on virtual time. Sockets and threads have no place in it."""

    def __init__(self, horizon: float = 200_000.0) -> None:
        self._virtual = _Selector(horizon)
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.time


class VirtualClock:
    """`Clock` on the time of a virtual loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return BEGINNING + self._loop.time()

    def millis(self) -> int:
        return int(self.now() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()


def run_virtually(main: Callable[[VirtualClock], Coroutine[Any, Any, T]], *, horizon: float = 200_000.0) -> T:
    """The result of `main(clock)` on a virtual loop of its own. Raises `Hang` where it would never end."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(horizon)) as runner:
        return runner.run(main(VirtualClock(runner.get_loop())))
