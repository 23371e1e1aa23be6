"""Starting a run: its first records, with the intents of its first steps, are one write."""

import asyncio
from collections.abc import Coroutine

import msgspec

from runner.engine.drive import Driver
from runner.engine.insist import SHORTEST, insist
from runner.engine.killpoints import reached
from runner.engine.live import Live
from runner.engine.programs import wants_follow_up
from runner.ports import Conflict, NewRun, Note, RunRow, StoreUnavailable
from runner.saga.advance import RunState
from runner.saga.definition import Program
from runner.saga.journal import Started, pack


class Starter:
    """Creates runs, each id once."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._starting: dict[str, asyncio.Future[None]] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """What the store has not answered yet is left to it."""
        for work in self._background:
            work.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def start(self, program: Program, new: NewRun, started: Started) -> RunRow | None:
        """Create a run with its first records and drive it in a task of its own.

        The row of the run that has this id already, or None. Raises as `begin` does.
        """
        begun = await self.begin(program, new, started)
        if isinstance(begun, Live):
            self._driver.take_up(begun, [])
            return None
        return begun

    async def begin(
        self, program: Program, new: NewRun, started: Started, *, unique: bool = False
    ) -> RunRow | Live | None:
        """Create a run with its first records: ours to be driven at once, or the row of the run of this id.

        `unique`: the id was drawn, so nobody else can be starting it. None where that run has been forgotten meanwhile.
        Raises `Conflict`, and `StoreUnavailable` where nobody knows whether the journal took it; then the same creation
        is sent on in the background, so that a run which does exist is driven.
        """
        self._driver.programs.know(program)
        if program.saga.durable and not unique and (new.id in self._starting or new.id in self._driver.live):
            row = await self._twin(new)
            if row is not None:
                return row
        live = Live(RunState(program, new.id), None)
        state = live.state
        self._driver.record(live, started)
        self._driver.perform(live, state.take())
        if not program.saga.durable:
            return self._ours(live)
        # An end that starts a follow-up is appended with it, so it cannot be part of the creation.
        held_back = 1 if state.ended is not None and wants_follow_up(state) else 0
        first = live.pending[: len(live.pending) - held_back]
        live.pending = live.pending[len(first) :]
        note = Note(status="running") if held_back else self._driver.note(state, False)
        encoded, blobs = pack(first)
        stored = live.stretch.begin(state, first, encoded)
        new = msgspec.structs.replace(new, records=tuple(stored), blobs=blobs)
        settled = None if unique else asyncio.get_running_loop().create_future()
        if settled is not None:
            self._starting[new.id] = settled
        try:
            return await self._create(live, new, note)
        except StoreUnavailable:
            self._behind(self._create_for_sure(live, new, note))
            raise
        finally:
            if settled is not None:
                settled.set_result(None)
                del self._starting[new.id]

    async def _twin(self, new: NewRun) -> RunRow | None:
        """The run of this id that this process has in hand: to the store the two would look like one sent twice."""
        waited = False
        while True:
            starting = self._starting.get(new.id)
            if starting is not None:
                waited = True
                await asyncio.shield(starting)
                continue
            if not waited and new.id not in self._driver.live:
                return None
            stored = await self._driver.journals.read(new.id)
            if stored is not None:
                break
            if new.id not in self._starting:  # else another that waited, too, was quicker
                return None
        if new.fingerprint and stored.row.fingerprint and new.fingerprint != stored.row.fingerprint:
            raise Conflict
        return stored.row

    async def _create(self, live: Live, new: NewRun, note: Note) -> RunRow | Live | None:
        reached("start.create")
        created = await self._driver.journals.create(new, note)
        reached("start.created")
        if created.hold is None:
            return created.existing
        if new.id in self._driver.live:
            # Two of one millisecond: the store took ours for the other one, sent again. One of them drives.
            stored = await self._driver.journals.read(new.id)
            return None if stored is None else stored.row
        live.hold = created.hold
        return self._ours(live)

    def _ours(self, live: Live) -> Live:
        """From here on the run is in our hands: whoever called for it drives it before anything else happens."""
        self._driver.live[live.state.id] = live
        return live

    async def _create_for_sure(self, live: Live, new: NewRun, note: Note) -> None:
        try:
            begun = await insist(new.id, lambda: self._create(live, new, note), pause=SHORTEST)
        except Conflict:
            return
        if isinstance(begun, Live):
            self._driver.take_up(begun, [])

    def _behind(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
