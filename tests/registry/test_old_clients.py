"""Clients as they were written for the first registry of this name, against a running `saga registry` on a real Redis.

They know one instance of a name, beat and leave by name alone, and answer any failed beat with a new registration.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import aiohttp
import pytest

from registry.base.clock import ManualClock
from tests.registry.processes import OLD, Registry, old, registry, started
from tests.support.ports import free_port
from tests.support.processes import PATIENCE_S, ask, eventually
from tests.support.redis_servers import redis_server

pytestmark = [pytest.mark.process, pytest.mark.anyio]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with (
        redis_server(tmp_path_factory.mktemp("redis")) as redis,
        registry(REDIS_URL=redis.url, REGISTRATION_TTL="0.5", HEARTBEAT_INTERVAL="0.1") as made,
    ):
        yield made


def lasting(served: Registry, name: str, url: str) -> None:
    """Register for longer than a test takes."""
    wish = {"service_name": name, "service_url": url, "capabilities": ["rest"], "ttl": 600}
    assert served.ask("POST", "/services/register", wish).status in (200, 201)


# ------------------------------------------------------------------ plain


def test_a_plain_script_is_listed_until_it_exits(served: Registry) -> None:
    script = started([sys.executable, str(OLD / "plain.py")], SAGA_SERVICE_URL=served.url)
    assert script.stdout is not None
    assert [script.stdout.readline() for _ in range(2)] == ["registered\n", "serving\n"]
    found = served.ask("GET", "/services/gateway")
    assert (found.status, found.json["service_url"]) == (200, "http://localhost:8000")
    assert found.json["capabilities"] == ["rest", "graphql", "grpc"]
    assert script.communicate(timeout=PATIENCE_S)[0] == "unregistered\n"
    assert served.ask("GET", "/services/gateway").status == 404


def test_a_plain_script_starts_without_a_registry() -> None:
    ended = subprocess.run(
        [sys.executable, str(OLD / "plain.py")],
        env={"SAGA_SERVICE_URL": f"http://127.0.0.1:{free_port()}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert ended.stdout == "not registered: ConnectionError\nserving\n"


# ------------------------------------------------------------------ Flask and FastAPI


@pytest.mark.parametrize("script", ["on_flask", "on_fastapi"])
def test_a_service_is_listed_as_long_as_it_lives_and_heals_after_it_was_lost(served: Registry, script: str) -> None:
    with old(script, served.url) as service:
        [first] = eventually(lambda: served.instances(script))
        assert first["service_url"] == service.url
        assert eventually(lambda: served.instances(script)[0]["last_heartbeat"] > first["last_heartbeat"])
        assert served.ask("DELETE", f"/services/{script}").status == 200
        [again] = eventually(lambda: served.instances(script))
        assert again["service_url"] == service.url
        assert "unregistered: 200" in service.stop()
        assert served.instances(script) == []


@pytest.mark.parametrize("script", ["on_flask", "on_fastapi"])
def test_a_service_serves_without_a_registry_and_is_listed_when_one_comes(script: str) -> None:
    away = Registry({})
    with old(script, away.url) as service:
        away.start()
        try:
            [found] = eventually(lambda: away.instances(script))
            assert found["service_url"] == service.url
        finally:
            away.stop()


def test_two_of_one_name_stay_listed_for_five_lives_and_only_the_one_that_stops_goes(served: Registry) -> None:
    with (
        old("on_flask", served.url, NAME="twins") as one,
        old("on_fastapi", served.url, NAME="twins") as other,
    ):
        first = {x["service_id"]: x["registered_at"] for x in eventually(lambda: both(served))}

        def lived() -> bool:
            now = served.instances("twins")
            # Who was lost in between would have another id, or a later registration.
            assert {x["service_id"]: x["registered_at"] for x in now} == first
            return all(seconds(x["last_heartbeat"]) - seconds(x["registered_at"]) > 5 * 0.5 for x in now)

        assert eventually(lived)
        one.stop()
        assert eventually(lambda: [x["service_url"] for x in served.instances("twins")] == [other.url])


def both(served: Registry) -> list[dict[str, str]]:
    found = served.instances("twins")
    return found if len(found) == 2 else []  # type: ignore[return-value]  # a Record is read as a mapping here


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# ------------------------------------------------------------------ finding and calling


class Cached:
    """Keeps what it found for a while."""

    def __init__(self, saga_url: str, session: aiohttp.ClientSession, clock: ManualClock) -> None:
        self._saga_url, self._session, self._clock = saga_url, session, clock
        self._kept: dict[str, tuple[float, dict[str, str]]] = {}

    async def discover(self, name: str) -> dict[str, str]:
        kept = self._kept.get(name)
        if kept is not None and self._clock.now() - kept[0] < 30:
            return kept[1]
        async with self._session.get(f"{self._saga_url}/api/v1/services/{name}") as response:
            response.raise_for_status()
            found: dict[str, str] = await response.json()
        self._kept[name] = (self._clock.now(), found)
        return found


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def test_a_client_with_a_cache_asks_once_for_thirty_seconds(
    served: Registry, session: aiohttp.ClientSession
) -> None:
    lasting(served, "authentication", "http://10.0.0.1:8001")
    clock = ManualClock()
    client = Cached(served.url, session, clock)
    before = served.ask("GET", "/health").json["cache"]["hits"]
    assert (await client.discover("authentication"))["service_url"] == "http://10.0.0.1:8001"
    await client.discover("authentication")
    assert served.ask("GET", "/health").json["cache"]["hits"] == before + 1
    clock.advance(30)
    await client.discover("authentication")
    assert served.ask("GET", "/health").json["cache"]["hits"] == before + 2


async def test_a_client_with_a_cache_sees_that_nobody_is_there(
    served: Registry, session: aiohttp.ClientSession
) -> None:
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await Cached(served.url, session, ManualClock()).discover("ghost")
    assert refused.value.status == 404


async def found_or_fallback(session: aiohttp.ClientSession, saga_url: str, name: str, fallback: dict[str, str]) -> str:
    """The pattern of a gateway: whatever goes wrong, the static address is taken."""
    try:
        async with session.get(f"{saga_url}/api/v1/services/{name}") as response:
            if response.status == 200:
                return str((await response.json())["service_url"])
    except aiohttp.ClientError:
        pass
    if name not in fallback:
        raise ValueError(f"unknown service: {name}")
    return fallback[name]


async def test_a_client_with_a_fallback_calls_what_is_registered_else_the_static_address(
    served: Registry, session: aiohttp.ClientSession
) -> None:
    static = {"payment": "http://localhost:8002", "itself": "http://localhost:1"}
    lasting(served, "itself", served.url)
    url = await found_or_fallback(session, served.url, "itself", static)
    async with session.get(f"{url}/health") as answer:
        assert (await answer.json())["status"] == "healthy"
    assert await found_or_fallback(session, served.url, "payment", static) == "http://localhost:8002"
    away = f"http://127.0.0.1:{free_port()}"
    assert await found_or_fallback(session, away, "payment", static) == "http://localhost:8002"
    with pytest.raises(ValueError, match="unknown service"):
        await found_or_fallback(session, served.url, "ghost", static)


def test_a_failure_is_a_text_that_old_clients_print(served: Registry) -> None:
    answer = ask(served.url, "POST", "/api/v1/services/register", {"service_name": "-"})
    assert answer.status == 422
    assert isinstance(answer.json["error"], str)
    assert answer.json["error"]
