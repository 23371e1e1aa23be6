"""Dispatch: a message is checked, becomes a run (or finds the one it started before), and is answered.

The order is: select, refuse cheaply, extra payload, key, admission, record, answer. Nothing that a caller did wrong
costs more than a sentence, and nothing is answered 2xx before it is recorded.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from registry.base.problem import Problem
from runner.definitions.bundle import bundle, open_bundle
from runner.definitions.catalog import Catalog
from runner.engine import reply
from runner.engine.drive import Driver
from runner.engine.intake import Intake, Refusal, take_in, with_extra
from runner.engine.killpoints import reached
from runner.engine.live import Live, Verdict, Waiter, verdict_of
from runner.engine.patience import TICK, Patience
from runner.engine.start import Starter
from runner.ports import Conflict, Journals, RunRow, StoreUnavailable
from runner.routing.router import Chosen, NotAllowed, NotFound, select
from runner.saga.advance import RunState, advance
from runner.saga.definition import Program, Saga
from runner.saga.journal import Ended, unpack
from runner.saga.message import Message, Reply, Wishes
from runner.saga.state import NO_PIVOT

#: Takes the reply to a caller who is not to be kept until the end of the run.
Early: TypeAlias = Callable[[Reply], None]

#: Seconds after a saga's timeout at which a run that still goes on must be past its pivot; the timeout's own alarm and
#: ours may both come late.
_SETTLED_AFTER: Final = 3 * TICK


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of what is taken in, from the settings."""

    #: Runs driven at once by this process.
    in_flight: int = 1000
    #: Seconds that a caller waits at most.
    reply_timeout: float = 60.0


