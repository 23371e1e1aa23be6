import pytest

from registry.base.env import WrongSettings
from registry.settings import Settings, registry_url


def test_without_any_name_the_defaults_hold() -> None:
    assert Settings.read({}) == Settings(
        host="127.0.0.1", port=8030, service_name="saga", registration_ttl=60.0, heartbeat_interval=30.0
    )


def test_the_first_registrys_names_are_understood() -> None:
    read = Settings.read(
        {
            "HOST": "0.0.0.0",
            "PORT": "8031",
            "SERVICE_NAME": "saga-eu",
            "REGISTRATION_TTL": "120",
            "HEARTBEAT_INTERVAL": "15",
            "PATH": "/bin",
        }
    )
    assert read == Settings(
        host="0.0.0.0", port=8031, service_name="saga-eu", registration_ttl=120, heartbeat_interval=15
    )


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(WrongSettings) as wrong:
        Settings.read({"PORT": "http", "REGISTRATION_TTL": "-1", "HEARTBEAT_INTERVAL": "inf"})
    assert len(wrong.value.errors) == 3


def test_a_short_life_and_an_open_address_are_warned_about() -> None:
    assert Settings().warnings() == ()
    short, open_ = Settings(registration_ttl=59, host="0.0.0.0").warnings()
    assert "REGISTRATION_TTL is 59 s" in short
    assert "HOST is 0.0.0.0" in open_


def test_clients_find_the_registry_by_its_variable() -> None:
    assert registry_url({"SAGA_SERVICE_URL": "http://registry:8030"}) == "http://registry:8030"
    assert registry_url({}) == "http://localhost:8030"
