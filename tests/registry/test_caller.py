import pytest

from registry.caller import lives_at, meant
from tests.registry.build import listing

ONE = listing("one", service_url="http://10.0.0.1:80")
TWO = listing("two", service_url="http://10.0.0.2:80")
TWIN = listing("twin", service_url="http://10.0.0.2:81")


def test_the_named_instance_is_meant_whoever_calls() -> None:
    assert meant([ONE, TWO], service_id="two", address="10.0.0.1") is TWO
    assert meant([ONE], service_id="two", address="10.0.0.1") is None


def test_the_sole_instance_is_meant_wherever_it_lives() -> None:
    assert meant([ONE], service_id=None, address="192.168.0.9") is ONE


def test_of_several_the_only_one_at_the_callers_address_is_meant() -> None:
    assert meant([ONE, TWO], service_id=None, address="10.0.0.2") is TWO


def test_several_or_none_at_the_callers_address_mean_nobody() -> None:
    assert meant([ONE, TWO, TWIN], service_id=None, address="10.0.0.2") is None
    assert meant([ONE, TWO], service_id=None, address="10.0.0.3") is None
    assert meant([], service_id=None, address="10.0.0.3") is None


@pytest.mark.parametrize(
    ("url", "address", "there"),
    [
        ("http://localhost:80", "127.0.0.1", True),
        ("http://LOCALHOST", "::1", True),
        ("http://127.0.0.1:80", "::ffff:127.0.0.1", True),
        ("http://[0:0::1]:80", "::1", True),
        ("http://127.0.0.2", "127.0.0.1", False),
        ("http://payment:80", "127.0.0.1", False),
        ("http://localhost", "10.0.0.1", False),
        ("http://localhost", "", False),
    ],
)
def test_addresses_are_compared_as_addresses(url: str, address: str, there: bool) -> None:
    assert lives_at(listing(service_url=url), address) is there
