"""Services and the network to them: requests get lost, doubled, held up, answered in vain; each by seed.

A good service applies a key once, remembers whom it refused, and refuses a forward request whose undo came before it
(the barrier). Each of these can be switched off. What it did is told by its own table alone.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from runner.saga.exchange import Answer, Exchange, Lost, Request
from tests.support.sim_chronicle import Chronicle, Left, Served
from tests.support.sim_definitions import Facts


@dataclass(slots=True, kw_only=True)
class Weather:
    """Chances per request; all zero is calm."""

    #: Never sent; sent and lost; sent and the line cut; the answer lost.
    refused: float = 0.0
    lost: float = 0.0
    cut: float = 0.0
    unanswered: float = 0.0
    #: Held up for up to 12 s; delivered twice.
    held_up: float = 0.0
    doubled: float = 0.0
    #: Turned away at the gate, whatever the service knows of the key: 409 or 429; 403.
    busy: float = 0.0
    forbidden: float = 0.0
    #: The service's own no, for good.
    declined: float = 0.0
    #: 500 before and after the effect.
    broken_before: float = 0.0
    broken_after: float = 0.0
    #: An undo refused; in a storm, until the storm is over.
    undo_refused: float = 0.0


def storm() -> Weather:
    return Weather(
        refused=0.03,
        lost=0.04,
        cut=0.03,
        unanswered=0.05,
        held_up=0.06,
        doubled=0.04,
        busy=0.06,
        forbidden=0.03,
        declined=0.07,
        broken_before=0.03,
        broken_after=0.04,
        undo_refused=0.06,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Copy:
    """A request on its way; two copies of one are the same object."""

    key: str
    service: str
    reads: bool
    stream: bool


@dataclass(slots=True, kw_only=True, eq=False)
class Services:
    """Every service and stream there is, and the network."""

    rng: Random
    chronicle: Chronicle
    #: Facts of the step that a run's request is for, by run and key without `.undo`; None: not known.
    facts_of: Callable[[str], Facts | None]
    weather: Weather = field(default_factory=Weather)
    away: set[str] = field(default_factory=set)
    #: What comes of the requests of a step, one after the other, each a name of `Weather` or nothing; `s1.undo` for
    #: its undo. Behind the last one, and where nothing is said, it is the weather's.
    script: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Whether it refuses a forward request behind its undo.
    barrier: bool = True
    #: Key -> how often its effect is in force.
    effects: dict[str, int] = field(default_factory=dict)
    #: Keys whose undo has come.
    closed: set[str] = field(default_factory=set)
    declined: dict[str, int] = field(default_factory=dict)
    #: Keys whose undo is refused again and again.
    stubborn: set[str] = field(default_factory=set)
    offsets: dict[str, int] = field(default_factory=dict)
    #: What came of a copy, so that whatever repeats a request on the way changes nothing.
    _answered: dict[_Copy, int] = field(default_factory=dict)
    _scripted: dict[_Copy, Weather] = field(default_factory=dict)
    _spoken: dict[str, int] = field(default_factory=dict)

    def calm(self) -> None:
        """From now on everything works."""
        self.weather = Weather()
        self.away.clear()
        self.stubborn.clear()

    def _weather(self, copy: _Copy) -> Weather:
        return self._scripted.get(copy, self.weather)

    def _look_up(self, copy: _Copy) -> None:
        """Give a request the weather that the script has for it."""
        base, undo, _ = copy.key.partition(".undo")
        name = next((part for part in reversed(base.split(".")) if part + undo in self.script), "") + undo
        words = self.script.get(name, ())
        at = self._spoken[name] = self._spoken.get(name, -1) + 1
        if at < len(words):
            self._scripted[copy] = Weather(**({words[at]: 1.0} if words[at] else {}))

    def launch(self, copy: _Copy, answer: "asyncio.Future[Exchange]") -> None:
        """Put a request on its way; what comes of it, if anything does, goes into `answer`."""
        if self.script:
            self._look_up(copy)
        loop, rng, weather = asyncio.get_running_loop(), self.rng, self._weather(copy)
        fate, delay = rng.random(), rng.expovariate(1 / 0.02)
        if fate < weather.refused:
            loop.call_later(delay, _settle, answer, Lost(kind="unreachable", detail="nobody is listening", sent=False))
            return
        fate -= weather.refused
        if fate < weather.lost:
            return
        fate -= weather.lost
        if fate < weather.cut:
            self.chronicle.count("line cut")
            loop.call_later(delay, _settle, answer, Lost(kind="unreachable", detail="the line was cut", sent=True))
            delay += rng.uniform(0, 3)
        elif rng.random() < weather.held_up:
            self.chronicle.count("held up")
            delay += rng.uniform(0, 12)
        loop.call_later(delay, self._arrive, copy, answer)
        facts = self.facts_of(copy.key)
        once = facts is None or facts.idempotent is not False
        if once and rng.random() < weather.doubled:
            self.chronicle.count("doubled")
            loop.call_later(delay + rng.uniform(0, 8), self._arrive, copy, answer)

    def _arrive(self, copy: _Copy, answer: "asyncio.Future[Exchange]") -> None:
        loop = asyncio.get_running_loop()
        did, status = "nothing", self._answered.get(copy, 0)
        if not status:
            did, status = self._serve(copy)
            if status < 500 or did != "nothing":
                self._answered[copy] = status
        self.chronicle.tell(Served(key=copy.key, did=did, status=status, at=loop.time()))
        if self.rng.random() < self._weather(copy).unanswered or (copy.stream and status != 200):
            return
        body = b'{"id":"%s"}' % copy.key.encode()
        came = Answer(status=status, headers={"content-type": "application/json"}, body=body)
        loop.call_later(self.rng.expovariate(1 / 0.02), _settle, answer, came)

    def _serve(self, copy: _Copy) -> tuple[str, int]:
        rng, weather, key = self.rng, self._weather(copy), copy.key
        if copy.service in self.away:
            return "nothing", 503
        base, undo, _ = key.partition(".undo")
        facts = self.facts_of(base)
        if not copy.stream:
            if rng.random() < weather.busy:
                return "nothing", rng.choice((409, 429))
            # A service that is said to answer a key the same each time does not turn a known key away for good.
            steady = facts is not None and facts.idempotent is True
            if not steady and not undo and rng.random() < weather.forbidden:
                return "nothing", 403
        if rng.random() < weather.broken_before:
            return "nothing", 500
        if copy.reads:
            return "nothing", 200
        if undo:
            if base in self.stubborn or rng.random() < weather.undo_refused:
                if self.weather.undo_refused:
                    self.stubborn.add(base)
                return "nothing", 403
            self.closed.add(base)
            had = self.effects.pop(base, 0)
            return "removed" if had else "nothing", 500 if rng.random() < weather.broken_after else 200
        return self._forward(copy, facts)

    def _forward(self, copy: _Copy, facts: Facts | None) -> tuple[str, int]:
        rng, weather, key = self.rng, self._weather(copy), copy.key
        if self.barrier and key in self.closed:
            self.chronicle.count("barrier held")
            return "nothing", 410
        if key in self.declined:
            return "nothing", self.declined[key]
        once = facts is None or facts.idempotent is not False
        if key in self.effects and once:
            return "nothing", 200
        if not copy.stream and key not in self.effects and rng.random() < weather.declined:
            self.declined[key] = rng.choice((402, 422))
            return "nothing", self.declined[key]
        self.effects[key] = self.effects.get(key, 0) + 1
        return "applied", 500 if rng.random() < weather.broken_after else 200


def _settle(answer: "asyncio.Future[Exchange]", came: Exchange) -> None:
    if not answer.done():
        answer.set_result(came)


def content_of(*parts: object) -> str:
    """What the world compares two requests of one key by."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def copy_of_call(request: Request) -> _Copy:
    return _Copy(key=request.key, service=request.service, reads=request.method == "GET", stream=False)


def copy_of_record(stream: str, headers: Mapping[str, bytes]) -> _Copy:
    return _Copy(key=headers["idempotency-key"].decode(), service=stream, reads=False, stream=True)


def told(request: Request, owner: str, run: str, at: float) -> Left:
    """A call as it leaves."""
    parts = (request.service, request.method, request.target, request.headers, request.body)
    return Left(
        run=run,
        key=request.key,
        what=f"{request.method} {request.service}{request.target}",
        reads=request.method == "GET",
        content=content_of(*parts),
        owner=owner,
        at=at,
    )


def told_of_record(
    stream: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]], owner: str, at: float
) -> Left:
    """A stream's record as it leaves."""
    own = dict(headers)["idempotency-key"].decode()
    return Left(
        run=own.partition(".")[0],
        key=own,
        what=f"EMIT {stream}",
        reads=False,
        content=content_of(stream, key, value, tuple(headers)),
        owner=owner,
        at=at,
    )
