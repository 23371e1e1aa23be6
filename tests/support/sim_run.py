"""One simulated world: several runners on one journal, many runs at once, a storm of faults, and then calm.

Everything that happens follows from the seed. `simulate` tells what happened; whether that was right is for the judge.
"""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec

from runner.engine.identify import keyed_run_id
from runner.engine.intake import ON_FAIL
from runner.ports import Filter, Journals, RunRow, Signal, StoreError
from runner.saga.journal import unpack
from runner.saga.message import Message, Reply, Wishes
from tests.support.sim_chronicle import Chronicle
from tests.support.sim_definitions import SERVICES, SIGNALS, Facts, Made, made
from tests.support.sim_life import ALIVE, Reaper
from tests.support.sim_loop import SkewedClock, run_seeded
from tests.support.sim_operate import CANCEL, LOOK, Act, any_act, fitting_act, send
from tests.support.sim_plan import USUAL, Plan, Played, Told
from tests.support.sim_runner import SimRunner
from tests.support.sim_services import Services
from tests.support.sim_shelf import MEMORY, MemoryShelf, Shelf, SqliteShelf
from tests.support.sim_store import StoreWeather

T = TypeVar("T")

#: Programs that seeds choose from.
PROGRAMS = 600
#: Seconds of storm, and how long after it everything must have come to its end.
STORM, PATIENCE = 30.0, 900.0
#: Where files cost no disk, if there is such a place.
_FASTEST = "/dev/shm" if Path("/dev/shm").is_dir() else None
#: Answers that say that there is none yet.
NOT_YET = frozenset({"store-away", "stopping", "run-in-progress", "too-many-runs"})


