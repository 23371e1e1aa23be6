"""Plays a scenario on the real engine, killed where one wants it: driver, keeper and journal are the product's own.

A kill is not a cancellation. The runner that dies at an append simply never goes on: its journal never answers again,
its tasks stay where they are, and what it had sent arrives all the same. A sibling on the same journal takes over.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
import yaml

from registry.base.clock import Clock
from runner.adapters.stores.memory import MemoryJournals
from runner.definitions.bundle import bundle, open_bundle
from runner.definitions.load import load_texts
from runner.definitions.world import World as Settings
from runner.engine.drive import Driver
from runner.engine.intake import take_in, with_extra
from runner.engine.live import Verdict
from runner.engine.operate import Operator
from runner.engine.perform import Performer
from runner.engine.recover import Keeper
from runner.engine.start import Starter
from runner.ports import (
    NO_BLOBS,
    Blobs,
    Claimed,
    Compaction,
    Created,
    Fenced,
    Filter,
    Hold,
    NewRun,
    Note,
    Signal,
    Stored,
    StoreUnavailable,
    Unread,
)
from runner.saga.advance import RunState, advance
from runner.saga.definition import Program, walk
from runner.saga.journal import Record, encode, unpack
from runner.saga.message import Message
from runner.saga.view import steps_of
from tests.support.virtual_loop import VirtualClock
from tests.support.world import Door, World, short

BEFORE, AFTER, FENCED = "before", "after", "fenced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario, as its file says it; see tests/scenarios/__init__.py for the keys."""

    name: str
    rule: str
    #: YAML text of one or more documents; the first is the one that is triggered.
    definition: str
    input: Any = None
    settings: dict[str, Any] = field(default_factory=dict)
    world: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    at: list[dict[str, Any]] = field(default_factory=list)
    expect: dict[str, Any]
    killed: dict[str, Any] = field(default_factory=dict)
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """The runner dies at its append number `position` (from 0), `BEFORE` or `AFTER` the store has taken it.

    `FENCED`: it does not die, it is told that the run is somebody else's, and must let go of it without a word.
    """

    position: int
    moment: str
    #: So many successors die, too, each right behind its own first append.
    heirs: int = 0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a play came to."""

    run: str
    program: Program
    #: None: nobody waited for it in vain, it just is not at its end.
    verdict: Verdict | None
    status: str
    reason: str
    records: list[Record]
    world: World
    #: Appends and creations that the runner made.
    appends: int
    #: Answers to signals and cancels, in their order.
    answers: list[str]
    #: Other runs by saga id: status and output.
    others: dict[str, tuple[str, Any]]
    labels: dict[str, str]
    #: Virtual seconds that it took.
    took: float

    @property
    def letters(self) -> str:
        return " ".join(encode(record)[2:3].decode() for record in self.records)

    @property
    def effects(self) -> list[str]:
        return sorted(short(self.run, key) for key in self.world.effects)


class MortalJournals:
    """A runner's hold on the journal, which may be cut at one append: from then on nothing answers any more.

    After each append it compares what the runner has in its hands with the fold of what is stored.
    """

    def __init__(self, inner: MemoryJournals, kill: Kill | None) -> None:
        self._inner = inner
        self._kill = kill
        self.appends = 0
        #: Whether the first answer to each append is lost.
        self.forgetful = False
        self._unanswered: set[tuple[str, int]] = set()
        self.dead = asyncio.Event()
        self.driver: Driver

    async def _alive(self) -> None:
        if self.dead.is_set():
            await asyncio.get_running_loop().create_future()

    async def _strike(self, moment: str) -> None:
        kill = self._kill
        if kill is not None and kill.moment == moment and kill.position == self.appends:
            self.dead.set()
        await self._alive()

    async def _fence(self) -> None:
        kill = self._kill
        if kill is not None and kill.moment == FENCED and kill.position == self.appends:
            self.dead.set()
            raise Fenced("the run is somebody else's")

    async def create(self, new: NewRun, note: Note, *, start: bool = True) -> Created:
        await self._strike(BEFORE)
        created = await self._inner.create(new, note, start=start)
        await self._strike(AFTER)
        self.appends += 1
        return created

    async def append(
        self,
        hold: Hold,
        records: Sequence[bytes],
        note: Note,
        *,
        blobs: Blobs = NO_BLOBS,
        compaction: Compaction | None = None,
        taken: int = 0,
        spawn: Sequence[tuple[NewRun, Note]] = (),
    ) -> tuple[Unread, ...]:
        await self._strike(BEFORE)
        await self._fence()
        unread = await self._inner.append(
            hold, records, note, blobs=blobs, compaction=compaction, taken=taken, spawn=spawn
        )
        if self.forgetful and (hold.run, hold.length) not in self._unanswered:
            self._unanswered.add((hold.run, hold.length))
            hold.length -= len(records)
            raise StoreUnavailable("the store took it, and its answer was lost")
        await self._compare(hold.run)
        await self._strike(AFTER)
        self.appends += 1
        return unread

    async def _compare(self, run: str) -> None:
        live = self.driver.live.get(run)
        stored = await self._inner.read(run)
        if live is None or stored is None:
            return
        folded = advance(live.state.program, run, unpack(stored.records, stored.blobs))
        assert picture(folded, live=True) == picture(live.state, live=True)

    async def claim(self, run: str) -> Claimed | None:
        await self._alive()
        return await self._inner.claim(run)

    async def put_bundle(self, digest: str, body: bytes) -> None:
        await self._alive()
        await self._inner.put_bundle(digest, body)

    async def get_bundle(self, digest: str) -> bytes | None:
        await self._alive()
        return await self._inner.get_bundle(digest)

    async def read(self, run: str) -> Stored | None:
        await self._alive()
        return await self._inner.read(run)

    async def orphans(self, limit: int) -> tuple[str, ...]:
        await self._alive()
        return await self._inner.orphans(limit)

    async def due(self, now: int, limit: int) -> tuple[str, ...]:
        await self._alive()
        return await self._inner.due(now, limit)

    async def next_due(self) -> int | None:
        await self._alive()
        return await self._inner.next_due()

    async def heartbeat(self) -> tuple[Unread, ...]:
        await self._alive()
        return await self._inner.heartbeat()

    async def sweep(self, ended_before: int, limit: int) -> int:
        await self._alive()
        return await self._inner.sweep(ended_before, limit)


def picture(state: RunState, *, live: bool = False) -> dict[str, Any]:
    """Everything of a state that may be compared. `live`: without what a timer that has gone off changes."""
    steps = steps_of(state)
    told: dict[str, Any] = {
        "steps": [{**step, "waitingFor": None} for step in steps] if live else steps,
        "parks": dict(state.parks),
        "pivot": state.pivot,
        "undo_errors": [msgspec.to_builtins(item) for item in state.undo_errors],
        "unread": {name: len(box) for name, box in state.mailbox.items() if box},
        "deadlines": dict(state.deadlines),
    }
    if not live:
        told |= {
            "status": state.status,
            "reason": state.reason,
            "timers": dict(state.timers),
            "open": sorted(state.open),
            "wishes": [repr(wish) for wish in state.outstanding()],
            "next_at": state.next_at,
        }
    return told


class Runner:
    """One incarnation of a runner: journal, driver, keeper."""

    def __init__(self, world: World, journals: MortalJournals, plain: MemoryJournals, clock: Clock) -> None:
        self.journals = journals
        self.plain = plain
        door = Door(world, clock, self._attempt_of)
        performer = Performer(sink=door, services=door, streams=door, clock=clock)
        self.driver = Driver(journals=journals, performer=performer, clock=clock)  # type: ignore[arg-type]
        journals.driver = self.driver
        self.keeper = Keeper(
            driver=self.driver,
            journals=journals,  # type: ignore[arg-type]
            clock=clock,
            retention=1e9,
            most_live=1000,
        )
        self.operator = Operator(driver=self.driver, journals=plain, wake=self.keeper.wake)

    def _attempt_of(self, key: str) -> int:
        for live in self.driver.live.values():
            for spot in live.state.open.values():
                if live.state.key(spot) == key:
                    return spot.attempts + 1
        return 1


@cache
def program_of(definition: str, settings: str) -> tuple[Program, bytes]:
    """The program of the first document, and its bundle. Fails on findings that are errors."""
    given = yaml.safe_load(settings)
    settings_seen = Settings(
        runner="scenarios",
        retries=given.get("retries", {}),
        vars=given.get("vars", {}),
        raw_urls=given.get("rawUrls", False),
    )
    loaded = load_texts([("scenario.yaml", definition.encode())], settings_seen)
    wrong = [finding for finding in loaded.findings if finding.severity == "error"]
    assert not wrong, "\n".join(f"{f.code} {f.line}:{f.column} {f.message} ({f.hint})" for f in wrong)
    _, body = bundle(loaded.catalog, next(iter(loaded.catalog)), given.get("vars", {}))
    return open_bundle(body), body


async def play(
    scenario: Scenario, clock: VirtualClock, kill: Kill | None = None, *, forgetful: bool = False
) -> Outcome:
    """One play from the trigger to the end of everything it starts. `forgetful`: the store's answers get lost."""
    loop = asyncio.get_running_loop()
    program, body = program_of(scenario.definition, yaml.safe_dump(scenario.settings))
    named = {
        getattr(step.verb, "service", "").partition("@")[0]
        for saga in (program.saga, *program.links.values())
        for step in walk(saga.steps)
    }
    world = World(scripts=scenario.world, services=frozenset(named - {""} - set(scenario.missing)))
    memory = MemoryJournals(clock)
    first = memory.sibling()
    await first.open("first")
    runner = Runner(world, MortalJournals(first, kill), first, clock)
    runner.journals.forgetful = forgetful
    message = Message(
        stream="http",
        path=program.saga.path or "",
        method="POST",
        input={} if scenario.input is None else scenario.input,
        headers={"accept_language": "de"},
        time=clock.millis(),
        subject="ann",
        key="the trigger",
    )
    intake = take_in(program, message, with_extra(program.saga, message.input), clock.millis())
    run = intake.new.id
    holder = [runner]
    answers: list[str] = []
    signals = asyncio.create_task(_signals(scenario, holder, run, answers))
    verdict: Verdict | None = None
    appends = 0
    #: Kept, so that none that a dead runner left standing is swept away before it is buried.
    triggers: list[asyncio.Task[Any]] = []
    for incarnation in range(2 + (kill.heirs if kill else 0)):
        await runner.journals.put_bundle(program.digest, body)
        waiter = runner.driver.wait_for(run)
        await runner.keeper.start()
        begin = asyncio.create_task(Starter(runner.driver).start(program, intake.new, intake.started))
        triggers.append(begin)
        dead = asyncio.create_task(runner.journals.dead.wait())
        await asyncio.wait([begin, dead], return_when=asyncio.FIRST_COMPLETED)
        end = asyncio.create_task(_settled(runner, waiter, signals))
        await asyncio.wait([end, dead], return_when=asyncio.FIRST_COMPLETED)
        if not dead.done():
            await begin
            verdict = await end
            dead.cancel()
            appends = runner.journals.appends
            break
        end.cancel()
        await asyncio.sleep(0)
        kept = await runner.plain.read(run)
        told = waiter.done() and waiter.result().ended is not None
        assert not told or (kept and kept.row.ended_at), "a caller was told of an end that is not durable"
        await runner.plain.close()
        heir = memory.sibling()
        await heir.open(f"heir {incarnation}")
        again = Kill(position=0, moment=AFTER) if kill and incarnation < kill.heirs else None
        runner = Runner(world, MortalJournals(heir, again), heir, clock)
        holder[0] = runner
    took = loop.time()
    await _bury()
    if not program.saga.durable:
        assert verdict is not None
        status, reason, records = verdict.status, "", []
    else:
        stored = await runner.plain.read(run)
        assert stored is not None
        status, reason, records = stored.row.status, stored.row.reason, unpack(stored.records, stored.blobs)
    others = {}
    for row in (await runner.plain.list(Filter())).rows:
        if row.id != run:
            other = await runner.plain.read(row.id)
            assert other is not None
            [last] = unpack(other.records[-1:], other.blobs)
            others[row.saga] = (row.status, getattr(last, "output", None))
    return Outcome(
        run=run,
        program=program,
        verdict=verdict,
        status=status,
        reason=reason,
        records=records,
        world=world,
        appends=appends,
        answers=answers,
        others=others,
        labels=intake.new.labels,  # type: ignore[arg-type]
        took=took,
    )


