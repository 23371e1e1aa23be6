"""How many calls may be under way at once, and the line of those that wait for their turn."""

import asyncio
from collections import OrderedDict

#: How many calls may stand in line; one more is refused at once.
MAX_LINE = 10_000


class Gate:
    """A counter with a first-come-first-served line, bounded in length and in time."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._line: OrderedDict[asyncio.Future[bool], None] = OrderedDict()

    def enter(self) -> bool:
        """Take a place if one is free, without waiting."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def wait(self, until: float) -> bool:
        """Stand in line until the loop's time `until`; False: no place came free, or the line is full."""
        if len(self._line) >= MAX_LINE:
            return False
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_at(until, self._give_up, turn)
        self._line[turn] = None
        try:
            return await turn
        except asyncio.CancelledError:
            # The place may have been given in the very turn of the loop in which the caller was cancelled.
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave()
            raise
        finally:
            timer.cancel()
            self._line.pop(turn, None)

    def leave(self) -> None:
        """Hand the place to the first in line, or put it back."""
        while self._line:
            turn, _ = self._line.popitem(last=False)
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1

    def dismiss(self) -> None:
        """Send everybody in line away without a place."""
        while self._line:
            self._give_up(self._line.popitem(last=False)[0])

    @staticmethod
    def _give_up(turn: asyncio.Future[bool]) -> None:
        if not turn.done():
            turn.set_result(False)
