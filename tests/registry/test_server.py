import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from registry.wire import MAX_BODY
from tests.registry.serving import Api, api

pytestmark = pytest.mark.anyio


@pytest.fixture
async def http() -> AsyncIterator[Api]:
    async with api() as made:
        yield made


def refused(answer: tuple[int, Any], status: int) -> Any:
    """The problem document, after a look at what all of them have."""
    got, body = answer
    assert got == status, body
    assert body["status"] == status
    assert body["error"]
    assert body["type"].startswith("/docs/problems/")
    return body


async def test_an_old_client_registers_finds_beats_and_leaves(http: Api) -> None:
    body = {
        "service_name": "gateway",
        "service_url": "http://localhost:8000/",
        "capabilities": ["rest", "grpc"],
    }
    status, first = await http.call("POST", "/services/register", json=body)
    assert status == 201
    assert (first["ttl"], first["heartbeat_interval"]) == (60, 30)
    assert len(first["service_id"]) == 36
    http.clock.advance(1)
    status, again = await http.call("POST", "/services/register", json={**body, "service_url": "http://LOCALHOST:8000"})
    assert status == 200
    assert (again["service_id"], again["registered_at"]) == (first["service_id"], first["registered_at"])
    assert again["last_heartbeat"] > first["last_heartbeat"]
    status, found = await http.call("GET", "/services/gateway")
    assert status == 200
    assert found["service_url"] == "http://LOCALHOST:8000"
    assert found["capabilities"] == ["rest", "grpc"]
    assert [x["service_id"] for x in found["instances"]] == [first["service_id"]]
    status, beaten = await http.call("POST", "/services/gateway/heartbeat")
    assert (status, beaten["heartbeat_interval"]) == (200, 30)
    assert (await http.call("DELETE", "/services/gateway"))[0] == 200
    refused(await http.call("DELETE", "/services/gateway"), 404)
    refused(await http.call("GET", "/services/gateway"), 404)


async def test_a_heartbeat_after_expiry_is_404_and_registering_again_heals(http: Api) -> None:
    await http.register()
    http.clock.advance(59)
    assert (await http.call("POST", "/services/payment/heartbeat"))[0] == 200
    http.clock.advance(59)
    assert (await http.call("GET", "/services/payment"))[0] == 200
    http.clock.advance(1)
    refused(await http.call("GET", "/services/payment"), 404)
    assert (await http.call("GET", "/services"))[1]["services"] == []
    refused(await http.call("POST", "/services/payment/heartbeat"), 404)
    await http.register()
    assert (await http.call("POST", "/services/payment/heartbeat"))[0] == 200


async def test_two_old_clients_of_one_name_both_live_on_and_only_the_one_that_stops_goes(http: Api) -> None:
    urls = ["http://127.0.0.1:8001", "http://127.0.0.1:8002"]
    first = [(await http.register(url=url))["service_id"] for url in urls]
    for _ in range(10):  # five times to live, beating every half of one
        http.clock.advance(30)
        for url in urls:
            refused(await http.call("POST", "/services/payment/heartbeat"), 409)
            await http.register(url=url)
    _, body = await http.call("GET", "/services/payment?instances=only")
    assert [x["service_id"] for x in body["instances"]] == first
    assert sorted(body) == ["index", "instances"]
    left = refused(await http.call("DELETE", "/services/payment"), 409)
    assert [x["service_url"] for x in left["instances"]] == urls
    http.clock.advance(30)
    await http.register(url=urls[1])
    http.clock.advance(30)
    _, body = await http.call("GET", "/services/payment")
    assert [x["service_id"] for x in body["instances"]] == first[1:]


async def test_of_several_the_one_at_the_callers_address_is_meant(http: Api) -> None:
    mine = await http.register(url="http://127.0.0.1:8001")
    await http.register(url="http://10.0.0.9:8001")
    status, beaten = await http.call("POST", "/services/payment/heartbeat")
    assert (status, beaten["service_id"]) == (200, mine["service_id"])
    status, gone = await http.call("DELETE", "/services/payment")
    assert (status, [x["service_id"] for x in gone["removed"]]) == (200, [mine["service_id"]])
    assert (await http.call("GET", "/services/payment"))[1]["service_url"] == "http://10.0.0.9:8001"


async def test_an_id_names_the_instance_in_every_call(http: Api) -> None:
    for i in "ab":
        await http.register(url=f"http://10.0.0.1:{ord(i)}", service_id=i)
    assert (await http.call("POST", "/services/payment/heartbeat?service_id=b"))[1]["service_id"] == "b"
    refused(await http.call("POST", "/services/payment/heartbeat?service_id=x"), 404)
    refused(await http.call("DELETE", "/services/payment?service_id=x"), 404)
    assert (await http.call("GET", "/services/payment/instances/a"))[1]["service_id"] == "a"
    assert (await http.call("DELETE", "/services/payment?service_id=a"))[0] == 200
    refused(await http.call("GET", "/services/payment/instances/a"), 404)
    refused(await http.call("DELETE", "/services/payment/instances/a"), 404)
    assert (await http.call("DELETE", "/services/payment/instances/b"))[0] == 200
    refused(await http.call("GET", "/services/payment"), 404)


