"""One instance: seen, changed, drained, removed."""

from typing import Any

import pytest

from tests.registry.serving import Api, api

pytestmark = pytest.mark.anyio

ONE = "/services/payment/instances/a"


async def chosen(http: Api) -> set[str]:
    return {(await http.call("GET", "/services/payment"))[1]["service_id"] for _ in range(4)}


async def two(http: Api) -> None:
    await http.register(url="http://10.0.0.1:1", service_id="a", zone="eu")
    await http.register(url="http://10.0.0.2:1", service_id="b")


async def test_a_drained_instance_gets_no_new_calls_however_often_it_registers_until_it_is_enabled(http: Api) -> None:
    await two(http)
    status, told = await http.call("POST", f"{ONE}/drain")
    assert (status, told["drained"]) == (200, True)
    await two(http)
    assert (await http.call("POST", "/services/payment/heartbeat?service_id=a"))[0] == 200
    assert await chosen(http) == {"b"}
    status, told = await http.call("POST", f"{ONE}/enable")
    assert (status, told["drained"]) == (200, False)
    assert await chosen(http) == {"a", "b"}


async def test_what_is_set_stands_above_what_the_instance_sends_until_it_is_given_back(http: Api) -> None:
    await two(http)
    status, told = await http.call("PATCH", ONE, json={"weight": 0, "zone": "us", "tags": ["old"]})
    assert status == 200
    assert (told["weight"], told["zone"], told["tags"]) == (0, "us", ["old"])
    assert told["overridden"] == {"weight": 1, "zone": "eu", "tags": []}
    assert await chosen(http) == {"b"}
    await two(http)
    assert (await http.call("GET", ONE))[1]["zone"] == "us"
    status, told = await http.call("PATCH", ONE, json={"weight": None, "zone": None, "tags": None})
    assert (told["weight"], told["zone"], told["tags"], told["overridden"]) == (1, "eu", [], {})
    assert await chosen(http) == {"a", "b"}


async def test_health_can_be_said_and_taken_back(http: Api) -> None:
    await two(http)
    assert (await http.call("PATCH", ONE, json={"health": "critical"}))[1]["health"] == "critical"
    assert await chosen(http) == {"b"}
    assert (await http.call("GET", "/services?health=critical"))[1]["services"][0]["service_id"] == "a"
    assert (await http.call("GET", "/services?health=passing"))[1]["services"][0]["service_id"] == "b"
    assert (await http.call("PATCH", ONE, json={"health": None}))[1]["health"] == "passing"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, [""]),
        ([], [""]),
        ({"weight": -1, "drained": "yes", "health": "fine"}, ["/weight", "/drained", "/health"]),
        ({"service_url": "http://h", "service_name": "x"}, ["/service_url", "/service_name"]),
        ({"health_check_url": "http://169.254.169.254/", "zone": "a b"}, ["/zone", "/health_check_url"]),
        ({"health": ["critical"], "metadata": "x", "tags": [1]}, ["/health", "/metadata", "/tags"]),
    ],
)
async def test_a_wrong_change_says_all_its_errors_and_changes_nothing(
    http: Api, body: Any, pointers: list[str]
) -> None:
    await two(http)
    before = (await http.call("GET", ONE))[1]
    told = await http.refused(422, "PATCH", ONE, json=body)
    assert [x["pointer"] for x in told["errors"]] == pointers
    assert (await http.call("GET", ONE))[1] == before


async def test_an_instance_that_is_not_there_cannot_be_changed(http: Api) -> None:
    for method, path, body in (
        ("GET", ONE, None),
        ("PATCH", ONE, {"weight": 1}),
        ("DELETE", ONE, None),
        ("POST", f"{ONE}/drain", None),
        ("POST", f"{ONE}/enable", None),
    ):
        assert (await http.refused(404, method, path, json=body))["code"] == "instanceNotFound"


async def test_every_write_is_in_the_audit_log_and_no_heartbeat_is(http: Api) -> None:
    await http.register(service_id="a")
    await http.call("POST", "/services/payment/heartbeat")
    await http.register(service_id="a")  # changes nothing, so it is but a heartbeat
    await http.register(service_id="a", zone="eu")
    await http.call("POST", f"{ONE}/drain")
    await http.call("DELETE", "/services/payment")
    status, log = await http.call("GET", "/audit")
    assert status == 200
    seen = [
        (x["what"], x["before"] and (x["before"]["zone"], x["before"]["drained"]), x["after"] and x["after"]["drained"])
        for x in log["entries"]
    ]
    assert seen == [
        ("withdrawn", ("eu", True), None),
        ("changed", ("eu", False), True),
        ("changed", (None, False), False),
        ("registered", None, False),
    ]
    assert {x["who"] for x in log["entries"]} == {"anybody@127.0.0.1"}
    _, older = await http.call("GET", f"/audit?limit=1&before={log['entries'][0]['id']}")
    assert older["entries"] == log["entries"][1:2]


