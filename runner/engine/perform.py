"""One attempt: the wish becomes a request, the request an exchange, the exchange a record."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from registry.base.clock import Clock
from registry.chooser import Picked
from runner.engine.killpoints import reached
from runner.ports import Services, Sink, Streams, StreamUnavailable
from runner.saga.advance import RunState
from runner.saga.evaluation import ExpressionFailed
from runner.saga.exchange import Answer, Exchange, Lost, Put, Request, StreamRecord
from runner.saga.fault import Fault
from runner.saga.journal import CATCH, FORWARD, UNDO, Record, Refused
from runner.saga.tree import Spot
from runner.steps.call import Call
from runner.steps.emit import Emit

#: Seconds for an attempt of a step without a timeout of its own.
LONGEST_ATTEMPT = 60.0

#: Kill points around a request, by the direction of its step.
_SEND: Final = {FORWARD: "send.forward", CATCH: "send.catch", UNDO: "send.undo", "pivot": "send.pivot"}
_SENT: Final = {FORWARD: "sent.forward", CATCH: "sent.catch", UNDO: "sent.undo", "pivot": "sent.pivot"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the settings say about one service, put on after journaling."""

    headers: tuple[tuple[str, str], ...] = ()
    concurrency: int | None = None


@dataclass(slots=True, kw_only=True)
class Performer:
    """Performs attempts through the ports; knows no product."""

    sink: Sink
    services: Services
    streams: Streams
    clock: Clock
    targets: Mapping[str, Target] = field(default_factory=dict)
    #: Wall time in milliseconds; the clock's own, for this is asked at every turn.
    now: Callable[[], int] = field(init=False)
    _gates: dict[str, asyncio.Semaphore] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = self.clock.millis

    def render(self, state: RunState, spot: Spot, now: int) -> Request | StreamRecord | Refused:
        """The request of the spot's next attempt, the same bytes each time; or the record that it cannot be made."""
        if spot.request is not None:
            return spot.request
        verb = spot.step.verb
        assert isinstance(verb, (Call, Emit))
        try:
            request = verb.render(state, spot, now)
        except ExpressionFailed as failed:
            fault = Fault(kind="expression", detail=failed.detail, step=spot.step.place)
            return Refused(t=now, path=spot.path, dir=spot.block.dir, fault=fault, attempt=spot.attempts + 1)
        spot.request = request
        return request

    async def attempt(
        self, state: RunState, spot: Spot, request: Request | StreamRecord, number: int, deadline: int | None
    ) -> Record:
        """Send once and say what came of it. `deadline`: when it is broken off, milliseconds; None: never."""
        timeout = LONGEST_ATTEMPT if spot.step.timeout is None else spot.step.timeout / 1000
        if deadline is not None:
            timeout = min(timeout, max((deadline - self.now()) / 1000, 0.001))
        verb = spot.step.verb
        if isinstance(request, StreamRecord):
            assert isinstance(verb, Emit)
            reached("put.record")
            put = await self._put(request, timeout)
            reached("put.done")
            return verb.judge(state, spot, put, self.now(), number)
        assert isinstance(verb, Call)
        way = "pivot" if spot.step.pivot else spot.block.dir
        reached(_SEND[way])
        target = self.targets.get(request.service.partition("@")[0]) if self.targets else None
        if target is None or target.concurrency is None:
            came = await self._exchange(spot, state.id, request, target, timeout)
        else:
            gate = self._gate(request.service, target.concurrency)
            came = await self._in_turn(gate, spot, state.id, request, target, timeout)
        reached(_SENT[way])
        return verb.judge(state, spot, came, self.now(), number)

    async def _in_turn(
        self, gate: asyncio.Semaphore, spot: Spot, run: str, request: Request, target: Target, timeout: float
    ) -> Exchange:
        """The exchange, once the service's concurrency leaves room for it."""
        began = self.clock.monotonic()
        try:
            async with asyncio.timeout(timeout):
                await gate.acquire()
        except TimeoutError:
            return Lost(kind="timeout", detail=f"{request.service} is at its concurrency limit", sent=False)
        try:
            left = max(timeout - (self.clock.monotonic() - began), 0.001)
            return await self._exchange(spot, run, request, target, left)
        finally:
            gate.release()

    async def _exchange(
        self, spot: Spot, run: str, request: Request, target: Target | None, timeout: float
    ) -> Exchange:
        headers = [("x-saga-run", run), ("traceparent", traceparent(run, spot.digest or request.digest()))]
        if target is not None:
            headers.extend(target.headers)
        if not request.service:
            return await self.sink.send(request, base_url="", extra_headers=headers, timeout=timeout)
        picked = self.services.pick(request.service)
        if not isinstance(picked, Picked):
            return Lost(kind=picked.code, detail=picked.detail, sent=False)
        try:
            came = await self.sink.send(request, base_url=picked.url, extra_headers=headers, timeout=timeout)
        except asyncio.CancelledError:
            picked.settle(None)
            raise
        picked.settle(came.status < 500 if isinstance(came, Answer) else came.kind not in ("unreachable", "timeout"))
        return came

    async def _put(self, record: StreamRecord, timeout: float) -> Put | Lost:
        try:
            async with asyncio.timeout(timeout):
                partition, offset = await self.streams.put(
                    record.stream, key=record.key, value=record.value, headers=record.headers
                )
        except TimeoutError:
            return Lost(kind="timeout", detail=f"the stream {record.stream} did not answer in time", sent=True)
        except StreamUnavailable as error:
            return Lost(kind="unreachable", detail=str(error), sent=False)
        return Put(partition=partition, offset=offset)

    def _gate(self, service: str, concurrency: int) -> asyncio.Semaphore:
        name = service.partition("@")[0]
        gate = self._gates.get(name)
        if gate is None:
            gate = self._gates[name] = asyncio.Semaphore(concurrency)
        return gate


def traceparent(run: str, digest: str = "") -> str:
    """W3C trace context: one trace per run, one span per request (`digest`: its own), the same after a crash."""
    trace = _trace(run)
    return f"00-{trace[:32]}-{digest[:16] or trace[32:]}-01"


@lru_cache(maxsize=4096)
def _trace(run: str) -> str:
    """Of a run: its trace and the span of the trigger, in one."""
    return hashlib.blake2b(run.encode(), digest_size=24).hexdigest()
