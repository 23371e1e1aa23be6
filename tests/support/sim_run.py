"""One simulated world: several runners on one journal, many runs at once, a storm of faults, and then calm.

Everything that happens follows from the seed. `simulate` tells what happened; whether that was right is for the judge.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import msgspec

from runner.adapters.stores.memory import MemoryJournals
from runner.engine.identify import keyed_run_id
from runner.ports import Filter, RunRow, Signal, StoreError
from runner.saga.journal import CANCEL, Record, Signalled, encode, unpack
from runner.saga.message import Message, Reply, Wishes
from tests.support.sim_chronicle import Chronicle
from tests.support.sim_definitions import SERVICES, SIGNALS, Facts, Made, made
from tests.support.sim_life import ALIVE, Reaper
from tests.support.sim_loop import SkewedClock, run_seeded
from tests.support.sim_runner import SimRunner
from tests.support.sim_services import Services, Weather, storm
from tests.support.sim_store import StoreWeather

T = TypeVar("T")

#: Programs that seeds choose from.
PROGRAMS = 600
#: Seconds of storm, and how long after it everything must have come to its end.
STORM, PATIENCE = 30.0, 900.0
#: Answers that say that there is none yet.
NOT_YET = frozenset({"store-away", "stopping", "run-in-progress", "too-many-runs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything; the seed decides when and to whom."""

    runners: int = 2
    runs: int = 6
    kills: int = 4
    pauses: int = 3
    outages: int = 2
    jumps: int = 2
    cancels: float = 0.2
    storm: Callable[[], Weather] = storm
    store: float = 0.02
    barrier: bool = True
    #: See `Reaper.strikes` and `Services.script`.
    strikes: frozenset[int] = frozenset()
    script: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Takes the place of the programs that the seed would choose.
    programs: tuple[Made, ...] = ()


@dataclass(slots=True, kw_only=True)
class Told:
    """One run as the store has it at the end."""

    made: Made
    row: RunRow
    records: list[Record]


@dataclass(slots=True, kw_only=True)
class Played:
    """What became of a world."""

    seed: int
    runs: dict[str, Told] = field(default_factory=dict)
    #: Triggers that nobody ever took.
    lost: list[str] = field(default_factory=list)
    chronicle: Chronicle
    effects: dict[str, int]
    #: Final replies by run: status and body.
    replies: dict[str, list[tuple[int, bytes]]]
    #: What a task of a runner broke with, which nobody expected.
    broken: list[str] = field(default_factory=list)
    #: Runs that the store takes for owned, or due.
    owned: list[str] = field(default_factory=list)
    due: list[str] = field(default_factory=list)

    @property
    def hash(self) -> str:
        """Of every journal and every request, in order."""
        hashed = hashlib.sha256()
        for run, kept in sorted(self.runs.items()):
            hashed.update(f"{run} {kept.row.status} {kept.row.reason}".encode())
            for record in kept.records:
                if isinstance(record, Signalled) and record.name == CANCEL:
                    record = msgspec.structs.replace(record, id="")  # drawn by the product from the machine's chance
                hashed.update(encode(record))
        for event in self.chronicle.events:
            hashed.update(repr(event).encode())
        return hashed.hexdigest()[:16]