async def test_resolve_says_why_each_instance_was_chosen_or_not_and_counts_nothing(http: Api) -> None:
    await http.register(url="http://10.0.0.1:1", service_id="a", version="2", zone="eu", capabilities=["rest"])
    await http.register(url="http://10.0.0.2:1", service_id="b", version="1", capabilities=["rest"])
    await http.register(url="http://10.0.0.3:1", service_id="c", version="2.3", capabilities=["grpc"])
    for service_id, url in (("d", "http://10.0.0.4:1"), ("e", "http://10.0.0.5:1"), ("f", "http://10.0.0.6:1")):
        await http.register(url=url, service_id=service_id, version="2", capabilities=["rest"])
    await http.call("POST", "/services/payment/instances/d/drain")
    await http.call("PATCH", "/services/payment/instances/e", json={"health": "critical"})
    status, told = await http.call("GET", "/services/payment@2/resolve?capability=rest&zone=eu")
    assert status == 200
    assert told["chosen"]["service_id"] == "a"
    assert (told["service"], told["version"], told["policy"], told["protected"]) == (
        "payment",
        "2",
        "round_robin",
        False,
    )
    assert [(x["service_id"], x["verdict"], x["detail"]) for x in told["reasons"]] == [
        ("a", "chosen", "It is its turn: 1 of 1."),
        ("b", "passed over", "Its version is 1, and 2 is wanted."),
        ("c", "passed over", "It does not offer the capability rest."),
        ("d", "passed over", "It is drained, so it gets no new calls."),
        ("e", "passed over", "Its health is critical."),
        ("f", "passed over", "It is in zone None, and zone eu has instances."),
    ]


async def test_a_dry_run_tells_what_the_next_lookup_gets(http: Api) -> None:
    await two(http)
    for _ in range(4):
        told = [(await http.call("GET", "/services/payment/resolve"))[1]["chosen"]["service_id"] for _ in range(2)]
        assert told == [(await http.call("GET", "/services/payment"))[1]["service_id"]] * 2
    health = (await http.call("GET", "/health"))[1]
    assert health["cache"]["hits"] == 4


async def test_a_choice_of_nobody_is_an_answer_and_an_unknown_name_is_not(http: Api) -> None:
    await http.register(service_id="a", weight=0)
    status, told = await http.call("GET", "/services/payment/resolve")
    assert (status, told["chosen"]) == (200, None)
    assert told["reasons"][0]["detail"] == "Its weight is 0, so it gets no new calls."
    await http.refused(404, "GET", "/services/nobody/resolve")
    for policy, fits in (
        ("weighted_random", 200),
        ("least_inflight", 200),
        ("consistent_hash", 422),
        ("consistent_hash&key=k", 200),
        ("fastest", 422),
    ):
        assert (await http.call("GET", f"/services/payment/resolve?policy={policy}"))[0] == fits


async def test_prometheus_finds_every_instance_as_a_target() -> None:
    async with api() as http:
        await http.register(url="http://10.0.0.1", service_id="a", zone="eu", metadata={"metrics_path": "/m"})
        await http.register("web", "https://[2001:db8::1]/base", service_id="b", tags=["x", "y"], version="2")
        await http.register("rpc", "grpc://10.0.0.3:1", service_id="c", capabilities=["grpc"])
        async with http.asked("GET", "/services/sd/prometheus") as response:
            assert (response.status, response.content_type) == (200, "application/json")
            groups = await response.json()
        assert groups == [
            {
                "targets": ["10.0.0.1:80"],
                "labels": {
                    "__scheme__": "http",
                    "__metrics_path__": "/m",
                    "service": "payment",
                    "service_id": "a",
                    "zone": "eu",
                    "__meta_saga_health": "passing",
                    "__meta_saga_drained": "false",
                },
            },
            {
                "targets": ["[2001:db8::1]:443"],
                "labels": {
                    "__scheme__": "https",
                    "service": "web",
                    "service_id": "b",
                    "version": "2",
                    "__meta_saga_health": "passing",
                    "__meta_saga_drained": "false",
                    "__meta_saga_tags": ",x,y,",
                    "__meta_saga_path": "/base",
                },
            },
        ]
        assert len((await http.call("GET", "/services/sd/prometheus?tag=x"))[1]) == 1
