"""One simulated runner: driver, keeper, dispatcher and operator are the product's own, and only its ports are not."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

from registry.chooser import Chooser, NotFound, Picked
from registry.directories.memory import MemoryDirectory
from runner.definitions.catalog import Catalog
from runner.engine.dispatch import Dispatcher, Limits
from runner.engine.drive import Driver
from runner.engine.operate import Operator
from runner.engine.perform import Performer
from runner.engine.recover import Keeper
from runner.ports import StreamUnavailable
from runner.saga.definition import Program, Saga
from runner.saga.exchange import Exchange, Lost, Request
from tests.support.sim_definitions import SERVICES, Made
from tests.support.sim_life import Life, Reaper
from tests.support.sim_loop import SkewedClock
from tests.support.sim_services import Services, copy_of_call, copy_of_record, told, told_of_record
from tests.support.sim_shelf import Shelf
from tests.support.sim_store import SimJournals, StoreWeather


class Door:
    """`Sink`, `Services` and `Streams` of one runner."""

    def __init__(self, life: Life, reaper: Reaper, services: Services, clock: SkewedClock) -> None:
        self._life, self._reaper, self._services = life, reaper, services
        addresses = {name: f"http://{name}.test" for name in SERVICES}
        self._chooser = Chooser(MemoryDirectory(clock), clock, fallback=addresses)

    def pick(self, service: str) -> Picked | NotFound:
        return self._chooser.pick(service)

    async def send(
        self, request: Request, *, base_url: str, extra_headers: Sequence[tuple[str, str]], timeout: float
    ) -> Exchange:
        loop, life = asyncio.get_running_loop(), self._life
        self._reaper.pass_by(life, "before a request")
        await life.gate()
        run = dict(extra_headers)["x-saga-run"]
        self._services.chronicle.tell(told(request, life.owner, run, loop.time()))
        answer: asyncio.Future[Exchange] = loop.create_future()
        late = Lost(kind="timeout", detail="no answer in time", sent=True)
        timer = loop.call_later(timeout, lambda: answer.done() or answer.set_result(late))
        self._services.launch(copy_of_call(request), answer)
        came = await answer
        timer.cancel()
        self._reaper.pass_by(life, "behind a request")
        await life.gate()
        return came

    async def put(
        self, stream: str, *, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[int, int]:
        loop, life = asyncio.get_running_loop(), self._life
        await life.gate()
        self._services.chronicle.tell(told_of_record(stream, key, value, headers, life.owner, loop.time()))
        if stream in self._services.away:
            raise StreamUnavailable("the stream is away")
        answer: asyncio.Future[Exchange] = loop.create_future()
        copy = copy_of_record(stream, dict(headers))
        self._services.launch(copy, answer)
        came = await answer
        await life.gate()
        if isinstance(came, Lost):
            if came.sent:  # nobody knows: the runner's own patience ends it
                await loop.create_future()
            raise StreamUnavailable(came.detail)
        offsets = self._services.offsets
        return 0, offsets.setdefault(copy.key, len(offsets))

    async def close(self) -> None:
        """Nothing is kept open."""


class SimDispatcher(Dispatcher):
    """Puts the bundles that were made beforehand: making them is no part of what is simulated."""

    made_by_ref: dict[int, Made]

    async def _program(self, saga: Saga) -> Program:
        one = self.made_by_ref[id(saga)]
        await self.journals.put_bundle(one.program.digest, one.body)
        return one.program


class SimRunner:
    """One incarnation: its life, its driver, its keeper, its doors."""

    def __init__(
        self,
        owner: str,
        *,
        shelf: Shelf,
        weather: StoreWeather,
        reaper: Reaper,
        services: Services,
        programs: Sequence[Made],
        rng: Random,
    ) -> None:
        self.clock = SkewedClock(asyncio.get_running_loop())
        self.life = Life(owner=owner, shelf=shelf)
        journals: Any = SimJournals(
            life=self.life, weather=weather, reaper=reaper, chronicle=services.chronicle, rng=rng
        )
        door = Door(self.life, reaper, services, self.clock)
        performer = Performer(sink=door, services=door, streams=door, clock=self.clock)
        self.driver = Driver(journals=journals, performer=performer, clock=self.clock)
        for one in programs:
            self.driver.programs.know(one.program)
        self.keeper = Keeper(driver=self.driver, journals=journals, clock=self.clock, retention=1e9, most_live=1000)
        self.operator = Operator(driver=self.driver, journals=journals, wake=self.keeper.wake)
        self.dispatcher = SimDispatcher(
            driver=self.driver,
            journals=journals,
            runner="simulator",
            limits=Limits(),
            variables={},
            refused=_never,
        )
        self.dispatcher.made_by_ref = {id(one.program.saga): one for one in programs}

    async def stop(self, grace: float) -> None:
        """What the product's own runner does on SIGTERM, without what concerns the network."""
        self.dispatcher.accepting = False
        await self.keeper.stop()
        await self.driver.stop(grace)
        await self.dispatcher.starter.stop()


def _never(saga: Saga, catalog: Catalog) -> str:
    """No saga is refused by the settings."""
    return ""
