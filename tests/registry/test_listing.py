import pytest

from registry.listing import Wanted, host_of, normal_url, record, version_fits, wanted
from tests.registry.build import listing


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HTTP://Host:80/", "http://host"),
        ("https://host:443/a/", "https://host/a"),
        ("http://[0:0:0:0:0:0:0:1]:8000", "http://[::1]:8000/"),
        ("http://host.:81", "http://host:81"),
    ],
)
def test_two_spellings_of_one_address_are_equal(one: str, other: str) -> None:
    assert normal_url(one) == normal_url(other)


def test_different_addresses_stay_different() -> None:
    urls = ["http://h", "https://h", "http://h:81", "http://h/a", "http://h/A", "http://h?x", "http://[::1]"]
    assert len({normal_url(url) for url in urls}) == len(urls)
    assert host_of("http://[::1]:80/") == "::1"


def test_the_record_is_flat_with_iso_times_and_whole_seconds() -> None:
    told = record(listing("a", capabilities=("rest",), last_heartbeat=1_700_000_000.5))
    assert list(told)[:6] == [
        "service_name",
        "service_url",
        "service_id",
        "registered_at",
        "last_heartbeat",
        "capabilities",
    ]
    assert told["registered_at"] == "2023-11-14T22:13:20.000000Z"
    assert told["last_heartbeat"] == "2023-11-14T22:13:20.500000Z"
    assert repr(told["ttl"]) == "60"


def test_a_wish_is_read_from_name_and_version() -> None:
    assert wanted("payment@2") == Wanted(service="payment", version="2")
    assert wanted("payment").version is None


def test_a_wish_that_cannot_be_met_by_any_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="policy is 'fastest'"):
        Wanted(service="a", policy="fastest")
    with pytest.raises(ValueError, match="set key"):
        Wanted(service="a", policy="consistent_hash")


def test_a_version_is_refined_at_dots_only() -> None:
    assert all(version_fits(have, "2") for have in ("2", "2.1", "v2.1.7"))
    assert not any(version_fits(have, "2") for have in ("20", "1.2", None, "3"))
