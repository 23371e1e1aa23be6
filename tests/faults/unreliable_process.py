"""The demo services, in a process of their own, failing as services do: 5 % of answers are errors, 2 % come too late.

    python -m tests.faults.unreliable_process DATABASE STOCK PAYMENT COURIER LATE SEED

As `shop_process`, but for the seed that decides by key and number of the attempt what fails and how: with the effect
or without it, and in no case is an answer repeated, so that another attempt may fare better. SIGUSR1: all is well from
now on. `GET /faults` tells how often each thing has happened.
"""

import asyncio
import json
import random
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.base.clock import SystemClock
from registry.base.guest import Guest, listening
from runner.shop import courier, payment, stock
from runner.shop.desk import desk
from runner.shop.ledger import Ledger
from runner.shop.serve import GRACE, HOST

ERRORS: Final = 0.05
LATE: Final = 0.02
STATUSES: Final = (400, 403, 409, 422, 429, 500, 502, 503, 504)
#: What tests ask for, and no saga.
OURS: Final = frozenset({"/effects", "/requests", "/health"})


class Weather:
    """Whether services fail, and how often they did."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.calm = False
        self.faults: Counter[str] = Counter()


class Unreliable:
    """A service's application with this weather around it."""

    def __init__(self, app: ASGIApp, service: str, weather: Weather, late: float) -> None:
        self._app = app
        self._service = service
        self._weather = weather
        self._late = late
        self._asked: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OURS:
            await self._app(scope, receive, send)
            return
        if scope["path"] == "/faults":
            await _answer(send, 200, dict(self._weather.faults))
            return
        key = dict(scope["headers"]).get(b"idempotency-key", scope["path"].encode()).decode("latin-1")
        self._asked[key] += 1
        chance = random.Random(f"{self._weather.seed} {self._service} {key} {self._asked[key]}")
        fate = 1.0 if self._weather.calm else chance.random()
        if fate >= ERRORS + LATE:
            await self._app(scope, receive, send)
            return
        late = fate < LATE
        status = 503 if late else chance.choice(STATUSES)
        applied = status >= 500 and chance.random() < 0.5
        self._weather.faults[f"{'late' if late else status}{', applied' if applied else ''}"] += 1
        if applied:
            await self._app(scope, receive, _drop)
        if late:
            await asyncio.sleep(self._late)
        await _answer(send, status, {"reason": "not today"})


async def _drop(_: Message) -> None:
    """The answer is lost."""


async def _answer(send: Send, status: int, body: Mapping[str, object]) -> None:
    raw = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})


async def main(path: str, *given: str) -> None:
    """Serve until killed."""
    *ports, late, seed = given
    seconds, weather = float(late), Weather(seed)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: setattr(weather, "calm", True))
    ledger = Ledger(Path(path), SystemClock())
    await ledger.open()
    with ExitStack() as sockets:
        guests = []
        for service, port in zip((stock, payment, courier), ports, strict=True):
            name = service.__name__.rpartition(".")[2]
            app = Unreliable(desk(name, service.WAYS, ledger, lambda: asyncio.sleep(seconds)), name, weather, seconds)
            listener = sockets.enter_context(listening(HOST, int(port), f"the demo service {name}"))
            guests.append(Guest(app, listener, grace=GRACE))
        for guest in guests:
            await guest.open()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
