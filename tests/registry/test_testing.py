"""`registry.testing` as the tests of a service use it: in a pytest run of their own."""

import socket

import pytest

from registry.client import RegistryUnavailable
from registry.testing import LocalRegistry

pytest_plugins = ["pytester"]

A_SERVICE = """
import asyncio
from registry.client import RegistryClient

async def paid_at():
    async with RegistryClient(fallback={"payment": "http://static:1"}) as client:
        return (await client.discover("payment"))["service_url"]
"""

ITS_TESTS = """
import asyncio
import pytest
import service

def test_it_finds_what_is_registered(saga_registry):
    saga_registry.client.register("payment", "http://10.0.0.2:9002", ["rest"])
    assert asyncio.run(service.paid_at()) == "http://10.0.0.2:9002"

def test_each_test_has_an_empty_one(saga_registry):
    assert saga_registry.client.services() == []

def test_it_may_keep_them_as_on_redis(saga_registry_on_redis):
    saga_registry_on_redis.client.register("payment", "http://10.0.0.2:9002", ["rest"])
    assert saga_registry_on_redis.client.health()["redis"] == "connected"
    assert asyncio.run(service.paid_at()) == "http://10.0.0.2:9002"

def test_it_can_forget_and_be_away(saga_registry):
    saga_registry.client.register("payment", "http://10.0.0.2:9002")
    saga_registry.forget("payment")
    assert saga_registry.instances("payment") == []
    saga_registry.stop()
    assert asyncio.run(service.paid_at()) == "http://static:1"
"""


@pytest.mark.process
def test_a_service_is_tested_with_the_fixture_alone(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.makeconftest('pytest_plugins = ["registry.testing"]')
    pytester.makepyfile(service=A_SERVICE, test_service=ITS_TESTS)
    outcome = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=4)


def test_it_comes_back_on_its_port_and_empty() -> None:
    with LocalRegistry(registration_ttl=90, heartbeat_interval=10) as registry:
        listed = registry.client.register("payment", "http://10.0.0.2:9002")
        assert (listed["ttl"], listed["heartbeat_interval"]) == (90, 10)
        url = registry.url
        registry.stop()
        with pytest.raises(RegistryUnavailable):
            registry.client.services()
        registry.start()
        assert registry.url == url
        assert registry.instances("payment") == []


def test_a_port_that_was_taken_meanwhile_is_told() -> None:
    with LocalRegistry() as registry, socket.socket() as other:
        registry.stop()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(registry.url.rpartition(":")[2])))
        other.listen()
        with pytest.raises(OSError, match="cannot listen"):
            registry.start()
