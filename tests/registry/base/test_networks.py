"""Which addresses may be reached."""

import asyncio

import pytest

from registry.base.networks import Networks, Refused


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


def test_an_entry_that_is_no_network_is_refused_with_a_sentence_that_names_the_setting() -> None:
    with pytest.raises(ValueError, match=r"^ALLOWED_NETWORKS: '10\.0\.0' is not a network; write"):
        Networks(["10.0.0"], setting="ALLOWED_NETWORKS")


def test_only_permitted_addresses_of_a_name_are_given_out() -> None:
    async def scenario() -> None:
        assert await Networks(["127.0.0.0/8"]).resolve("localhost", 80) == ["127.0.0.1"]
        with pytest.raises(Refused, match=r"^localhost \(.*127\.0\.0\.1.*\) is not within http\.allowedNetworks"):
            await Networks(["10.0.0.0/8"]).resolve("localhost", 80)

    asyncio.run(scenario())