async def test_all_instances_leave_when_all_are_named(http: Api) -> None:
    await http.register(url="http://10.0.0.1:1")
    await http.register(url="http://10.0.0.1:2")
    refused(await http.call("DELETE", "/services/payment?all=true&service_id=a"), 422)
    refused(await http.call("DELETE", "/services/payment?all=maybe"), 422)
    status, gone = await http.call("DELETE", "/services/payment?all=true")
    assert (status, len(gone["removed"])) == (200, 2)
    refused(await http.call("DELETE", "/services/payment?all=true"), 404)


async def test_the_flat_record_is_that_of_each_instance_in_turn(http: Api) -> None:
    for i in "ab":
        await http.register(url=f"http://10.0.0.1:{ord(i)}", service_id=i)
    seen = [(await http.call("GET", "/services/payment"))[1]["service_id"] for _ in range(4)]
    assert seen == ["a", "b", "a", "b"]


async def test_an_instance_of_weight_zero_is_alive_but_not_picked(http: Api) -> None:
    await http.register(url="http://10.0.0.1:1", service_id="z", weight=0)
    assert (await http.call("GET", "/services/payment"))[1]["service_id"] == "z"
    await http.register(url="http://10.0.0.1:2", service_id="a")
    assert {(await http.call("GET", "/services/payment"))[1]["service_id"] for _ in range(3)} == {"a"}


async def test_the_index_moves_on_changes_and_not_on_heartbeats(http: Api) -> None:
    async def index() -> int:
        got = (await http.call("GET", "/services/payment?instances=only"))[1]["index"]
        assert isinstance(got, int)
        return got

    await http.register()
    before = await index()
    await http.call("POST", "/services/payment/heartbeat")
    await http.register()
    assert await index() == before
    await http.register(zone="b")
    assert await index() > before


async def test_services_are_listed_by_name_filtered_and_in_pages(http: Api) -> None:
    await http.register("b", "http://10.0.0.1:1", capabilities=["grpc"], zone="x", tags=["blue"])
    await http.register("b", "http://10.0.0.1:2")
    await http.register("a", "http://10.0.0.1:3", zone="y")
    await http.register("c", "http://10.0.0.1:4", zone="x")

    async def names(query: str = "") -> list[str]:
        status, body = await http.call("GET", f"/services{query}")
        assert status == 200
        return [x["service_name"] for x in body["services"]]

    _, everything = await http.call("GET", "/services")
    assert (everything["count"], everything["next"]) == (3, None)
    assert [len(x["instances"]) for x in everything["services"]] == [1, 2, 1]
    assert await names() == ["a", "b", "c"]
    assert await names("?capability=grpc") == await names("?tag=blue") == ["b"]
    assert await names("?zone=x") == ["b", "c"]
    assert await names("?prefix=a") == ["a"]
    assert await names("?health=all") == ["a", "b", "c"]
    assert await names("?health=critical") == []
    _, page = await http.call("GET", "/services?limit=2")
    assert ([x["service_name"] for x in page["services"]], page["count"], page["next"]) == (
        ["a", "b"],
        3,
        "b",
    )
    assert await names(f"?limit=2&cursor={page['next']}") == ["c"]
    body = refused(await http.call("GET", "/services?limit=0&health=fine"), 422)
    assert [x["pointer"] for x in body["errors"]] == ["/health", "/limit"]


async def test_a_registration_says_all_its_errors_at_once(http: Api) -> None:
    body = {"service_name": "-", "service_url": "ftp://x", "ttl": -1}
    problem = refused(await http.call("POST", "/services/register", json=body), 422)
    assert [x["pointer"] for x in problem["errors"]] == ["/service_name", "/service_url", "/ttl"]
    assert problem["error"] == problem["detail"] == " ".join(x["detail"] for x in problem["errors"])


async def test_a_short_life_is_told_a_matching_heartbeat(http: Api) -> None:
    told = await http.register(ttl=10)
    assert (told["ttl"], told["heartbeat_interval"]) == (10, 5)
    http.clock.advance(10)
    refused(await http.call("GET", "/services/payment"), 404)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"NaN",
        b'"\\ud800"',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"service_name": "a", "service_url": "http://h", "metadata": ' + b'{"a":' * 300 + b"1" + b"}" * 301,
        b'{"service_name": "a", "service_url": "http://h", "weight": 1e999}',
        b'{"service_name": "a", "service_url": "http://h", "weight": ' + b"9" * 400 + b"}",
        b'{"service_name": ["a"], "service_url": {"a": 1}}',
    ],
)
async def test_a_hostile_body_is_refused_and_harms_nobody(http: Api, data: bytes) -> None:
    refused(await http.call("POST", "/services/register", data=data), 422)
    await http.register()


