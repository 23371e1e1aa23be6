"""A virtual loop whose order is a seed's: what is ready together runs in any order, the same for the same seed."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from tests.support.virtual_loop import BEGINNING, VirtualLoop

T = TypeVar("T")


class SeededLoop(VirtualLoop):
    """asyncio promises no order between tasks, and nothing of ours may rest on the one that it happens to keep."""

    def __init__(self, seed: int, horizon: float) -> None:
        super().__init__(horizon)
        self._order = Random(f"order {seed}")

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]  # the loop's own queue, of handles
        if len(ready) > 1:
            handles = list(ready)
            self._order.shuffle(handles)
            ready.clear()
            ready.extend(handles)
        super()._run_once()  # type: ignore[misc]  # what a loop does again and again


class SkewedClock:
    """A runner's own clock: the loop's time, and what it is wrong by. A jump moves only the wall clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        #: Seconds that it is ahead.
        self.skew = 0.0

    def now(self) -> float:
        return BEGINNING + self._loop.time() + self.skew

    def millis(self) -> int:
        return int(self.now() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()


def run_seeded(seed: int, main: Callable[[], Coroutine[Any, Any, T]], *, horizon: float = 5_000.0) -> T:
    """The result of `main()` on a seeded loop of its own. Raises `Hang` where it would never end."""
    with asyncio.Runner(loop_factory=lambda: SeededLoop(seed, horizon)) as runner:
        return runner.run(main())