class _World:
    """All that the coroutines of one simulation share."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.seed, self.plan = seed, plan
        self.rng = Random(f"world {seed}")
        self.programs = plan.programs or tuple(made(self.rng.randrange(PROGRAMS)) for _ in range(2))
        self.chronicle = Chronicle()
        self.memory = MemoryJournals(SkewedClock(asyncio.get_running_loop()))
        self.store = StoreWeather(before=plan.store, after=plan.store)
        self.reaper = Reaper(
            rng=Random(f"reaper {seed}"),
            chronicle=self.chronicle,
            kills=plan.kills,
            pauses=plan.pauses,
            strikes=plan.strikes,
        )
        self.services = Services(
            rng=Random(f"services {seed}"),
            chronicle=self.chronicle,
            facts_of=self.facts_of,
            weather=plan.storm(),
            barrier=plan.barrier,
            script=plan.script,
        )
        self.runners: list[SimRunner] = []
        self.made_of: dict[str, Made] = {}
        self.replies: dict[str, list[tuple[int, bytes]]] = {}
        self.taken: set[str] = set()
        self.broken: list[str] = []

    def facts_of(self, key: str) -> Facts | None:
        run, _, rest = key.partition(".undo")[0].partition(".")
        one = self.made_of.get(run)
        if one is None:
            return None
        return next((one.facts[part] for part in reversed(rest.split(".")) if part in one.facts), None)

    def some_runner(self) -> SimRunner:
        """Any that is not known to be dead; it may be paused."""
        return self.rng.choice([runner for runner in self.runners if not runner.life.died.is_set()])

    async def start(self, owner: str) -> SimRunner:
        runner = SimRunner(
            owner,
            memory=self.memory,
            weather=self.store,
            reaper=self.reaper,
            services=self.services,
            programs=self.programs,
            rng=Random(f"{self.seed} {owner}"),
        )
        await runner.life.store.open(owner)
        self.runners.append(runner)
        await runner.keeper.start()
        return runner

    async def succession(self, number: int) -> None:
        """A runner, and after its death the next, for ever."""
        incarnation = 0
        while True:
            runner = await self.start(f"r{number}.{incarnation}")
            await runner.life.died.wait()
            incarnation += 1
            self.chronicle.count("runner killed")
            await asyncio.sleep(self.rng.uniform(0.1, 4))

    async def patient(self, work: Callable[[SimRunner], Any], seconds: float) -> Any:
        """The answer of some runner, or None: it died, slept, or the store was away."""
        while all(runner.life.died.is_set() for runner in self.runners):
            await asyncio.sleep(0.2)
        runner = self.some_runner()

        async def guarded() -> Any:
            try:
                return await work(runner)
            except StoreError:
                return None
            except Exception as error:
                self.broken.append(f"a request got {error!r}")
                return None

        task = asyncio.create_task(guarded())
        await asyncio.wait({task}, timeout=seconds)
        return task.result() if task.done() else None

    async def trigger(self, number: int) -> None:
        """A client that sends its trigger until it is answered, sometimes to two runners at once."""
        rng = Random(f"trigger {self.seed} {number}")
        one = self.programs[number % len(self.programs)]
        message = _message(self.seed, number)
        await asyncio.sleep(rng.uniform(0, STORM * 0.6))
        others = asyncio.create_task(self.meddle(rng, message))
        for _ in range(60):
            many = 2 if rng.random() < 0.2 else 1
            answers = [self.ask(one, message, rng.choice((None, 0.5, 5.0)), rng.uniform(2, 12)) for _ in range(many)]
            if any(await asyncio.gather(*answers)):
                break
            await asyncio.sleep(rng.uniform(0.2, 4))
        await others

    async def ask(self, one: Made, message: Message, wait: float | None, seconds: float) -> bool:
        """One request; whether its answer was the last word."""

        async def work(runner: SimRunner) -> Reply:
            told: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            asked = runner.dispatcher.handle(one.program.saga, message, Wishes(wait=wait), told.set_result)
            handled = asyncio.create_task(asked)
            await asyncio.wait({handled, told}, return_when=asyncio.FIRST_COMPLETED)
            return told.result() if told.done() else handled.result()

        run = run_of(message)
        self.made_of[run] = one
        reply: Reply | None = await self.patient(work, seconds)
        if reply is None:
            return False
        body = msgspec.json.decode(reply.body) if reply.body else {}
        if isinstance(body, dict):
            if body.get("code") not in NOT_YET - {"run-in-progress"}:
                self.taken.add(run)
            if reply.status == 202 or body.get("code") in NOT_YET or body.get("outcome") in ("parked", "compensating"):
                return False
        self.replies.setdefault(run, []).append((reply.status, reply.body))
        return True

    async def meddle(self, rng: Random, message: Message) -> None:
        """Signals and cancels for one run, each at a time of its own."""
        run = run_of(message)
        acts = [("cancel", "")] if rng.random() < self.plan.cancels else []
        acts += [("signal", rng.choice(SIGNALS)) for _ in range(rng.randrange(4))]
        for number, (act, name) in enumerate(acts):
            await asyncio.sleep(rng.uniform(0, 5))

            async def work(runner: SimRunner, act: str = act, name: str = name, number: int = number) -> str:
                if act == "cancel":
                    return await runner.operator.cancel(run, subject="ops", reason="by seed")
                return await runner.operator.signal(run, Signal(id=f"signal {number}", name=name, body={"n": number}))

            for _ in range(3):
                if await self.patient(work, 3.0) is not None:
                    break
            self.chronicle.count(act)

    async def chaos(self) -> None:
        """Kills, pauses, outages and jumps at any time of the storm."""
        rng, plan, loop = Random(f"chaos {self.seed}"), self.plan, asyncio.get_running_loop()
        acts: list[tuple[float, Callable[[], None]]] = []

        def now_and_then(many: int, act: Callable[[], None]) -> None:
            acts.extend((rng.uniform(0.2, STORM - 1), act) for _ in range(rng.randint(0, many)))

        def outage() -> None:
            self.store.away = True
            loop.call_later(rng.uniform(0.2, 3), setattr, self.store, "away", False)

        def silence() -> None:
            name = rng.choice((*SERVICES, "placed"))
            self.services.away.add(name)
            loop.call_later(rng.uniform(0.5, 6), self.services.away.discard, name)

        def jump() -> None:
            self.some_runner().clock.skew = rng.uniform(-20, 20)
            self.chronicle.count("clock jumped")

        now_and_then(plan.kills, lambda: self.reaper.strike_dead(rng.choice(self.runners).life))
        now_and_then(plan.pauses, lambda: self.reaper.hold_up(rng.choice(self.runners).life))
        now_and_then(plan.outages, outage)
        now_and_then(plan.outages, silence)
        now_and_then(plan.jumps, lambda: jump() if any(not one.life.died.is_set() for one in self.runners) else None)
        for at, act in sorted(acts, key=lambda pair: pair[0]):
            await asyncio.sleep(max(0.0, at - loop.time()))
            act()

    def calm(self) -> None:
        """From now on everything works."""
        self.reaper.calm = True
        self.services.weather = Weather()
        self.services.away.clear()
        self.store.before = self.store.after = 0.0
        self.store.away = False
        for runner in self.runners:
            runner.life.resume()

    async def settled(self, triggers: Sequence["asyncio.Task[None]"]) -> bool:
        """Wait until every run is at its end or parked; whether that came about."""
        loop = asyncio.get_running_loop()
        reader = self.memory.sibling()
        await reader.open("judge")
        until = loop.time() + PATIENCE
        while loop.time() < until:
            rows = (await reader.list(Filter(limit=1000))).rows
            if all(one.done() for one in triggers) and all(
                row.ended_at is not None or row.status == "parked" for row in rows
            ):
                return True
            await asyncio.sleep(1)
        return False


def _message(seed: int, number: int) -> Message:
    """The trigger of this number, the same whenever it is sent."""
    given = {"n": Random(f"input {seed} {number}").randrange(10)}
    key = f"trigger {seed} {number}"
    return Message(stream="http", path="/main", method="POST", input=given, headers={}, time=0, subject="ann", key=key)


def run_of(message: Message) -> str:
    """The id that the trigger's run has."""
    return keyed_run_id(message.subject, message.path, f"sent:{message.key}")


