import logging
from pathlib import Path

import pytest

from registry.base.env import WrongSettings
from registry.directories.redis_address import read_address
from registry.settings import LEVELS, Settings, registry_url


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment with a home of its own."""
    return {"HOME": str(tmp_path)}


def errors(values: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(WrongSettings) as wrong:
        Settings.read(values)
    return wrong.value.errors


def config(home: dict[str, str], text: str, folder: str = ".saga") -> Path:
    path = Path(home["HOME"]) / folder / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_any_name_the_defaults_hold(home: dict[str, str]) -> None:
    assert Settings.read(home) == Settings(
        redis_url=None,
        host="127.0.0.1",
        port=8030,
        service_name="saga",
        registration_ttl=60.0,
        heartbeat_interval=30.0,
        cache_refresh_interval=30.0,
        allowed_networks=(),
        min_healthy_ratio=0.0,
        saga_log="info",
    )


def test_the_first_registrys_names_are_understood(home: dict[str, str]) -> None:
    read = Settings.read(
        home
        | {
            "REDIS_URL": "redis-sentinel://one:26379,two:26379/mymaster",
            "HOST": "0.0.0.0",
            "PORT": "8031",
            "SERVICE_NAME": "saga-eu",
            "REGISTRATION_TTL": "120",
            "HEARTBEAT_INTERVAL": "15",
            "CACHE_REFRESH_INTERVAL": "5",
            "RUST_LOG": "saga=debug",
            "PATH": "/bin",
        }
    )
    assert read == Settings(
        redis_url=read_address("redis-sentinel://one:26379,two:26379/mymaster"),
        host="0.0.0.0",
        port=8031,
        service_name="saga-eu",
        registration_ttl=120,
        heartbeat_interval=15,
        cache_refresh_interval=5,
        saga_log="debug",
    )


def test_ours_are_understood_too(home: dict[str, str]) -> None:
    read = Settings.read(
        home
        | {
            "ALLOWED_NETWORKS": "10.0.0.0/8, 2001:db8::/32 192.168.7.9",
            "MIN_HEALTHY_RATIO": "0.5",
            "SAGA_LOG": "trace",
            "REGISTRY_TOKENS": "ops ops-token-00000001 admin",
        }
    )
    assert read.allowed_networks == ("10.0.0.0/8", "2001:db8::/32", "192.168.7.9")
    assert (read.min_healthy_ratio, read.saga_log) == (0.5, "trace")
    caller = read.registry_tokens.caller(b"Bearer ops-token-00000001")
    assert caller is not None
    assert caller.admin


def test_all_wrong_values_are_told_at_once_and_each_sentence_names_its_setting(home: dict[str, str]) -> None:
    wrong = {
        "REDIS_URL": "postgres://:secret@db",
        "PORT": "http",
        "REGISTRATION_TTL": "-1",
        "HEARTBEAT_INTERVAL": "inf",
        "CACHE_REFRESH_INTERVAL": "0",
        "ALLOWED_NETWORKS": "10.0.0.0/8,ten",
        "MIN_HEALTHY_RATIO": "50%",
        "REGISTRY_TOKENS": "ops short admin",
        "SAGA_LOG": "loud",
    }
    told = errors(home | wrong)
    assert [sentence.split(" ")[0] for sentence in told] == list(wrong)
    assert all(sentence.endswith(".") for sentence in told)
    assert "short" not in " ".join(told)
    assert "secret" not in " ".join(told)


def test_the_file_says_what_the_environment_does_not(home: dict[str, str]) -> None:
    config(
        home,
        """
        port = 8031
        service_name = "saga-eu"
        registration_ttl = 90.5
        allowed_networks = ["10.0.0.0/8", "192.168.0.0/16"]
        saga_log = "warn"
        registry_tokens = ["shop shop-token-0000001 read", "ops ops-token-00000001 admin"]
        """,
    )
    read = Settings.read(home | {"SERVICE_NAME": "saga-us", "PORT": " "})
    assert (read.port, read.service_name, read.registration_ttl, read.saga_log) == (8031, "saga-us", 90.5, "warn")
    assert read.allowed_networks == ("10.0.0.0/8", "192.168.0.0/16")
    assert all(
        read.registry_tokens.caller(b"Bearer " + token) for token in (b"shop-token-0000001", b"ops-token-00000001")
    )


def test_the_file_may_be_elsewhere(home: dict[str, str]) -> None:
    path = config(home, "port = 8032", "etc")
    assert Settings.read(home | {"SAGA_CONFIG_DIR": str(path.parent)}).port == 8032
    assert Settings.read(home | {"SAGA_CONFIG_DIR": "~/etc"}).port == 8032
    assert Settings.read(home | {"SAGA_CONFIG_DIR": "~/nowhere"}).port == 8030


def test_what_is_wrong_in_the_file_is_said_with_its_place(home: dict[str, str]) -> None:
    path = config(home, 'prot = 1\ncolour = "red"\nport = "x"\nhost = true\nservice_name = {a = 1}\n')
    unknown, other, host, name, port = errors(home)
    assert unknown == f"{path} has the unknown key 'prot': did you mean port?"
    assert other.startswith(f"{path} has the unknown key 'colour': it may be one of redis_url, host, ")
    assert host == f"host in {path} must be a text or a number."
    assert name == f"service_name in {path} must be a text or a number."
    assert port.startswith(f"port in {path} is 'x', but it must be a whole number")


@pytest.mark.parametrize("text", ["port = ", "\x00", "a" * 10 + "=" + "[" * 5000])
def test_a_file_that_cannot_be_read_is_a_sentence(home: dict[str, str], text: str) -> None:
    path = config(home, text)
    (told,) = errors(home)
    assert told.startswith(f"{path} cannot be read: ")


def test_a_folder_in_place_of_the_file_is_a_sentence(home: dict[str, str]) -> None:
    (Path(home["HOME"]) / ".saga" / "config.toml").mkdir(parents=True)
    assert "cannot be read" in errors(home)[0]


def test_tokens_may_be_kept_in_a_file(home: dict[str, str]) -> None:
    path = Path(home["HOME"]) / "tokens"
    path.write_text("# all\nops ops-token-00000001 admin\n")
    for given in (str(path), f"file:{path}"):
        assert Settings.read(home | {"REGISTRY_TOKENS": given}).registry_tokens.caller(b"Bearer ops-token-00000001")


def test_a_file_of_tokens_that_has_none_never_opens_the_registry(home: dict[str, str]) -> None:
    path = Path(home["HOME"]) / "tokens"
    for text in ("\n", "# nobody yet\n"):
        path.write_text(text)
        assert errors(home | {"REGISTRY_TOKENS": str(path)}) == (
            "REGISTRY_TOKENS is set but has no token: open the registry by not setting it.",
        )
    path.unlink()
    assert "cannot be read" in errors(home | {"REGISTRY_TOKENS": str(path)})[0]


@pytest.mark.parametrize(
    ("given", "level"),
    [
        ({"RUST_LOG": "debug"}, "debug"),
        ({"RUST_LOG": "hyper=trace,saga=warn,tokio=info"}, "warn"),
        ({"RUST_LOG": "warn,saga=trace"}, "trace"),
        ({"RUST_LOG": "saga=trace,warn"}, "trace"),
        ({"RUST_LOG": "hyper=trace"}, "info"),
        ({"RUST_LOG": "saga=debug", "SAGA_LOG": "ERROR"}, "error"),
        ({"RUST_LOG": "", "SAGA_LOG": ""}, "info"),
    ],
)
def test_how_much_is_logged_is_said_in_our_words_or_the_first_registrys(
    home: dict[str, str], given: dict[str, str], level: str
) -> None:
    assert Settings.read(home | given).saga_log == level


def test_a_level_of_saga_that_is_none_is_wrong(home: dict[str, str]) -> None:
    assert errors(home | {"RUST_LOG": "saga=loud"})[0].startswith("RUST_LOG is 'saga=loud', but it must give saga one")


def test_levels_grow_quieter_in_their_order() -> None:
    assert list(LEVELS.values()) == sorted(LEVELS.values(), reverse=True)
    assert LEVELS["trace"] < logging.DEBUG


def test_a_short_life_is_warned_about_and_an_open_address_without_tokens(home: dict[str, str]) -> None:
    assert Settings().warnings() == ()
    short, open_ = Settings(registration_ttl=59, host="0.0.0.0").warnings()
    assert "REGISTRATION_TTL is 59 s" in short
    assert "HOST is 0.0.0.0 and REGISTRY_TOKENS is not set" in open_
    guarded = Settings.read(home | {"HOST": "0.0.0.0", "REGISTRY_TOKENS": "ops ops-token-00000001 admin"})
    assert guarded.warnings() == ()


def test_clients_find_the_registry_by_its_variable() -> None:
    assert registry_url({"SAGA_SERVICE_URL": "http://registry:8030"}) == "http://registry:8030"
    assert registry_url({}) == "http://localhost:8030"


def test_clients_find_the_registry_by_the_file_and_a_wrong_file_harms_none(home: dict[str, str]) -> None:
    config(home, 'saga_service_url = "http://registry:8031"')
    assert registry_url(home) == "http://registry:8031"
    assert registry_url(home | {"SAGA_SERVICE_URL": "http://other:1"}) == "http://other:1"
    config(home, "saga_service_url = ")
    assert registry_url(home) == "http://localhost:8030"
