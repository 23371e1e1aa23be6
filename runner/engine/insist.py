"""Asking a journal that does not answer, until it does: what it was asked is safe to ask again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from runner.ports import StoreUnavailable

log = structlog.get_logger("saga.engine")

#: Seconds before the first repetition, each next pause twice as long, up to the longest.
SHORTEST: Final = 0.05
LONGEST: Final = 1.0

_T = TypeVar("_T")


async def insist(run: str, ask: Callable[[], Awaitable[_T]], *, pause: float = 0.0) -> _T:
    """The answer to `ask`, which concerns this run; the very same is asked again while the store is out of reach.

    `pause`: seconds before the first time.
    """
    if pause:
        await asyncio.sleep(pause)
    while True:
        try:
            return await ask()
        except StoreUnavailable as error:
            pause = await pause_after(run, error, pause)


async def pause_after(run: str, error: StoreUnavailable, pause: float) -> float:
    """Wait after an answer that did not come. `pause`: seconds of the last wait (0: none); the result is this one's."""
    log.warning("the journal does not answer; asking the same again", run=run, error=str(error))
    pause = min(pause * 2, LONGEST) or SHORTEST
    await asyncio.sleep(pause)
    return pause