class _World:
    """All that the coroutines of one simulation share."""

    def __init__(self, seed: int, plan: Plan, folder: Path) -> None:
        self.seed, self.plan = seed, plan
        self.rng = Random(f"world {seed}")
        self.programs = plan.programs or tuple(made(self.rng.randrange(PROGRAMS)) for _ in range(2))
        self.chronicle = Chronicle()
        clock = SkewedClock(asyncio.get_running_loop())
        self.shelf: Shelf = (
            MemoryShelf(clock, alone=plan.alone) if plan.kept_in == MEMORY else SqliteShelf(folder, clock)
        )
        self.store = StoreWeather(before=plan.store, after=plan.store)
        self.reaper = Reaper(
            rng=Random(f"reaper {seed}"),
            chronicle=self.chronicle,
            kills=plan.kills,
            kill=plan.deadly,
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
        #: Runs whose trigger was sent.
        self.sent: set[str] = set()
        self.broken: list[str] = []

    def facts_of(self, key: str) -> Facts | None:
        run, _, rest = key.partition(".undo")[0].partition(".")
        one = self.made_of.get(run)
        if one is None:
            return None
        return next((one.facts[part] for part in reversed(rest.split(".")) if part in one.facts), None)

    def know(self, run: str, one: Made) -> None:
        """Whose run this is, and that of what may follow it."""
        self.sent.add(run)
        self.made_of[run] = one
        if one.follow_up is not None:
            self.made_of[keyed_run_id(ON_FAIL, run)] = one.follow_up

    def some_runner(self) -> SimRunner:
        """Any that is not known to be dead; it may be paused."""
        return self.rng.choice([runner for runner in self.runners if not runner.life.died.is_set()])

    async def start(self, owner: str) -> SimRunner:
        runner = SimRunner(
            owner,
            shelf=self.shelf,
            weather=self.store,
            reaper=self.reaper,
            services=self.services,
            programs=self.programs,
            rng=Random(f"{self.seed} {owner}"),
        )
        await runner.life.open()
        self.runners.append(runner)
        await runner.keeper.start()
        return runner

    async def succession(self, number: int) -> None:
        """A runner, and after its death the next, for ever."""
        incarnation = 0
        while True:
            runner = await self.start(f"r{number}.{incarnation}")
            ending = asyncio.create_task(self.drain(runner))
            await runner.life.died.wait()
            ending.cancel()
            incarnation += 1
            self.chronicle.count("runner gone")
            await asyncio.sleep(self.rng.uniform(0.1, 4))

    async def drain(self, runner: SimRunner) -> None:
        """Some runners are told to stop, as SIGTERM does it, at some time of the storm."""
        rng = Random(f"drain {self.seed} {runner.life.owner}")
        if rng.random() >= self.plan.drains:
            return
        await asyncio.sleep(rng.uniform(0.5, 10))
        if self.reaper.calm:
            return
        await runner.stop(rng.uniform(0, 3))
        self.chronicle.count("runner drained")
        runner.life.kill()
        runner.life.lose_lease()

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
        self.know(run, one)
        reply: Reply | None = await self.patient(work, seconds)
        if reply is None:
            return False
        body = msgspec.json.decode(reply.body) if reply.body else {}
        told = body if isinstance(body, dict) else {}
        if reply.status == 202 or told.get("code") in NOT_YET or told.get("outcome") in ("parked", "compensating"):
            return False
        self.replies.setdefault(run, []).append((reply.status, reply.body))
        return True

    async def meddle(self, rng: Random, message: Message) -> None:
        """Signals and cancels for one run, each at a time of its own."""
        run = run_of(message)
        names = [CANCEL] if rng.random() < self.plan.cancels else []
        names += [rng.choice(SIGNALS) for _ in range(rng.randrange(4))]
        names += ["any"] * rng.randrange(4) if rng.random() < self.plan.operators else []
        for number, name in enumerate(names):
            await asyncio.sleep(rng.uniform(0, 5))
            if name in SIGNALS:
                await self.insist(partial(self.signal, run=run, name=name, number=number))
            else:
                if name == "any" and rng.random() < 0.7:
                    await self.until_parked(run)
                await self.operate(rng, run, (name, {}) if name == CANCEL else None, number)
        for number, (pause, action) in enumerate(self.plan.acts, len(names)):
            await asyncio.sleep(pause)
            act = None if action == LOOK else any_act(rng, await self.newest.read(run), action)
            await self.operate(rng, run, act, number)

    async def signal(self, runner: SimRunner, *, run: str, name: str, number: int) -> str:
        self.chronicle.count("signal")
        return await runner.operator.signal(run, Signal(id=f"signal {number}", name=name, body={"n": number}))

    async def until_parked(self, run: str) -> None:
        """Wait for a run to need somebody, for as long as an operator cares to watch."""
        for _ in range(12):
            kept = await self.newest.read(run)
            if kept is not None and (kept.row.ended_at is not None or kept.row.status == "parked"):
                return
            await asyncio.sleep(1)

    async def operate(self, rng: Random, run: str, act: Act | None, number: int) -> None:
        """An operator acts, having looked or not."""
        kept = await self.newest.read(run)
        parked = kept is not None and kept.row.status == "parked"
        if act is None and kept is not None and parked and rng.random() < 0.8:
            act = fitting_act(rng, kept, self.services.effects)
        act = act or any_act(rng, kept)
        late = str(number) if rng.random() < 0.25 else ""
        answer = await self.insist(partial(send, run=run, act=act, late=late))
        self.chronicle.count(f"{act[0]} {answer}")

    @property
    def newest(self) -> Journals:
        """The handle of the runner that came to life last: nothing keeps it from the store itself."""
        return self.runners[-1].life.store

    async def insist(self, work: Callable[[SimRunner], Any]) -> Any:
        """Ask some runner, and others where it does not answer."""
        for _ in range(3):
            answer = await self.patient(work, 3.0)
            if answer is not None:
                return answer
        return None

    async def rows(self) -> tuple[RunRow, ...]:
        return (await self.newest.list(Filter(limit=1000))).rows

    async def amend(self) -> None:
        """After the storm operators look after what is parked, some against each other; runners still die."""
        rng = Random(f"amend {self.seed}")
        for round_ in range(3):
            parked = [row.id for row in await self.rows() if row.status == "parked"]
            many = [run for run in parked if rng.random() < self.plan.operators for _ in range(rng.randint(1, 2))]
            if not many:
                return
            self.reaper.calm, self.reaper.kills = False, 2
            acts = [self.operate(rng, run, None, 100 * round_ + at) for at, run in enumerate(many)]
            await asyncio.gather(*acts)
            await asyncio.sleep(rng.uniform(0, 6))
            self.calm()
            await self.settled([])

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
        self.services.calm()
        self.store.before = self.store.after = 0.0
        self.store.away = False
        for runner in self.runners:
            runner.life.resume()

    async def settled(self, triggers: Sequence["asyncio.Task[None]"]) -> bool:
        """Wait until every run is at its end or parked; whether that came about."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while loop.time() < until:
            rows = await self.rows()
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


async def _simulate(seed: int, plan: Plan, folder: Path) -> Played:
    world = _World(seed, plan, folder)
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: world.broken.append(_what_broke(told)))
    lines = [asyncio.create_task(world.succession(number)) for number in range(plan.runners)]
    await asyncio.sleep(0.01)
    triggers = [asyncio.create_task(world.trigger(number)) for number in range(plan.runs)]
    storm_ = asyncio.create_task(world.chaos())
    await asyncio.sleep(STORM)
    await storm_
    world.calm()
    await world.settled(triggers)
    await world.amend()
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
    await world.shelf.close()
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
    store = world.newest
    for row in await world.rows():
        kept = await store.read(row.id)
        assert kept is not None
        if row.id not in world.made_of:
            played.strangers.append(row.id)
            continue
        played.runs[row.id] = Told(made=world.made_of[row.id], row=kept.row, records=unpack(kept.records, kept.blobs))
    played.owned = sorted(run for run, told in played.runs.items() if told.row.owner)
    played.due = list(await store.due(2**52, 1000))
    played.lost = sorted(world.sent - set(played.runs))
    await store.sweep(2**52, 1000)
    played.unswept = [row.id for row in await world.rows()]
    assert all(runner.life.state == ALIVE or runner.life.died.is_set() for runner in world.runners)
    return played


def simulate(seed: int, plan: Plan = USUAL) -> Played:
    """The world of this seed, from beginning to end. Raises `Hang` where it would never end."""
    with tempfile.TemporaryDirectory(dir=_FASTEST) as folder:
        return run_seeded(seed, lambda: _simulate(seed, plan, Path(folder)))
