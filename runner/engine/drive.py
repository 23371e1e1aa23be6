"""Driving a run: perform its wishes, append what happened, apply it, ask again.

A run is driven in the task of the caller who waits for it, or in one of its own. What one step leads to without the
world (the next step's intent, a planned retry, a turn) goes into one append, and nothing is sent before that append is
durable. While an append is in flight, outcomes gather for the next one. An attempt that nothing else is open beside is
awaited in place; several get a task each.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Final

import structlog

from registry.base.clock import Clock
from runner.engine.insist import insist, pause_after
from runner.engine.killpoints import reached
from runner.engine.live import Live, Verdict, Waiter, verdict_of
from runner.engine.perform import Performer
from runner.engine.programs import Programs, wants_follow_up
from runner.engine.times import deadline, overdue
from runner.engine.watch import Watchers
from runner.ports import Fenced, Hold, Journals, NewRun, Note, StoreError, StoreUnavailable, Unread
from runner.saga.advance import RunState
from runner.saga.command import Abort, Attempt, Command, Write
from runner.saga.exchange import Request, StreamRecord
from runner.saga.fault import Fault
from runner.saga.journal import Begun, Record, Refused, Signalled, Unknown, pack
from runner.saga.tree import Spot

log = structlog.get_logger("saga.engine")

#: A run whose branches all wait at least so long (milliseconds) is given back to the store.
RELEASE_AFTER: Final = 1_000
#: What most appends say.
RUNNING: Final = Note(status="running")
#: Seconds that a caller whose run is left to the journal has to be told so.
LAST_WORDS: Final = 1.0


class Driver:
    """Every run that this process has in its hands."""

    def __init__(self, *, journals: Journals, performer: Performer, clock: Clock) -> None:
        self.journals = journals
        self.performer = performer
        self.clock = clock
        self.programs = Programs(journals)
        self.live: dict[str, Live] = {}
        #: Who looks on; they are told what has become durable.
        self.watchers = Watchers(journals, self.live)
        #: Runs given back that this process looks after: the scan is woken through this.
        self.released = asyncio.Event()
        self._waiters: dict[str, list[Waiter]] = {}
        self.stopping = False

    # ------------------------------------------------------------------ from outside

    def take_up(self, live: Live, commands: list[Command]) -> None:
        """Drive a run from now on in a task of its own, beginning with these wishes."""
        self.live[live.state.id] = live
        live.task = asyncio.create_task(self._run(live, commands))

    def drive(self, live: Live) -> Coroutine[None, None, Verdict | None]:
        """Drive a run in the caller's own task. What it came to; None where it went out of our hands before that."""
        live.task = asyncio.current_task()
        return self._run(live, [])

    def wait_for(self, run: str) -> Waiter:
        """Resolves when the run ends, parks, or goes out of our hands for good."""
        future: Waiter = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(run, []).append(future)
        return future

    def forget(self, run: str, waiter: Waiter) -> None:
        """Nobody waits there any more."""
        waiters = self._waiters.get(run)
        if waiters is not None and waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[run]

    async def signals(self, unread: Iterable[Unread]) -> None:
        """Hand signals that the store told of to the runs they are for."""
        by_run: dict[str, list[Unread]] = {}
        for item in unread:
            by_run.setdefault(item.run, []).append(item)
        for run, items in by_run.items():
            live = self.live.get(run)
            if live is not None:
                live.hear(tuple(items))

    async def stop(self, grace: float) -> None:
        """Let runs in flight finish for `grace` seconds; what is left is the journal's."""
        self.stopping = True
        tasks = [live.task for live in self.live.values() if live.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for live in list(self.live.values()):
            for task in live.tasks.values():
                task.cancel()
            if live.task is not None:
                live.task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORDS)
        self.watchers.close()

    # ------------------------------------------------------------------ one run

    async def _run(self, live: Live, commands: list[Command]) -> Verdict | None:
        state, verdict = live.state, None
        try:
            while True:
                if commands:
                    self.perform(live, commands)
                release = not state.open and self._may_release(live)
                if live.pending or release:
                    await self._append(live, release)
                if state.ended is not None:
                    reached("drive.ended")
                    verdict = verdict_of(state)
                    return verdict
                if release:
                    # Nobody's now, even where signals came with the answer: then it is due at once, and claimed anew.
                    reached("drive.released")
                    if state.status == "parked":
                        verdict = verdict_of(state)
                    self.released.set()
                    return verdict
                send = live.send
                if len(send) == 1 and len(state.live) == 1:
                    live.send = []
                    spot, request, number = send[0]
                    live.results.append(
                        await self.performer.attempt(state, spot, request, number, deadline(state, spot))
                    )
                elif send:
                    live.send = []
                    for spot, request, number in send:
                        self._start(live, spot, request, number)
                        reached("drive.side-by-side")
                commands = self._gathered(live)
                while not (commands or live.pending or self._may_release(live)):
                    await self._roused(live)
                    commands = self._gathered(live)
        except Fenced:
            log.warning("run taken over by another runner", run=state.id)
            return None
        except Exception:
            # A fault of ours must not take other runs along, nor be repeated for ever: a person is asked.
            log.exception("driving a run failed", run=state.id)
            if live.hold is not None:
                await self.leave_alone(live.hold, "parked", "runner-fault", None)
            verdict = Verdict(program=state.program, status="parked", ended=None, fault=None, pivot_sent=False)
            return verdict
        finally:
            self._close(live)
            if verdict is not None:  # and never what could not be made durable
                self._tell(state.id, verdict)
            if state.ended is not None:
                state.dissolve()

    def perform(self, live: Live, commands: list[Command]) -> None:
        """Perform wishes until no new one comes up; attempts that may leave after the append go to `live.send`."""
        state = live.state
        while commands:
            for command in commands:
                if type(command) is Attempt:
                    self._intend(live, command)
                elif type(command) is Write:
                    if state.owes(command):
                        self.record(live, command.record)
                elif type(command) is Abort:
                    self._abort(live, command.path)
                # An `Arm` needs nothing here: whoever waits in `_roused` looks at the times that the state keeps.
            commands = state.take()

    def _intend(self, live: Live, wish: Attempt) -> None:
        state = live.state
        spot = state.open.get(wish.path)
        if spot is None:
            return
        now = self.performer.now()
        request = self.performer.render(state, spot, now)
        if isinstance(request, Refused):
            self.record(live, request)
            return
        if not request.reads:
            digest = request.digest()
            if spot.digest is not None and spot.digest != digest:
                fault = Fault(
                    kind="render-changed",
                    detail="the request is not the one that was sent before",
                    step=spot.step.place,
                )
                self.record(live, Unknown(t=now, path=wish.path, dir=wish.dir, attempt=wish.number, fault=fault))
                return
            self.record(live, Begun(t=now, path=wish.path, dir=wish.dir, attempt=wish.number, digest=digest))
        live.send.append((spot, request, wish.number))

    def _gathered(self, live: Live) -> list[Command]:
        """Take in all that has come; the wishes it leads to."""
        state = live.state
        out: list[Command] = []
        if state.timers or state.deadlines:
            now = self.performer.now()
            for key in overdue(state, now):
                for command in state.fire(key, now):
                    if isinstance(command, Write):
                        self.record(live, command.record)
                    else:
                        out.append(command)
                reached("drive.fired")
        while live.inbox:
            self.merge(live, live.inbox.popleft())
            reached("drive.merged")
        while live.results:
            record = live.results.popleft()
            reached("drive.outcome")
            path = record.path  # type: ignore[union-attr]  # outcomes have a path
            if live.tasks:
                live.tasks.pop(path, None)
            if path in state.open:  # else it was a read, and a halt has given it up
                self.record(live, record)
        if live.fault is not None:
            raise live.fault
        return out + state.take() if out else state.take()

    async def _roused(self, live: Live) -> None:
        """Wait until something has come."""
        live.wake = asyncio.get_running_loop().create_future()
        at = live.state.next_at
        if at is not None:
            self._arm(live, at)
        await live.wake
        live.wake = None

    def _start(self, live: Live, spot: Spot, request: Request | StreamRecord, number: int) -> None:
        async def attempt() -> Record:
            return await self.performer.attempt(live.state, spot, request, number, deadline(live.state, spot))

        def ended(task: "asyncio.Task[Record]") -> None:
            if task.cancelled() or live.tasks.get(spot.path) is not task:
                return
            fault = task.exception()
            if fault is None:
                live.results.append(task.result())
            else:
                live.fault = fault
            live.rouse()

        task = asyncio.create_task(attempt())
        live.tasks[spot.path] = task
        task.add_done_callback(ended)

    def _abort(self, live: Live, path: str) -> None:
        spot = live.state.open.get(path)
        if spot is None:
            return
        task = live.tasks.get(path)
        if task is not None:
            if not task.cancel():
                return  # it has just ended by itself: what came of it is on its way here
            del live.tasks[path]
        elif any(getattr(record, "path", None) == path for record in live.results):
            return
        fault = Fault(kind="timeout", detail="broken off: the saga's time was up", step=spot.step.place)
        number = spot.attempts + 1
        self.record(
            live,
            Unknown(t=self.performer.now(), path=path, dir=spot.block.dir, attempt=number, fault=fault),
        )

    def merge(self, live: Live, unread: Unread) -> None:
        signal = unread.signal
        live.taken = max(live.taken, unread.number)
        self.record(
            live,
            Signalled(
                t=self.performer.now(),
                id=signal.id,
                name=signal.name,
                body=signal.body,
                subject=signal.subject,
                roles=signal.roles,
                reason=signal.reason,
            ),
        )

    def record(self, live: Live, record: Record) -> None:
        live.pending.append(record)
        live.state.apply(record)

    # ------------------------------------------------------------------ the store

    async def _append(self, live: Live, release: bool) -> None:
        """Make what is pending durable; the very same append is sent until the store has answered."""
        state, hold = live.state, live.hold
        records, live.pending = live.pending, []
        follow: Sequence[tuple[NewRun, Note]] = ()
        if state.ended is not None and wants_follow_up(state):
            follow = await self.programs.follow_up(state, self.performer.now())
        if hold is None:
            for new, begun in follow:
                await self.journals.create(new, begun, start=False)
                self.released.set()
            return
        note = self.note(state, release)
        encoded, blobs = pack(records)
        compaction = await live.stretch.grow(self.journals, state, hold, records, encoded) if state.snapshots else None
        pause = 0.0
        reached("drive.append")
        while True:
            try:
                unread = await self.journals.append(
                    hold, encoded, note, blobs=blobs, compaction=compaction, taken=live.taken, spawn=follow
                )
                break
            except StoreUnavailable as error:
                pause = await pause_after(state.id, error, pause)
        reached("drive.appended")
        if state.id in self.watchers.watched:
            self.watchers.tell(state.id, hold.length, records, note)
        if unread:
            live.hear(unread)
        if follow:
            self.released.set()

    def note(self, state: RunState, release: bool) -> Note:
        status = state.status
        if status == "running" and not release:
            return RUNNING
        return Note(
            status=status,
            reason=state.reason if status in ("parked", "waiting") else "",
            release=release,
            due_at=state.next_at if release and status != "parked" else None,
            ended=state.ended is not None,
        )

    def _may_release(self, live: Live) -> bool:
        """Whether the run only waits, and for so long that it is better given back."""
        state = live.state
        if live.send or live.tasks or live.results or live.inbox or live.hold is None or not state.quiet:
            return False
        at = state.next_at
        return state.status == "parked" or at is None or at - self.performer.now() >= RELEASE_AFTER

    async def leave_alone(self, hold: Hold, status: str, reason: str, due_at: int | None) -> None:
        """Give a run back as it is, sending the very same until the store has answered: nobody else could find it."""
        log.error("run left alone", run=hold.run, reason=reason)
        note = Note(status=status, reason=reason, release=True, due_at=due_at, deaf=True)
        try:
            await insist(hold.run, lambda: self.journals.append(hold, [], note))
        except StoreError as error:
            log.error("it is not ours to give back", run=hold.run, error=str(error))
        else:
            self.watchers.tell(hold.run, hold.length, (), note)

    # ------------------------------------------------------------------ small change

    def _close(self, live: Live) -> None:
        state = live.state
        if live.timer is not None:
            live.timer.cancel()
        for task in live.tasks.values():
            task.cancel()
        if self.live.get(state.id) is live:
            del self.live[state.id]

    def _tell(self, run: str, verdict: Verdict) -> None:
        for waiter in self._waiters.pop(run, ()):
            if not waiter.done():
                waiter.set_result(verdict)

    def _arm(self, live: Live, at: int) -> None:
        """Wake the driver at the earliest time that anything is due."""
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, (at - self.performer.now()) / 1000)
        if live.timer is not None:
            if live.timer.when() <= when:
                return
            live.timer.cancel()
        live.timer = loop.call_at(when, live.ring)