async def _simulate(seed: int, plan: Plan) -> Played:
    world = _World(seed, plan)
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: world.broken.append(_what_broke(told)))
    lines = [asyncio.create_task(world.succession(number)) for number in range(plan.runners)]
    await asyncio.sleep(0.01)
    triggers = [asyncio.create_task(world.trigger(number)) for number in range(plan.runs)]
    storm_ = asyncio.create_task(world.chaos())
    await asyncio.sleep(STORM)
    await storm_
    world.calm()
    await world.settled(triggers)
    for number in range(plan.runs):
        await _ask_again(world, number)
    await asyncio.sleep(20)  # what lingers somewhere comes now, or never
    for task in (*lines, *triggers):
        if task.done() and not task.cancelled():
            task.result()
    played = await _told(world)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    played.broken = [one for one in world.broken if one]
    return played


def _what_broke(told: dict[str, Any]) -> str:
    """The exception that a loop tells of; a task that is gone with its dead runner is none."""
    error = told.get("exception")
    return "" if error is None else f"{told['message']}: {error!r}"


async def _ask_again(world: _World, number: int) -> None:
    """After everything: the same key must get the same answer from whomever it is asked."""
    message = _message(world.seed, number)
    await world.ask(world.programs[number % len(world.programs)], message, 1.0, 30)


async def _told(world: _World) -> Played:
    played = Played(seed=world.seed, chronicle=world.chronicle, effects=world.services.effects, replies=world.replies)
    reader = world.memory.sibling()
    await reader.open("witness")
    for row in (await reader.list(Filter(limit=1000))).rows:
        kept = await reader.read(row.id)
        assert kept is not None
        played.runs[row.id] = Told(made=world.made_of[row.id], row=kept.row, records=unpack(kept.records, kept.blobs))
    shelf = world.memory._shelf
    played.owned = sorted(run for held in shelf.owned.values() for run in held)
    played.due = sorted(run for _, _, run in shelf.due)
    played.lost = sorted(world.taken - set(played.runs)) + [
        run for run in world.made_of if run not in played.runs and run not in world.taken
    ]
    assert all(runner.life.state == ALIVE or runner.life.died.is_set() for runner in world.runners)
    return played


#: What a seed plays unless it is told otherwise.
USUAL = Plan()


def simulate(seed: int, plan: Plan = USUAL) -> Played:
    """The world of this seed, from beginning to end. Raises `Hang` where it would never end."""
    return run_seeded(seed, lambda: _simulate(seed, plan))
