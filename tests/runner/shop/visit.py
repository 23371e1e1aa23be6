"""A customer of the shop over real sockets: a shop on free ports, and short words for what is asked."""

import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from registry.base.clock import Clock
from runner.shop.serve import Ports, Shop

FREE = Ports(stock=0, payment=0, courier=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Asks the services at `urls`."""

    urls: dict[str, str]
    http: aiohttp.ClientSession

    async def ask(
        self,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str = "",
        run: str = "",
        raw: bytes | None = None,
    ) -> Reply:
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        if run:
            headers["X-Saga-Run"] = run
        sent: dict[str, Any] = {"data": io.BytesIO(raw)} if raw is not None else {} if body is None else {"json": body}
        async with self.http.request(method, self.urls[service] + path, headers=headers, **sent) as answer:
            return Reply(status=answer.status, body=await answer.json())

    async def reserve(self, id_: str, *skus: str, key: str = "") -> Reply:
        lines = [{"sku": sku, "qty": 1, "price": 5} for sku in skus or ("tea",)]
        return await self.ask("stock", "POST", "/reservations", {"id": id_, "lines": lines}, key=key)

    async def charge(self, id_: str, amount: float = 10, customer: str = "ada", *, key: str = "") -> Reply:
        body = {"id": id_, "amount": amount, "customer": customer}
        return await self.ask("payment", "POST", "/charges", body, key=key)

    async def ship(self, id_: str, city: str = "Berlin", *, key: str = "") -> Reply:
        return await self.ask("courier", "POST", "/shipments", {"id": id_, "order": "o-1", "city": city}, key=key)

    async def in_force(self, service: str) -> list[str]:
        """Ids of what is in force."""
        reply = await self.ask(service, "GET", "/effects")
        return [effect["id"] for effect in reply.body["effects"]]

    async def requests(self, service: str) -> list[dict[str, Any]]:
        reply = await self.ask(service, "GET", "/requests")
        assert reply.status == 200
        return list(reply.body["requests"])


@contextlib.asynccontextmanager
async def customer_of(urls: dict[str, str]) -> AsyncIterator[Customer]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
        yield Customer(urls=urls, http=http)


async def no_pause(_: float) -> None:
    """A late answer that is not late."""


@contextlib.asynccontextmanager
async def open_shop(
    db: Path,
    *,
    clock: Clock | None = None,
    registry_url: str | None = None,
    pause: Callable[[float], Awaitable[None]] = no_pause,
) -> AsyncIterator[Customer]:
    """A shop on free ports, and somebody in it."""
    async with (
        Shop(db, ports=FREE, clock=clock, registry_url=registry_url, pause=pause) as shop,
        customer_of(dict(shop.urls)) as customer,
    ):
        yield customer