async def _bury() -> None:
    """End every task that a dead runner left where it stood."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _signals(scenario: Scenario, holder: list[Runner], run: str, answers: list[str]) -> None:
    """Send what the scenario sends, each at its time, to whoever runs then."""
    for number, item in enumerate(scenario.at):
        await asyncio.sleep(item["time"] - asyncio.get_running_loop().time())
        runner = holder[0]
        action = next((word for word in ("retry", "skip", "resolve", "resume") if word in item), None)
        if "cancel" in item:
            answer = await runner.operator.cancel(run, subject="ops", reason=str(item["cancel"]))
        elif action is not None:
            answer, _ = await runner.operator.act(run, action, item[action] or {}, subject="ops", reason="they say so")
        else:
            signal = Signal(
                id=item.get("id", f"signal-{number}"),
                name=item["signal"],
                body=item.get("body"),
                subject=item.get("subject", ""),
                roles=tuple(item.get("roles", ())),
            )
            answer = await runner.operator.signal(run, signal)
        answers.append(answer)


async def _settled(runner: Runner, waiter: "asyncio.Future[Verdict]", signals: "asyncio.Task[None]") -> Verdict | None:
    """Until every run is at its end, or nothing but a signal could move it on, and no signal is to come."""
    plain = runner.plain
    while True:
        still = await plain.next_due() is None and not await plain.orphans(1)
        if signals.done() and still and not runner.driver.live:
            return waiter.result() if waiter.done() else None
        await asyncio.sleep(0.25)
