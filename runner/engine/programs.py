"""Programs by the digest of their bundle, kept in memory or read from the store; and what follows a failed run."""

from collections import OrderedDict
from typing import Final

import msgspec
import structlog

from runner.definitions.bundle import BundleUnreadable, entered_by, open_bundle
from runner.engine.insist import insist
from runner.engine.intake import ON_FAIL, follow_up
from runner.engine.killpoints import reached
from runner.ports import Journals, NewRun, Note
from runner.saga.advance import RunState
from runner.saga.definition import Program
from runner.saga.journal import encode
from runner.saga.view import fault_view

log = structlog.get_logger("saga.engine")

#: Programs kept in memory.
MOST_PROGRAMS: Final = 1_000


class Programs:
    """What runs of this process run."""

    def __init__(self, journals: Journals) -> None:
        self._journals = journals
        self._kept: OrderedDict[str, Program] = OrderedDict()

    def know(self, program: Program) -> None:
        """Keep a program, so that its runs need not read their bundle; the one used longest ago goes."""
        self._kept[program.digest] = program
        self._kept.move_to_end(program.digest)
        while len(self._kept) > MOST_PROGRAMS:
            self._kept.popitem(last=False)

    async def get(self, digest: str) -> Program | None:
        """The program of a bundle; None where the store has none that this runner can open. Raises StoreUnavailable."""
        known = self._kept.get(digest)
        if known is not None:
            return known
        body = await self._journals.get_bundle(digest)
        reached("programs.read")
        if body is None:
            return None
        try:
            program = open_bundle(body)
        except BundleUnreadable as error:
            log.error("a bundle cannot be opened", bundle=digest, error=str(error))
            return None
        self.know(program)
        return program

    async def follow_up(self, state: RunState, now: int) -> tuple[tuple[NewRun, Note], ...]:
        """The run that `onFail` names, its bundle made durable; none where the journal lost the run's own bundle.

        Asks a journal that does not answer until it does.
        """
        return await insist(state.id, lambda: self._follow_up(state, now))

    async def _follow_up(self, state: RunState, now: int) -> tuple[tuple[NewRun, Note], ...]:
        started, ended, saga = state.started, state.ended, state.program.saga
        assert started is not None
        assert ended is not None
        body = await self._journals.get_bundle(started.bundle)
        if body is None:
            log.error("onFail cannot start: the bundle is missing", run=state.id)
            return ()
        digest, entered = entered_by(body, saga.on_fail or "")
        reached("programs.follow-up")
        await self._journals.put_bundle(digest, entered)
        reached("programs.followed")
        program = open_bundle(entered)
        self.know(program)
        new, begun = follow_up(
            program,
            run=state.id,
            ended={"saga": saga.id, "version": saga.version, "status": ended.status},
            given=started.input,
            error=fault_view(ended.error),
            now=now,
        )
        return ((msgspec.structs.replace(new, records=(encode(begun),)), Note(status="running")),)


def wants_follow_up(state: RunState) -> bool:
    """Whether the run has come to an end that starts its `onFail`; what `onFail` started starts none."""
    ended, started = state.ended, state.started
    if ended is None or started is None or ended.status == "completed" or not state.program.saga.on_fail:
        return False
    return started.event.get("stream") != ON_FAIL
