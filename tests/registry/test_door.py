"""What is answered before any handler: tokens, faults of ours, and what is counted."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from registry.base.clock import ManualClock
from registry.base.values import Json
from registry.directories.memory import MemoryDirectory
from registry.listing import Listing
from registry.tokens import read_tokens
from tests.registry.serving import Api, api

pytestmark = pytest.mark.anyio

TOKENS = """
reader  reader-token-00001 read
shop    shop-token-0000001 register:shop-
both    both-token-0000001 read register:shop-
ops     ops-token-00000001 admin
"""


@pytest.fixture
async def guarded() -> AsyncIterator[Api]:
    async with api(registry_tokens=read_tokens(TOKENS)) as made:
        yield made


TOKEN = {
    "reader": "reader-token-00001",
    "shop": "shop-token-0000001",
    "both": "both-token-0000001",
    "ops": "ops-token-00000001",
}


@pytest.fixture
async def http() -> AsyncIterator[Api]:
    async with api() as made:
        yield made


def asking(who: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {TOKEN[who]}"}}


def body(name: str) -> dict[str, Json]:
    return {"service_name": name, "service_url": "http://10.0.0.1:1", "service_id": "a"}


async def test_without_a_token_nothing_but_health_and_figures_is_told(guarded: Api) -> None:
    for method, path in (
        ("GET", "/services"),
        ("GET", "/services/shop-stock"),
        ("GET", "/services/watch"),
        ("GET", "/services/sd/prometheus"),
        ("GET", "/audit"),
        ("POST", "/services/register"),
        ("POST", "/services/shop-stock/heartbeat"),
        ("DELETE", "/services/shop-stock"),
        ("PATCH", "/services/shop-stock/instances/a"),
        ("GET", "//nowhere"),
    ):
        told = await guarded.refused(401, method, path)
        assert told["code"] == "unauthorized"
        await guarded.refused(401, method, path, headers={"Authorization": "Bearer no-such-token-0001"})
    async with guarded.asked("GET", "/services") as response:
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="registry"'
    for page in ("/health", "/health/live", "/health/ready", "/metrics"):
        for path in (page, f"/{page}"):
            async with guarded.asked("GET", path) as response:
                assert response.status == 200


async def test_each_scope_allows_what_it_says(guarded: Api) -> None:
    register = {"json": body("shop-stock")}
    assert (await guarded.call("POST", "/services/register", **register, **asking("shop")))[0] == 201
    for who, reads, writes in (("reader", 200, 403), ("shop", 403, 200), ("both", 200, 200), ("ops", 200, 200)):
        for path in ("/services", "/services/shop-stock", "/services/shop-stock?instances=only"):
            assert (await guarded.call("GET", path, **asking(who)))[0] == reads, (who, path)
        for method, path, more in (
            ("POST", "/services/register", register),
            ("POST", "/services/shop-stock/heartbeat", {}),
            ("PATCH", "/services/shop-stock/instances/a", {"json": {"weight": 2}}),
            ("POST", "/services/shop-stock/instances/a/drain", {}),
            ("POST", "/services/shop-stock/instances/a/enable", {}),
        ):
            assert (await guarded.call(method, path, **more, **asking(who)))[0] == writes, (who, path)
    for who in ("reader", "shop", "both"):
        await guarded.refused(403, "GET", "/audit", **asking(who))
        await guarded.refused(403, "DELETE", "/services/payment", **asking(who))
        await guarded.refused(403, "POST", "/services/register", json=body("payment"), **asking(who))
        await guarded.refused(403, "POST", "/services/payment/heartbeat", **asking(who))
    assert (await guarded.call("DELETE", "/services/shop-stock/instances/a", **asking("both")))[0] == 200
    assert (await guarded.call("POST", "/services/register", json=body("payment"), **asking("ops")))[0] == 201


async def test_the_audit_log_says_who_by_the_tokens_name_and_never_the_token(guarded: Api) -> None:
    await guarded.call("POST", "/services/register", json=body("shop-stock"), **asking("shop"))
    await guarded.call("DELETE", "/services/shop-stock", **asking("ops"))
    text = await guarded.text("/audit", **asking("ops"))
    _, log = await guarded.call("GET", "/audit", **asking("ops"))
    assert [x["who"] for x in log["entries"]] == ["ops@127.0.0.1", "shop@127.0.0.1"]
    assert not any(token in text for token in TOKEN.values())


class BrokenDirectory(MemoryDirectory):
    """A directory with a fault."""

    async def get(self, name: str, *, counts: bool = False) -> tuple[Listing, ...]:
        raise KeyError(name)


async def test_a_fault_of_ours_is_a_problem_that_tells_nothing_internal() -> None:
    clock = ManualClock()
    async with api(directory=BrokenDirectory(clock), clock=clock) as http:
        for path in ("/services/payment", "/services/payment?zone=x"):
            told = await http.refused(500, "GET", path)
            assert told["error"] == "The registry failed; see its log."


async def test_every_request_is_counted_by_its_kind_and_hostile_ones_as_one(http: Api) -> None:
    await http.register()
    for path in ("/services/payment", "/services/payment?zone=x", "/services/nobody", "//a", "//b"):
        await http.call("GET", path)
    await http.call("POST", "/services/payment/heartbeat")
    await http.call("PUT", "//coffee")
    figures = await http.text("/metrics")

    def count(method: str, path: str, status: int) -> str:
        labels = f'method="{method}",path="{path}",status="{status}"'
        return f"saga_registry_request_duration_seconds_count{{{labels}}}"

    assert f"{count('GET', '/services/{name}', 200)} 2.0" in figures
    assert f"{count('GET', '/services/{name}', 404)} 1.0" in figures
    assert f"{count('POST', '/services/register', 201)} 1.0" in figures
    assert f"{count('POST', '/services/{name}/heartbeat', 200)} 1.0" in figures
    assert f"{count('other', 'other', 404)} 3.0" in figures
    assert "coffee" not in figures
