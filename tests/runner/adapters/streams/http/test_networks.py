"""Which addresses may be reached, and that the check is made on the address connected to."""

import asyncio
import subprocess
import sys

import pytest

from runner.adapters.streams.http import HttpSink
from runner.adapters.streams.http.networks import Networks, Refused
from runner.saga.exchange import Answer
from tests.runner.adapters.streams.http.calls import a_request, send, verdict
from tests.runner.adapters.streams.http.conftest import Net
from tests.support.services import always, answer


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "169.254.170.2",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_link_local_and_metadata_addresses_are_refused_by_default(address: str) -> None:
    assert not Networks().allows(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "8.8.8.8", "2001:db8::1"])
def test_every_other_address_is_allowed_by_default(address: str) -> None:
    assert Networks().allows(address)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("192.168.7.9", True),
    ],
)
def test_a_list_of_networks_allows_these_and_nothing_else(address: str, allowed: bool) -> None:
    assert Networks(["10.0.0.0/8", "2001:db8::/32", "192.168.7.9"]).allows(address) is allowed


def test_a_link_local_network_may_be_named() -> None:
    assert Networks(["169.254.0.0/16"]).allows("169.254.169.254")


def test_an_entry_that_is_no_network_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"^http\.allowedNetworks: '10\.0\.0' is not a network; write"):
        HttpSink(allowed_networks=["10.0.0"])


def test_only_permitted_addresses_of_a_name_are_given_out() -> None:
    async def scenario() -> None:
        assert await Networks(["127.0.0.0/8"]).resolve("localhost", 80) == ["127.0.0.1"]
        with pytest.raises(Refused, match=r"^localhost \(.*127\.0\.0\.1.*\) is not within http\.allowedNetworks"):
            await Networks(["10.0.0.0/8"]).resolve("localhost", 80)

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_call_beyond_the_allowed_networks_is_known_not_to_have_been_sent(net: Net, host: str) -> None:
    async def scenario() -> None:
        async with (
            net.service(always(answer()), name=host) as service,
            net.sink(allowed_networks=["10.0.0.0/8"]) as sink,
        ):
            for request in (None, a_request("GET", url=f"{service.url}/a")):
                got = await send(sink, service.url, request)
                assert verdict(got) == ("unreachable", False, 0)
                assert "allowedNetworks" in got.detail  # type: ignore[union-attr]  # verdict has made sure
            assert service.connections == 0

    net.run(scenario())


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe"]
)
def test_the_metadata_service_is_not_called_however_its_address_is_written(net: Net, host: str) -> None:
    async def scenario() -> None:
        async with net.sink() as sink:
            got = await send(sink, f"{net.scheme}://{host}/latest", timeout=2)
            assert verdict(got) == ("unreachable", False, 0)
            reason = got.detail  # type: ignore[union-attr]  # verdict has made sure
            assert "link-local" in reason or "not a canonical" in reason

    net.run(scenario())


def test_a_name_within_the_allowed_networks_is_called(net: Net) -> None:
    async def scenario() -> None:
        async with (
            net.service(always(answer()), name="localhost") as service,
            net.sink(allowed_networks=["127.0.0.0/8"]) as sink,
        ):
            assert isinstance(await send(sink, service.url), Answer)
            assert service.received[0].header("host") == f"localhost:{service.port}"

    net.run(scenario())


def test_an_ipv6_address_is_called(net: Net) -> None:
    async def scenario() -> None:
        async with (
            net.service(always(answer()), host="::1", name="[::1]") as service,
            net.sink() as sink,
        ):
            got = await send(sink, service.url)
            if net.scheme == "http":
                assert isinstance(got, Answer)
                assert service.received[0].header("host") == f"[::1]:{service.port}"
            else:
                assert verdict(got) == ("unreachable", False, 0)  # the certificate names other hosts

    net.run(scenario())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_certificate_that_nobody_trusted_signed_ends_the_call_before_anything_is_sent(
    loop: str, request: pytest.FixtureRequest
) -> None:
    net = Net(
        scheme="https",
        loop=loop,
        server_context=request.getfixturevalue("server_context"),
        client_context=request.getfixturevalue("client_context"),
    )

    async def scenario() -> None:
        async with net.service(always(answer())) as service, net.sink(ssl_context=None) as sink:
            got = await send(sink, service.url)
            assert verdict(got) == ("unreachable", False, 0)
            assert "certificate" in got.detail  # type: ignore[union-attr]  # verdict has made sure
            assert service.received == []

    net.run(scenario())


def test_aiohttp_is_imported_by_the_first_https_call_only() -> None:
    probe = (
        "import sys; from runner.adapters.streams.http import HttpSink; HttpSink(); sys.exit('aiohttp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", probe], timeout=60, check=False).returncode == 0
