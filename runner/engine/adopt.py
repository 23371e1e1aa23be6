"""Adopting a run that nobody drives: the journal is folded, what was open is unknown, and it goes on from there."""

from typing import Final

import msgspec
import structlog

from runner.engine.drive import Driver
from runner.engine.killpoints import reached
from runner.engine.live import Live
from runner.engine.times import overdue
from runner.ports import Claimed, StoreError
from runner.saga.advance import RunState
from runner.saga.command import Write
from runner.saga.definition import Program
from runner.saga.journal import unpack
from runner.saga.state import JournalInvalid
from runner.saga.steering import RESUME

log = structlog.get_logger("saga.engine")

#: Takeovers in a row without progress before a person is asked.
MOST_TAKEOVERS: Final = 5
#: How long a run whose bundle is missing is left to other runners (milliseconds).
MISSING_FOR: Final = 600_000
#: When such a run is looked at again (milliseconds).
MISSING_AGAIN: Final = 10_000


class Adopter:
    """Takes up due runs, signalled ones, and those of a runner that died."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        #: Runs whose claim the store did not answer: to be claimed again, for nobody else finds them.
        self.unsure: set[str] = set()
        self._adopting: set[str] = set()

    async def adopt(self, run: str) -> bool:
        """Claim a run that is nobody's and go on with it; whether it is in our hands by that.

        Raises StoreUnavailable; the claim is then to be sent again (`unsure`).
        """
        if run in self._driver.live or run in self._adopting or self._driver.stopping:
            return False
        self._adopting.add(run)
        self.unsure.add(run)
        try:
            reached("adopt.claim")
            claimed = await self._driver.journals.claim(run)
            reached("adopt.claimed")
            if claimed is None:
                self.unsure.discard(run)
                return False
            program = await self._driver.programs.get(claimed.row.bundle)
            self.unsure.discard(run)
            if program is None:
                await self._missing(claimed)
            elif claimed.takeovers > MOST_TAKEOVERS and not any(u.signal.name == RESUME for u in claimed.unread):
                await self._driver.leave_alone(claimed.hold, "parked", "poison", None)
            else:
                return await self._resume_or_park(program, claimed)
            return False
        finally:
            self._adopting.discard(run)

    async def _resume_or_park(self, program: Program, claimed: Claimed) -> bool:
        try:
            return await self._resume(program, claimed)
        except StoreError:
            raise
        except Exception:
            # A fault of ours. The run is claimed, so nobody else would ever look at it: a person is asked.
            log.exception("a run could not be taken up", run=claimed.row.id)
            await self._driver.leave_alone(claimed.hold, "parked", "runner-fault", None)
            return False

    async def _resume(self, program: Program, claimed: Claimed) -> bool:
        state = RunState(program, claimed.row.id)
        live = Live(state, claimed.hold)
        try:
            for record in unpack(claimed.records, claimed.blobs):
                state.apply(record)
        except (JournalInvalid, msgspec.MsgspecError) as error:
            log.error("a journal does not fit its definition", run=state.id, error=str(error))
            await self._driver.leave_alone(claimed.hold, "parked", "journal-invalid", None)
            return False
        live.stretch.know(state, claimed.records)
        state.take()
        now = self._driver.performer.now()
        for record in state.interrupted():
            self._driver.record(live, msgspec.structs.replace(record, t=now))
        live.hear(claimed.unread)
        while live.inbox:
            self._driver.merge(live, live.inbox.popleft())
        # What has fallen due meanwhile comes before the wishes: past a saga's timeout no forward request leaves.
        for key in overdue(state, now):
            for command in state.fire(key, now):
                if isinstance(command, Write):
                    self._driver.record(live, command.record)
        reached("adopt.folded")
        self._driver.take_up(live, state.outstanding())
        reached("adopt.taken-up")
        return True

    async def _missing(self, claimed: Claimed) -> None:
        """The bundle is not here: leave the run to a runner that has it, and ask a person after a while."""
        now = self._driver.performer.now()
        if now - claimed.row.started_at > MISSING_FOR:
            await self._driver.leave_alone(claimed.hold, "parked", "definition-missing", None)
        else:
            await self._driver.leave_alone(claimed.hold, claimed.row.status, "definition-missing", now + MISSING_AGAIN)