class Dispatcher:
    """The door that every message comes in by."""

    def __init__(
        self,
        *,
        driver: Driver,
        journals: Journals,
        runner: str,
        limits: Limits,
        variables: Mapping[str, object],
        refused: Callable[[Saga, Catalog], str],
    ) -> None:
        self.driver = driver
        self.starter = Starter(driver)
        self.journals = journals
        self.runner = runner
        self.limits = limits
        self._variables = variables
        self._refused = refused
        self._catalog = Catalog()
        self._programs: dict[str, Program] = {}
        #: Why each saga is not served, empty where it is; asked once.
        self._refusals: dict[str, str] = {}
        self.patience = Patience()
        self.accepting = True

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    def serve(self, catalog: Catalog) -> None:
        """Answer by these definitions from now on; runs in flight keep theirs."""
        self._catalog = catalog
        self._programs = {}
        self._refusals = {}

    def choose(self, *, stream: str, path: str, method: str, version: int | None) -> Saga | Problem:
        """The saga that answers, or the refusal (404, 405, 503)."""
        found = select(self._catalog.by_path(path), stream=stream, runner=self.runner, method=method, version=version)
        if isinstance(found, NotFound):
            return Problem(status=404, code="no-saga", title="No saga has this path", detail=f"{path}: {found.why}.")
        if isinstance(found, NotAllowed):
            allow = ", ".join(found.allow)
            return Problem(
                status=405,
                code="method-not-allowed",
                title="The saga does not take this verb",
                detail=f"{path} takes {allow}, not {method}.",
                headers={"allow": allow},
            )
        assert isinstance(found, Chosen)
        why = self._refusals.get(found.saga.ref)
        if why is None:
            why = self._refusals[found.saga.ref] = self._refused(found.saga, self._catalog)
        if why:
            return Problem(status=503, code="not-served", title="This runner does not serve the saga", detail=why)
        return found.saga

    async def handle(
        self, saga: Saga, message: Message, wishes: Wishes, early: Early | None = None, *, address: str = ""
    ) -> Reply:
        """Run the saga for this message, or find its run, and answer.

        With `early` the run may be driven in the caller's task, until its end: a caller who is not to be kept so long
        is answered by a call of it, and what is returned in the end is for nobody. Without it the run has a task.
        `address` is the path that was asked for, where it is longer than the message's (below a prefix).
        """
        try:
            if not self.accepting:
                raise Refusal(_stopping())
            program = await self._program(saga)
            now = self.driver.performer.now()
            intake = take_in(program, message, with_extra(saga, message.input), now)
            if len(self.driver.live) >= self.limits.in_flight:
                return await self._crowded(program, intake, wishes)
            at_once = wishes.at_once or saga.respond == "accepted"
            if early is not None and not at_once and wishes.wait is None:
                return await self._here(program, intake, wishes, early)
            return await self._apart(program, intake, wishes, at_once=at_once)
        except Refusal as refusal:
            problem = refusal.problem
        except Conflict:
            problem = _reused()
        except StoreUnavailable:
            problem = _store_away()
        return reply.of_problem(problem.at(address or message.path))

    async def _here(self, program: Program, intake: Intake, wishes: Wishes, early: Early) -> Reply:
        """Drive the run in this task: nobody needs to be told of its end by another."""
        run = intake.new.id
        begun = await self.starter.begin(program, intake.new, intake.started, unique=not intake.keyed)
        if begun is None:
            return reply.accepted(run, program, "running")
        if not isinstance(begun, Live):
            return await self._existing(begun, program, wishes)
        caller = _Caller(self, run, program, wishes, lambda: early(_of_open(begun.state, program)))
        try:
            verdict = await self.driver.drive(begun)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.driver.stopping or task is None:
                raise
            task.uncancel()  # it was the run that was broken off: it is the journal's now
            return _of_open(begun.state, program)
        finally:
            caller.alarm.off()
        reached("dispatch.answer")
        if verdict is not None:
            return reply.of_verdict(verdict, run)
        if caller.gone:
            return reply.accepted(run, program, "running")
        waiter = self.driver.wait_for(run)
        try:
            return await self._wait(run, program, wishes, waiter, caller.since)
        finally:
            self.driver.forget(run, waiter)

    async def _apart(self, program: Program, intake: Intake, wishes: Wishes, *, at_once: bool) -> Reply:
        """Let the run have a task of its own, and wait for its end as long as the caller wants to."""
        run = intake.new.id
        waiter = self.driver.wait_for(run)
        try:
            existing = await self.starter.start(program, intake.new, intake.started)
            if existing is not None:
                return await self._existing(existing, program, wishes, waiter)
            if at_once:
                reached("dispatch.accepted")
                return reply.accepted(run, program, "running")
            return await self._wait(run, program, wishes, waiter)
        finally:
            self.driver.forget(run, waiter)

    async def record(self, saga: Saga, message: Message) -> str:
        """Start a run for a record of a stream; its id. Raises Refusal, Conflict, StoreUnavailable."""
        program = await self._program(saga)
        now = self.driver.performer.now()
        intake = take_in(program, message, with_extra(saga, message.input), now)
        reached("dispatch.record")
        await self.starter.start(program, intake.new, intake.started)
        reached("dispatch.recorded")
        return intake.new.id

    async def verdict(self, row: RunRow) -> Verdict | None:
        """What a run that is not in our hands came to; None while it is under way, or its bundle is missing."""
        program = await self.driver.programs.get(row.bundle)
        stored = await self.journals.read(row.id)
        if program is None or stored is None:
            return None
        if row.ended_at is not None:
            [last] = unpack(stored.records[-1:], stored.blobs)
            assert isinstance(last, Ended)
            return Verdict(program=program, status=last.status, ended=last, fault=last.error, pivot_sent=False)
        state = advance(program, row.id, unpack(stored.records, stored.blobs))
        return verdict_of(state) if state.status == "parked" else None

    async def _program(self, saga: Saga) -> Program:
        """The saga's program, its bundle durable in the store."""
        known = self._programs.get(saga.ref)
        if known is not None:
            return known
        digest, body = bundle(self._catalog, saga, self._variables)
        reached("dispatch.bundle")
        await self.journals.put_bundle(digest, body)
        reached("dispatch.bundled")
        program = open_bundle(body)
        self._programs[saga.ref] = program
        return program

    async def _existing(self, row: RunRow, program: Program, wishes: Wishes, waiter: "Waiter | None" = None) -> Reply:
        """The answer to one who asks for a run that exists; `waiter` where that one may want to wait for it."""
        if row.ended_at is not None or row.status == "parked":
            verdict = await self.verdict(row)
            if verdict is not None:
                return reply.of_verdict(verdict, row.id)
        if wishes.at_once or program.saga.respond == "accepted":
            return reply.accepted(row.id, program, row.status)
        if waiter is not None and wishes.wait is not None:
            return await self._wait(row.id, program, wishes, waiter)
        problem = Problem(
            status=409,
            code="run-in-progress",
            title="The first request with this key is still at work",
            detail="Ask for the run at the Location, or send the request again with `Prefer: wait=N`.",
            instance=reply.run_url(row.id),
            headers={"location": reply.run_url(row.id), "retry-after": "1"},
        )
        return reply.of_problem(problem, {"x-saga-run": row.id})

    async def _crowded(self, program: Program, intake: Intake, wishes: Wishes) -> Reply:
        """At the limit only a run that exists already is answered."""
        stored = await self.journals.read(intake.new.id) if intake.keyed else None
        if stored is not None:
            if intake.new.fingerprint and stored.row.fingerprint not in ("", intake.new.fingerprint):
                raise Refusal(_reused())
            waiter = self.driver.wait_for(intake.new.id)
            try:
                return await self._existing(stored.row, program, wishes, waiter)
            finally:
                self.driver.forget(intake.new.id, waiter)
        raise Refusal(
            Problem(
                status=429,
                code="too-many-runs",
                title="Too many runs are in flight",
                detail=f"This runner drives {self.limits.in_flight} runs at once; try again in a moment.",
                headers={"retry-after": "1"},
            )
        )

    async def _wait(
        self, run: str, program: Program, wishes: Wishes, waiter: Waiter, since: float | None = None
    ) -> Reply:
        """Until the run ends, parks, or the caller has waited long enough (`since`: the loop's time)."""
        caller = _Caller(self, run, program, wishes, lambda: _give_up(waiter), since)
        try:
            verdict = await waiter
            reached("dispatch.answer")
            return reply.of_verdict(verdict, run)
        except _TimeIsUp:
            return await self._standing(run, program)
        finally:
            caller.alarm.off()

    async def _standing(self, run: str, program: Program) -> Reply:
        """What a caller is told of a run that goes on; where it has just ended all the same, its end."""
        live = self.driver.live.get(run)
        if live is not None:
            return _of_open(live.state, program)
        try:
            stored = await self.journals.read(run)
        except StoreUnavailable:
            stored = None
        if stored is None:
            return reply.accepted(run, program, "running")
        state = advance(program, run, unpack(stored.records, stored.blobs))
        return _of_open(state, program) if state.ended is None else reply.of_verdict(verdict_of(state), run)


