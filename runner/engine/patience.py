"""How long callers wait: many times that hardly ever come, watched by one timer of the event loop.

A timer of its own for each caller costs more than the whole of what a call means otherwise; here it is an entry in a
list that is looked at now and then, so a time comes up to `TICK` late.
"""

import asyncio
from collections.abc import Callable
from typing import Final

#: Seconds that a time may come late.
TICK: Final = 0.05


class Alarm:
    """A time that somebody waits for, and what happens then; `off` forgets it."""

    __slots__ = ("_slot", "ring")

    def __init__(self, ring: Callable[[], None], slot: "set[Alarm]") -> None:
        self.ring = ring
        self._slot = slot

    def off(self) -> None:
        """It is no longer wanted."""
        self._slot.discard(self)
        self.ring = _nothing  # what it would have called may well hold it: a circle that only the collector would end


def _nothing() -> None:
    """What an alarm does that is off."""


class Patience:
    """The alarms of one event loop."""

    def __init__(self) -> None:
        #: By the tick after which they ring.
        self._slots: dict[int, set[Alarm]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def until(self, when: float, ring: Callable[[], None]) -> Alarm:
        """Call `ring` at the loop's time `when`, or up to `TICK` later."""
        tick = int(when / TICK) + 1
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
            self._watch(tick)
        alarm = Alarm(ring, slot)
        slot.add(alarm)
        return alarm

    def _watch(self, tick: int) -> None:
        when = tick * TICK
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._look, tick)

    def _look(self, tick: int) -> None:
        self._timer = None
        for alarm in self._slots.pop(tick):
            alarm.ring()
        if self._slots:
            self._watch(min(self._slots))
