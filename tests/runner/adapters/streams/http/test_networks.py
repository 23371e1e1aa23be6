"""That the check of addresses is made on the address connected to."""

import subprocess
import sys

import pytest

from runner.adapters.streams.http import HttpSink
from runner.saga.exchange import Answer
from tests.runner.adapters.streams.http.calls import a_request, send, verdict
from tests.runner.adapters.streams.http.conftest import Net
from tests.support.services import always, answer


def test_an_entry_that_is_no_network_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"^http\.allowedNetworks: '10\.0\.0' is not a network; write"):
        HttpSink(allowed_networks=["10.0.0"])


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
