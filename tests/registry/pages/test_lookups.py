"""Finding a service by its name: the plain answer, wishes, and waiting for a change."""

import asyncio
import socket
import struct
from typing import Any

import pytest

from registry.pages import lookups
from tests.registry.serving import Api, api

pytestmark = pytest.mark.anyio


async def two(http: Api, **more: Any) -> None:
    for service_id in "ab":
        await http.register(url=f"http://10.0.0.{ord(service_id)}:1", service_id=service_id, **more)


async def found(http: Api, query: str = "", name: str = "payment") -> Any:
    status, body = await http.call("GET", f"/services/{name}{query}")
    assert status == 200, body
    return body


async def test_each_name_has_turns_of_its_own(http: Api) -> None:
    await two(http)
    await http.register("stock", "http://10.0.0.1:1", service_id="x")
    await http.register("stock", "http://10.0.0.2:1", service_id="y")
    seen = [(await found(http, name=name))["service_id"] for name in ("payment", "stock") * 4]
    assert seen == ["a", "x", "b", "y"] * 2


async def test_a_lookup_shows_every_heartbeat_at_once(http: Api) -> None:
    await two(http)
    before = await found(http)
    http.clock.advance(5)
    await http.call("POST", "/services/payment/heartbeat?service_id=b")
    after = await found(http)
    assert after["index"] == before["index"]
    assert [x["last_heartbeat"][17:19] for x in after["instances"]] == ["20", "25"]


async def test_the_drained_the_failing_and_the_weightless_get_no_turn_but_stay_listed(http: Api) -> None:
    await two(http)
    await http.register(url="http://10.0.0.1:1", service_id="c", weight=0)
    await http.call("POST", "/services/payment/instances/a/drain")
    for _ in range(3):
        body = await found(http)
        assert body["service_id"] == "b"
        assert [x["service_id"] for x in body["instances"]] == ["a", "b", "c"]
    await http.call("PATCH", "/services/payment/instances/b", json={"health": "critical"})
    assert (await found(http))["service_id"] == "a"  # nobody may be called: who is there is still told


async def test_a_version_a_capability_and_a_zone_are_heeded(http: Api) -> None:
    await http.register(url="http://10.0.0.1:1", service_id="a", version="1.9", zone="eu", capabilities=["rest"])
    await http.register(url="http://10.0.0.2:1", service_id="b", version="v2.1", zone="us", capabilities=["grpc"])
    assert {(await found(http, name="payment@2"))["service_id"] for _ in range(3)} == {"b"}
    assert {(await found(http, "?capability=rest"))["service_id"] for _ in range(3)} == {"a"}
    assert {(await found(http, "?zone=us"))["service_id"] for _ in range(3)} == {"b"}
    assert {(await found(http, "?zone=moon"))["service_id"] for _ in range(3)} == {"a", "b"}
    told = await http.refused(404, "GET", "/services/payment@3")
    assert "Its version is v2.1, and 3 is wanted." in told["error"]


async def test_a_key_stays_with_its_instance_and_needs_to_be_given(http: Api) -> None:
    await two(http)
    at = {key: (await found(http, f"?policy=consistent_hash&key={key}"))["service_id"] for key in map(str, range(20))}
    assert set(at.values()) == {"a", "b"}
    for key, service_id in at.items():
        assert (await found(http, f"?policy=consistent_hash&key={key}"))["service_id"] == service_id
    told = await http.refused(422, "GET", "/services/payment?policy=consistent_hash")
    assert [x["pointer"] for x in told["errors"]] == ["/key"]


async def test_weights_are_shares_of_the_draws(http: Api) -> None:
    await http.register(url="http://10.0.0.1:1", service_id="a", weight=9)
    await http.register(url="http://10.0.0.2:1", service_id="b", weight=1)
    seen = [(await found(http, "?policy=weighted_random"))["service_id"] for _ in range(100)]
    assert 80 <= seen.count("a") <= 97


