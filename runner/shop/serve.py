"""The shop opens and closes: three HTTP servers in the running event loop, over one ledger.

Each is a uvicorn server of its own on its own port, registers itself and beats, as three processes would.
They share one process only so that one command starts the whole example.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from registry.base.clock import Clock, SystemClock
from registry.base.guest import Guest, listening
from runner.shop import courier, payment, stock
from runner.shop.desk import desk
from runner.shop.ledger import Ledger
from runner.shop.trade import Way

HOST: Final = "127.0.0.1"
#: Seconds by which the sku `slow` is late.
LATE: Final = 3.0
#: Seconds for one request to the registry.
REGISTRY_TIMEOUT: Final = 2.0
#: Requests that one service works on at a time; more are answered 503.
MOST_AT_ONCE: Final = 1_000
#: Seconds that open requests get at the end.
GRACE: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where each service listens on 127.0.0.1; 0: any free port."""

    stock: int = 9001
    payment: int = 9002
    courier: int = 9003


class Shop:
    """`stock`, `payment` and `courier`, open from entering to leaving.

    - `registry_url`: where they register, None for nowhere. A registry that is away never keeps them shut.
    - `pause`: waits the given seconds before a late answer.
    - Entering raises `CannotListen`, and OSError or sqlite3.Error where the file cannot be had.
    - Made once, entered once.
    - Leaving answers what has come (late answers at once), withdraws the entries, and closes the file.
    """

    def __init__(
        self,
        db_path: Path,
        *,
        ports: Ports | None = None,
        registry_url: str | None = None,
        clock: Clock | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ports = ports or Ports()
        self._registry_url = registry_url
        self._clock = clock or SystemClock()
        self._ledger = Ledger(db_path, self._clock)
        self._pause = pause
        self._pauses: set[asyncio.Future[None]] = set()
        self._closing = False
        self._urls: dict[str, str] = {}
        self._stack = AsyncExitStack()

    @property
    def urls(self) -> Mapping[str, str]:
        """Name to base URL of the services that are open."""
        return self._urls

    async def __aenter__(self) -> Self:
        services: tuple[tuple[str, int, tuple[Way[Any], ...]], ...] = (
            ("stock", self._ports.stock, stock.WAYS),
            ("payment", self._ports.payment, payment.WAYS),
            ("courier", self._ports.courier, courier.WAYS),
        )
        async with AsyncExitStack() as stack:
            # Sockets first: a taken port is told before anything else has begun.
            sockets = [
                stack.enter_context(listening(HOST, port, f"the demo service {name}")) for name, port, _ in services
            ]
            stack.push_async_callback(self._ledger.close)
            await self._ledger.open()
            servers = [
                Guest(desk(name, ways, self._ledger, self._wait_late), listener, grace=GRACE, limit=MOST_AT_ONCE)
                for (name, _, ways), listener in zip(services, sockets, strict=True)
            ]
            stack.push_async_callback(_close_all, servers)
            stack.callback(self._end_pauses)
            for server in servers:
                await server.open()
            self._urls = {
                name: f"http://{HOST}:{listener.getsockname()[1]}"
                for (name, _, _), listener in zip(services, sockets, strict=True)
            }
            await self._register(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._urls = {}
        await self._stack.aclose()

    async def _register(self, stack: AsyncExitStack) -> None:
        if self._registry_url is None:
            return
        # Here, because it brings an HTTP client, which a shop without a registry never needs.
        from registry.client import RegistryClient

        client = RegistryClient(self._registry_url, timeout=REGISTRY_TIMEOUT, clock=self._clock)
        await stack.enter_async_context(client)
        for name, url in self._urls.items():
            await stack.enter_async_context(client.registered(name, url, ["rest"]))

    async def _wait_late(self) -> None:
        if self._closing:
            return
        pause = asyncio.ensure_future(self._pause(LATE))
        self._pauses.add(pause)
        try:
            # Waiting for it in a set, so that one cut short when the shop closes still sends its answer.
            await asyncio.wait({pause})
        finally:
            pause.cancel()
            self._pauses.discard(pause)

    def _end_pauses(self) -> None:
        self._closing = True
        for pause in tuple(self._pauses):
            pause.cancel()


async def _close_all(guests: Sequence[Guest]) -> None:
    await asyncio.gather(*(guest.close() for guest in guests))
