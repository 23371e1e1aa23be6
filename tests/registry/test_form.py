import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.base.networks import Networks
from registry.form import InvalidRegistration, admitted, read_registration
from registry.listing import normal_url

GOOD = {"service_name": "payment", "service_url": "http://localhost:9002"}


def wrong_members(body: Any) -> list[str]:
    with pytest.raises(InvalidRegistration) as wrong:
        read_registration(body, default_ttl=60)
    return [error["pointer"] for error in wrong.value.errors]


def test_name_and_url_are_enough() -> None:
    read = read_registration(GOOD, default_ttl=60)
    assert (read.service_name, read.service_url, read.capabilities, read.ttl) == (
        "payment",
        "http://localhost:9002",
        (),
        60,
    )


def test_all_errors_are_told_at_once() -> None:
    body = {
        "service_name": "-x",
        "service_url": "ftp://x",
        "service_id": "",
        "capabilities": "rest",
        "weight": -1,
        "zone": 7,
        "version": "a b",
        "tags": [1],
        "metadata": [],
        "health_check_url": "health",
        "openapi_url": 4,
        "ttl": 0,
    }
    assert sorted(wrong_members(body)) == sorted(f"/{member}" for member in body)


@pytest.mark.parametrize("name", ["register", "watch", "sd", "", ".a", "a b", "a/b", "é", "x" * 129, "a\n", 7, None])
def test_a_name_that_is_no_name_is_refused(name: Any) -> None:
    assert wrong_members({**GOOD, "service_name": name}) == ["/service_name"]


@pytest.mark.parametrize("name", ["a", "A9", "my.service_v2-x", "x" * 128, "registers"])
def test_a_good_name_is_taken(name: str) -> None:
    assert read_registration({**GOOD, "service_name": name}, default_ttl=1).service_name == name


@pytest.mark.parametrize(
    "url",
    [
        "localhost:9002",
        "/path",
        "http://",
        "http://:80",
        "http://user@host",
        "http://user:pw@host/",
        "http://host/#top",
        "http://host#",
        "http://host:0",
        "http://host:99999",
        "http://host:port",
        "http://[::1",
        "http://[fe80::1%25eth0]",
        "http://ho st",
        "http://host\\@evil",
        "http://host/\x00",
        "http://höst",
        "grpc://host:1",
        "javascript:alert(1)",
        "http://" + "h" * 2100,
        "",
        12,
        ["http://host"],
    ],
)
def test_a_url_that_is_no_service_address_is_refused(url: Any) -> None:
    assert wrong_members({**GOOD, "service_url": url}) == ["/service_url"]


def test_grpc_addresses_are_for_services_that_speak_it() -> None:
    body = {**GOOD, "service_url": "grpc://host:5000", "capabilities": ["grpc"]}
    assert read_registration(body, default_ttl=60).service_url == "grpc://host:5000"


def test_host_and_port_stand_in_for_the_url() -> None:
    read = read_registration({"service_name": "a", "host": "10.0.0.7", "port": 80}, default_ttl=60)
    assert read.service_url == "http://10.0.0.7:80"
    read = read_registration({"service_name": "a", "host": "::1", "port": 8000}, default_ttl=60)
    assert read.service_url == "http://[::1]:8000"


def test_host_and_port_are_checked_and_exclude_the_url() -> None:
    assert wrong_members({"service_name": "a", "host": "h/x", "port": True}) == ["/port", "/host"]
    assert wrong_members({"service_name": "a", "host": "h"}) == ["/port"]
    assert wrong_members({**GOOD, "host": "h", "port": 1}) == ["/service_url"]
    assert wrong_members({"service_name": "a"}) == ["/service_url"]


@pytest.mark.parametrize("body", [None, [], "x", 3])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    assert wrong_members(body) == [""]


def test_too_much_of_anything_is_refused() -> None:
    assert wrong_members({**GOOD, "tags": ["t"] * 65}) == ["/tags"]
    assert wrong_members({**GOOD, "metadata": {"a": "x" * 20_000}}) == ["/metadata"]
    assert wrong_members({**GOOD, "ttl": 86_401, "weight": True}) == ["/ttl", "/weight"]


def test_metadata_nested_without_end_is_refused() -> None:
    deep: Any = {}
    for _ in range(900):
        deep = {"a": deep}
    assert wrong_members({**GOOD, "metadata": deep}) == ["/metadata"]


def test_null_counts_as_not_sent_and_unknown_members_are_ignored() -> None:
    assert read_registration({**GOOD, "zone": None, "ttl": None, "new": 1}, default_ttl=9).ttl == 9


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "service_name",
                "service_url",
                "host",
                "port",
                "ttl",
                "weight",
                "tags",
                "metadata",
                "openapi_url",
            ]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
            max_leaves=4,
        ),
    )
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_sent_is_taken_or_refused_in_sentences(body: dict[str, Any]) -> None:
    try:
        read = read_registration(body, default_ttl=60)
    except InvalidRegistration as wrong:
        said = [error["detail"] for error in wrong.errors]
        assert said
        assert all(detail.endswith(".") for detail in said)
    else:
        assert normal_url(read.service_url).startswith("http")


def admit(body: Any, *networks: str) -> list[str]:
    """The members that the networks refuse, or the form."""
    try:
        asyncio.run(admitted(body, default_ttl=60, networks=Networks(networks, setting="ALLOWED_NETWORKS")))
    except InvalidRegistration as wrong:
        return [error["pointer"] for error in wrong.errors]
    return []


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "100.100.100.200"])
def test_metadata_addresses_are_refused_wherever_they_stand(host: str) -> None:
    assert admit({**GOOD, "service_url": f"http://{host}/"}) == ["/service_url"]
    assert admit({**GOOD, "health_check_url": f"http://{host}/", "openapi_url": f"http://{host}/x"}) == [
        "/health_check_url",
        "/openapi_url",
    ]


def test_where_networks_are_listed_every_address_lies_in_one_and_all_errors_come_together() -> None:
    assert admit({**GOOD, "service_url": "http://10.1.2.3:80"}, "10.0.0.0/8") == []
    assert admit({**GOOD, "service_url": "http://11.1.2.3:80", "zone": 7}, "10.0.0.0/8") == ["/zone", "/service_url"]
    assert admit({"service_name": "a", "host": "11.1.2.3", "port": 80}, "10.0.0.0/8") == ["/host"]
    assert admit(GOOD, "127.0.0.0/8", "::1/128") == []  # localhost, by what it resolves to
    assert admit(GOOD, "10.0.0.0/8") == ["/service_url"]
    assert admit({**GOOD, "service_url": "http://no.such.host.invalid"}, "10.0.0.0/8") == ["/service_url"]


def test_a_name_is_not_looked_up_where_no_networks_are_listed() -> None:
    assert admit({**GOOD, "service_url": "http://no.such.host.invalid"}) == []


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "0x7f.1", "127.1", "10.0.0.256", "017700000001"])
def test_an_address_in_an_odd_spelling_is_no_host(host: str) -> None:
    assert wrong_members({**GOOD, "service_url": f"http://{host}/"}) == ["/service_url"]
    assert wrong_members({"service_name": "a", "host": host, "port": 80}) == ["/host"]
