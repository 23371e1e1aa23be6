"""Looking after runs that nobody drives: due ones, signalled ones, those of a runner that died, and the old.

Recovery is the ordinary path: an orphan and a run whose time has come are adopted by the same call.
"""

import asyncio
from typing import Final

import structlog

from registry.base.clock import Clock
from runner.engine.adopt import Adopter
from runner.engine.drive import Driver
from runner.engine.killpoints import reached
from runner.ports import Journals, StoreError

log = structlog.get_logger("saga.engine")

#: Seconds between two looks at the store when nothing is known to be due.
IDLE: Final = 1.0
#: Runs adopted in one look.
BATCH: Final = 200
#: Ended runs that one sweep forgets.
SWEEP: Final = 1_000
#: Share of the runs in flight that may be adopted ones: new requests keep the rest, however much there is to recover.
RECOVERED_SHARE: Final = 0.75
#: Seconds between two sweeps of ended runs, where one had less to do than it could.
SWEEP_EVERY: Final = 60.0


class Keeper:
    """The loop that looks after the store."""

    def __init__(self, *, driver: Driver, journals: Journals, clock: Clock, retention: float, most_live: int) -> None:
        self._driver = driver
        self._adopter = Adopter(driver)
        self._journals = journals
        self._clock = clock
        #: Seconds.
        self._retention = retention
        self._most_live = most_live
        self._task: asyncio.Task[None] | None = None
        #: When ended runs are swept next, by the monotonic clock; at the start, for a runner may never live long.
        self._sweep_at = clock.monotonic()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="keeper")

    async def stop(self) -> None:
        """Adopt nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Look now: something may be due."""
        self._driver.released.set()

    async def _run(self) -> None:
        while True:
            pause = IDLE
            try:
                pause = await self._look()
            except StoreError as error:
                log.warning("the journal does not answer", error=str(error))
            try:
                async with asyncio.timeout(pause):
                    await self._driver.released.wait()
            except TimeoutError:
                pass

    async def _adopt(self, run: str) -> bool:
        try:
            taken = await self._adopter.adopt(run)
            reached("recover.adopted")
            return taken
        except StoreError:
            raise
        except Exception:
            # One run that cannot be taken up must not keep the others waiting.
            log.exception("a run could not be taken up", run=run)
            return False

    async def _sweep(self, now: int) -> None:
        """Forget some runs that ended long ago; at the next look again, as long as there are more."""
        if self._clock.monotonic() < self._sweep_at:
            return
        reached("recover.sweep")
        gone = await self._journals.sweep(now - int(self._retention * 1000), SWEEP)
        reached("recover.swept")
        if gone < SWEEP:
            self._sweep_at = self._clock.monotonic() + SWEEP_EVERY

    async def _look(self) -> float:
        """Adopt what is due or orphaned, beat, sweep; seconds until the next look."""
        released = self._driver.released
        released.clear()
        reached("recover.look")
        room = int(self._most_live * RECOVERED_SHARE) - len(self._driver.live)
        stuck = False
        now = self._clock.millis()
        if room > 0:
            limit = min(room, BATCH)
            found = [*self._adopter.unsure, *await self._journals.orphans(limit), *await self._journals.due(now, limit)]
            if found:
                reached("recover.found")
            taken = [run for run in found[:limit] if await self._adopt(run)]
            if taken and len(found) >= limit:
                return 0.01
            # What nobody could take up (its bundle is missing, say) is looked at again in its turn, not in a spin.
            stuck = bool(found) and not taken
        unread = await self._journals.heartbeat()
        reached("recover.beat")
        await self._driver.signals(unread)
        await self._sweep(now)
        at = await self._journals.next_due()
        if at is None or room <= 0 or stuck:
            return IDLE
        return min(IDLE, max(0.005, (at - self._clock.millis()) / 1000))
