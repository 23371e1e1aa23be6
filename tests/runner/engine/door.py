"""The engine behind its front door: a dispatcher over the memory journal, and services that answer as told."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.base.clock import ManualClock
from registry.base.problem import Problem
from registry.chooser import Chooser
from registry.directories.memory import MemoryDirectory
from runner.adapters.stores.memory import MemoryJournals
from runner.adapters.streams.inprocess import InProcessStreams
from runner.definitions.load import load_texts
from runner.definitions.world import World
from runner.engine.dispatch import Dispatcher, Limits
from runner.engine.drive import Driver
from runner.engine.operate import Operator
from runner.engine.perform import Performer
from runner.engine.records import Records
from runner.engine.recover import Keeper
from runner.saga.exchange import Answer, Exchange, Lost, Request
from runner.saga.message import Message, Reply, Wishes

SETTINGS = World(
    runner="shop",
    streams={"http": "http", "placed": "inprocess"},
    states=frozenset({"default"}),
    retries={},
    vars={"channel": "web"},
    raw_urls=False,
    auth=False,
)


def said(status: int = 200, body: Any = None, **headers: str) -> Answer:
    """A service's answer in JSON."""
    return Answer(
        status=status, headers={"content-type": "application/json", **headers}, body=json.dumps(body or {}).encode()
    )


@dataclass(slots=True, kw_only=True)
class Service:
    """The one service, `backend`: answers by `METHOD target`, 200 where nothing is said, behind a gate."""

    answers: dict[str, Exchange] = field(default_factory=dict)
    sent: list[Request] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    #: Set as soon as somebody stands at the gate.
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(
        self, request: Request, *, base_url: str, extra_headers: Sequence[tuple[str, str]], timeout: float
    ) -> Exchange:
        self.sent.append(request)
        self.asked.set()
        try:
            async with asyncio.timeout(timeout):
                await self.gate.wait()
        except TimeoutError:
            return Lost(kind="timeout", detail="no answer came in time", sent=True)
        return self.answers.get(f"{request.method} {request.target}", said())

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True, kw_only=True)
class Door:
    """Everything from a message to its reply."""

    clock: ManualClock
    journals: MemoryJournals
    service: Service
    driver: Driver
    dispatcher: Dispatcher
    operator: Operator
    keeper: Keeper
    records: Records

    async def ask(
        self,
        path: str = "/a",
        given: Any = None,
        *,
        key: str = "",
        subject: str = "",
        method: str = "POST",
        at_once: bool = False,
        wait: float | None = None,
    ) -> Reply:
        """A request and its reply."""
        saga = self.dispatcher.choose(stream="http", path=path, method=method, version=None)
        if isinstance(saga, Problem):
            raise AssertionError(saga)
        message = Message(
            stream="http",
            path=path,
            method=method,
            input={} if given is None else given,
            headers={"accept_language": "en"},
            time=self.clock.millis(),
            key=key,
            subject=subject,
        )
        told: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        asked = asyncio.create_task(
            self.dispatcher.handle(saga, message, Wishes(at_once=at_once, wait=wait), told.set_result)
        )
        await asyncio.wait({asked, told}, return_when=asyncio.FIRST_COMPLETED)
        return told.result() if told.done() else asked.result()

    async def show(self, reply: Reply) -> dict[str, Any]:
        """The run that a reply names."""
        view = await self.operator.show(reply.headers["x-saga-run"])
        assert view is not None
        return view

    async def ended(self, run: str, *statuses: str) -> dict[str, Any]:
        """The run once it stands so; gives way to the loop until then."""
        for _ in range(10_000):
            view = await self.operator.show(run)
            if view is not None and view["status"] in statuses:
                return view
            await asyncio.sleep(0)
        raise AssertionError(f"{run} stands {view and view['status']}")


def document(reply: Reply) -> Any:
    return json.loads(reply.body)


@contextlib.asynccontextmanager
async def door(
    *texts: str,
    answers: Mapping[str, Exchange] | None = None,
    closed: bool = False,
    limits: Limits | None = None,
    journals: MemoryJournals | None = None,
    clock: ManualClock | None = None,
    refused: Callable[..., str] = lambda *_: "",
    keeping: bool = True,
) -> AsyncIterator[Door]:
    """The door with these definitions, each a file; open until the block ends."""
    clock = clock or ManualClock()
    loaded = load_texts([(f"{at}.yaml", text.encode()) for at, text in enumerate(texts)], SETTINGS, Path())
    assert not loaded.errors, [finding.message for finding in loaded.findings]
    journals = journals or MemoryJournals(clock, name="shop")
    await journals.open(f"shop#{id(loaded)}")
    service = Service(answers=dict(answers or {}))
    if not closed:
        service.gate.set()
    streams = InProcessStreams(["placed"])
    performer = Performer(
        sink=service,
        services=Chooser(MemoryDirectory(clock), clock, fallback={"backend": "http://backend.test"}),
        streams=streams,
        clock=clock,
    )
    driver = Driver(journals=journals, performer=performer, clock=clock)
    dispatcher = Dispatcher(
        driver=driver,
        journals=journals,
        runner="shop",
        limits=limits or Limits(),
        variables=SETTINGS.vars or {},
        refused=refused,
    )
    dispatcher.serve(loaded.catalog)
    records = Records(dispatcher, max_body=100_000)
    streams.connect(records.take)
    keeper = Keeper(driver=driver, journals=journals, clock=clock, retention=60.0, most_live=1000)
    if keeping:
        await keeper.start()
    try:
        yield Door(
            clock=clock,
            journals=journals,
            service=service,
            driver=driver,
            dispatcher=dispatcher,
            operator=Operator(driver=driver, journals=journals, wake=keeper.wake),
            keeper=keeper,
            records=records,
        )
    finally:
        await keeper.stop()
        await driver.stop(0)
        await journals.close()