async def test_all_are_offered_when_too_few_pass_their_checks_and_the_answer_says_so() -> None:
    async with api(min_healthy_ratio=0.5) as http:
        for service_id in "abcd":
            await http.register(url=f"http://10.0.0.{ord(service_id)}:1", service_id=service_id)
        for service_id in "ab":
            await http.call("PATCH", f"/services/payment/instances/{service_id}", json={"health": "critical"})
        half = [await found(http) for _ in range(4)]
        assert {x["service_id"] for x in half} == {"c", "d"}
        assert not any("protected" in x for x in half)
        await http.call("PATCH", "/services/payment/instances/c", json={"health": "warning"})
        few = [await found(http, query) for query in ("", "", "", "", "?zone=x")]
        assert {x["service_id"] for x in few} == set("abcd")
        assert all(x["protected"] for x in few)
        assert (await found(http, "/resolve"))["protected"] is True
        _, text = await http.call("GET", "/health")
        assert text["cache"]["hits"] == 9
        assert "saga_registry_protected_total 5.0" in await http.text("/metrics")


async def test_a_long_poll_is_answered_at_once_when_the_index_is_another(http: Api) -> None:
    await http.register()
    index = (await found(http))["index"]
    assert (await found(http, "?index=1&wait=10m"))["index"] == index
    await http.refused(404, "GET", "/services/nobody?index=5&wait=10m")


async def test_a_long_poll_ends_with_what_is_there_when_nothing_changes(http: Api) -> None:
    await http.register()
    index = (await found(http))["index"]
    assert (await found(http, f"?index={index}&wait=10ms&instances=only"))["index"] == index
    await http.refused(404, "GET", "/services/nobody?index=0&wait=10ms")


async def test_a_long_poll_wakes_on_a_change_and_not_on_a_heartbeat(http: Api) -> None:
    await http.register()
    index = (await found(http))["index"]
    poll = asyncio.create_task(found(http, f"?index={index}&wait=60s"))
    async with asyncio.timeout(10):
        await http.waiting(1)
        await http.call("POST", "/services/payment/heartbeat")
        await http.register()
        assert not poll.done()
        await http.register(zone="eu")
        body = await poll
    assert body["index"] > index
    assert body["zone"] == "eu"
    await http.waiting(0)


async def test_a_long_poll_wakes_when_the_last_instance_goes_and_when_the_first_comes(http: Api) -> None:
    await http.register()
    index = (await found(http))["index"]
    async with asyncio.timeout(10):
        going = asyncio.create_task(http.refused(404, "GET", f"/services/payment?index={index}&wait=60s"))
        await http.waiting(1)
        await http.call("DELETE", "/services/payment")
        await going
        coming = asyncio.create_task(found(http, "?index=0&wait=60s"))
        await http.waiting(1)
        await http.register()
        assert (await coming)["service_name"] == "payment"


async def test_who_is_gone_waits_no_longer(http: Api) -> None:
    await http.register()
    index = (await found(http))["index"]
    caller = socket.create_connection(("127.0.0.1", http.port))
    caller.sendall(b"GET /api/v1/services/payment?index=%d&wait=300s HTTP/1.1\r\nHost: h\r\n\r\n" % index)
    await http.waiting(1)
    # Reset: a caller who only closes its sending side still wants its answer, and a closed one looks the same.
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.close()
    await http.waiting(0)


async def test_a_registry_that_stops_answers_who_waits() -> None:
    async with api() as http:
        await http.register()
        index = (await found(http))["index"]
        poll = asyncio.create_task(found(http, f"?index={index}&wait=600s"))
        await http.waiting(1)
        http.stop()
        async with asyncio.timeout(4):
            assert (await poll)["index"] == index


async def test_not_everybody_may_wait(http: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MOST_WAITING", 0)
    told = await http.refused(503, "GET", "/services/payment?index=0&wait=1s")
    assert told["code"] == "tooManyWatchers"


@pytest.mark.parametrize(
    "query", ["index=-1", "index=x", "index=1e3", f"index={2**60}", "index=0&wait=soon", "wait=1h"]
)
async def test_a_wait_that_cannot_be_is_refused(http: Api, query: str) -> None:
    await http.refused(422, "GET", f"/services/payment?{query}")