def _of_open(state: RunState, program: Program) -> Reply:
    """Of a run that may not have ended as far as anybody knows: 504 where its time is up, though its undo lasts, else
    202. An end that is not in the journal yet is none."""
    if state.ended is None and state.turned is not None and state.turned.cause == "timeout":
        return reply.of_verdict(verdict_of(state), state.id)
    return reply.accepted(state.id, program, "running" if state.ended is not None else state.status)


class _Caller:
    """One who waits for the end of a run, for as long as that is worth it; then `give_up` is called."""

    __slots__ = ("_dispatcher", "_give_up", "_limit", "_run", "alarm", "gone", "since")

    def __init__(
        self,
        dispatcher: Dispatcher,
        run: str,
        program: Program,
        wishes: Wishes,
        give_up: Callable[[], None],
        since: float | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._run = run
        self._give_up = give_up
        #: The loop's time at which the waiting began.
        self.since = asyncio.get_running_loop().time() if since is None else since
        limit = dispatcher.limits.reply_timeout
        if wishes.wait is not None:
            limit = min(wishes.wait, limit)
        self._limit = self.since + limit
        #: Whether the caller was given up.
        self.gone = False
        timeout = program.saga.timeout
        # Past the saga's own timeout a run goes on only where its pivot was sent, and then the caller is not kept.
        if timeout is None or timeout / 1000 >= limit:
            self.alarm = dispatcher.patience.until(self._limit, self._at_limit)
        else:
            self.alarm = dispatcher.patience.until(self.since + timeout / 1000 + _SETTLED_AFTER, self._at_timeout)

    def _at_timeout(self) -> None:
        live = self._dispatcher.driver.live.get(self._run)
        if live is not None and live.state.pivot != NO_PIVOT:
            self._at_limit()
        else:
            self.alarm = self._dispatcher.patience.until(self._limit, self._at_limit)

    def _at_limit(self) -> None:
        self.gone = True
        self._give_up()


class _TimeIsUp(Exception):
    """The caller has waited long enough."""


def _give_up(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_exception(_TimeIsUp())


def _reused() -> Problem:
    return Problem(
        status=422,
        code="idempotency-key-reused",
        title="The idempotency key belongs to another request",
        detail="A run with this key was started by another payload; use a new key for a new request.",
    )


def _store_away() -> Problem:
    return Problem(
        status=503,
        code="store-away",
        title="The journal does not answer",
        detail="Nothing was recorded, or it is not known; send the request again with the same Idempotency-Key.",
        headers={"retry-after": "1"},
    )


def _stopping() -> Problem:
    return Problem(
        status=503,
        code="stopping",
        title="The runner is stopping",
        detail="Send the request again; another runner, or this one after its restart, will take it.",
        headers={"retry-after": "2"},
    )