@pytest.mark.parametrize(
    "path",
    [
        "/services/register",
        "/services/" + "x" * 5_000,
        "/services/%00",
        "/services/%FF%FE",
        "/services/..%2f..%2fetc",
        "/services/a%20b",
        "/services/",
        "/services/a/b",
        "//nowhere",
    ],
)
async def test_a_path_that_leads_nowhere_is_404(http: Api, path: str) -> None:
    refused(await http.call("GET", path), 404)


async def test_a_wrong_method_is_405_with_the_right_ones(http: Api) -> None:
    refused(await http.call("PUT", "/services"), 405)
    refused(await http.call("GET", "/services/a/heartbeat"), 405)


async def test_a_body_above_the_limit_is_refused_on_every_path(http: Api) -> None:
    for path in ("/services/register", "/services/a/heartbeat", "//nowhere"):
        refused(await http.call("POST", path, data=io.BytesIO(b"x" * (MAX_BODY + 1))), 413)
    fitting = json.dumps({"service_name": "a", "service_url": "http://h", "more": "x" * (MAX_BODY - 100)})
    assert (await http.call("POST", "/services/register", data=fitting))[0] == 201


async def test_a_body_of_undeclared_length_is_cut_off_at_the_limit(http: Api) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
    writer.write(b"POST /api/v1/services/register HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    for _ in range(MAX_BODY // 0x10000 + 1):
        writer.write(chunk)
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()


async def test_rubbish_instead_of_http_is_answered_below_500(http: Api) -> None:
    for raw in (b"\x00\x01\x02\r\n\r\n", b"GET /api/v1/services/\xff\xfe HTTP/1.1\r\nHost: h\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
        writer.write(raw)
        line = await asyncio.wait_for(reader.readline(), 10)
        assert not line or line.split()[1].startswith(b"4"), line
        writer.close()
    await http.register()


async def test_health_says_how_it_is_at_both_places() -> None:
    async with api(service_name="saga-eu") as http:
        await http.register()
        for path in (
            "/services/payment",
            "/services/payment",
            "/services/payment?instances=only",
            "/services/x",
        ):
            await http.call("GET", path)
        status, health = await http.call("GET", "/health")
        assert status == 200
        assert (await http.call("GET", "//health"))[1] == health
        assert (health["status"], health["service"], health["redis"]) == ("healthy", "saga-eu", "embedded")
        assert isinstance(health["version"], str)
        assert health["cache"] == {
            "size": 1,
            "hits": 3,
            "misses": 1,
            "hit_ratio": 0.75,
            "last_refresh": "2023-11-14T22:13:20.000000Z",
        }
        for path in ("/health/live", "//health/live", "/health/ready", "//health/ready"):
            assert (await http.call("GET", path))[0] == 200


async def test_health_of_an_empty_registry_divides_nothing_by_nothing(http: Api) -> None:
    assert (await http.call("GET", "/health"))[1]["cache"]["hit_ratio"] == 0


async def test_the_interface_describes_itself(http: Api) -> None:
    status, described = await http.call("GET", "/openapi.json")
    assert status == 200
    paths = described["paths"]
    one = "/services/{name}/instances/{service_id}"
    assert {path.removeprefix("/api/v1"): set(operations) for path, operations in paths.items()} == {
        "/services": {"get"},
        "/services/register": {"post"},
        "/services/watch": {"get"},
        "/services/sd/prometheus": {"get"},
        "/services/{name}": {"get", "delete"},
        "/services/{name}/heartbeat": {"post"},
        "/services/{name}/resolve": {"get"},
        one: {"get", "patch", "delete"},
        f"{one}/drain": {"post"},
        f"{one}/enable": {"post"},
        "/audit": {"get"},
        "/health": {"get"},
        "/health/live": {"get"},
        "/health/ready": {"get"},
        "/metrics": {"get"},
    }
    assert "requestBody" in paths["/api/v1/services/register"]["post"]
    for path, operations in paths.items():
        guarded = "/services" in path or path.endswith("/audit")
        for method, operation in operations.items():
            statuses = set(operation["responses"])
            assert {"500"} | ({"401", "403"} if guarded else set()) <= statuses, (method, path)
            assert method == "get" or {"404", "413", "422", "503"} - statuses <= {"404"}, (method, path)
