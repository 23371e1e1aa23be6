"""Layers: which of file, environment and command line holds, and what values point to."""

from pathlib import Path

import pytest

from registry.base.values import Json
from runner.settings import SettingsInvalid, load
from tests.runner.settings.loading import loaded, sentences


def test_the_environment_is_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        "runner: {name: file, port: 1, host: localhost}\n",
        {"SAGA_RUNNER__NAME": "variable", "SAGA_RUNNER__PORT": "2"},
        {"runner.name": "flag", "runner.workers": None},
    )
    assert (settings.runner.name, settings.runner.port, settings.runner.host) == ("flag", 2, "localhost")
    assert settings.runner.workers == 1


def test_each_value_remembers_where_it_came_from(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        "runner: {name: file, port: 1, host: env:HOST}\n",
        {"SAGA_RUNNER__PORT": "2", "HOST": "localhost", "REDIS_URL": "redis://h"},
        {"runner.workers": 1},
    )
    assert {
        key: settings.origin(key)
        for key in ("runner.name", "runner.port", "runner.host", "runner.workers", "redis.url", "docs.public")
    } == {
        "runner.name": "saga.yml:1:16",
        "runner.port": "environment SAGA_RUNNER__PORT",
        "runner.host": "saga.yml:1:37 (env:HOST)",
        "runner.workers": "command line",
        "redis.url": "environment REDIS_URL",
        "docs.public": "default",
    }
    assert settings.said("runner")
    assert not settings.said("states")


VARIABLES = [
    ("SAGA_RUNNER__DRAINTIMEOUT", "5s", lambda s: s.runner.drain_timeout_s, 5.0),
    ("SAGA_RUNNER__DRAIN_TIMEOUT", "5s", lambda s: s.runner.drain_timeout_s, 5.0),
    ("SAGA_runner__drainTimeout", "5s", lambda s: s.runner.drain_timeout_s, 5.0),
    ("SAGA_RUNNER__NAME", "042", lambda s: s.runner.name, "042"),
    ("SAGA_HTTP__ALLOWEDNETWORKS", "[10.0.0.0/8, 127.0.0.0/8]", lambda s: len(s.http.allowed_networks), 2),
    ("SAGA_HTTP__ALLOWED_NETWORKS", "10.0.0.0/8", lambda s: len(s.http.allowed_networks), 1),
    ("SAGA_TIMERS__ONLYPARTITION", "null", lambda s: s.timers.only_partition, None),
    ("SAGA_DEFINITIONS__0", "sagas", lambda s: [path.name for path in s.definitions], ["sagas"]),
    ("SAGA_SERVICES__STOCK", "http://h:1", lambda s: s.services["stock"].url, "http://h:1"),
    ("SAGA_SERVICES__STOCK", "{concurrency: 5}", lambda s: s.services["stock"].concurrency, 5),
    (
        "SAGA_SERVICES__STOCK__HEADERS__X_KEY",
        "1: 2 #3",
        lambda s: s.services["stock"].headers["x-key"].reveal(),
        "1: 2 #3",
    ),
    ("SAGA_STREAMS__HTTP__PREFIX", "/shop", lambda s: s.streams["http"].prefix, "/shop"),
    ("SAGA_STREAMS__PLACED__TYPE", "inprocess", lambda s: sorted(s.streams), ["http", "placed"]),
    ("SAGA_STATES__DEFAULT__MAXENTRIES", "7", lambda s: s.states["default"].max_entries, 7),
    ("SAGA_AUTH__JWT__SECRET", "@12345", lambda s: s.auth.jwt.secret.reveal(), "@12345"),
    ("SAGA_VARS__CHANNEL", "web", lambda s: s.vars, {"channel": "web"}),
    ("SAGA_VARS__LIMIT", "12.5", lambda s: s.vars, {"limit": 12.5}),
    ("SAGA_VARS__EU__LIMIT", "3", lambda s: s.vars, {"eu": {"limit": 3}}),
    (
        "SAGA_RETRIES__FAST",
        "{attempts: 2, delay: 1ms}",
        lambda s: s.retries,
        {"fast": {"attempts": 2, "delay": "1ms"}},
    ),
    ("REDIS_URL", "redis://h/1", lambda s: s.redis.url.reveal(), "redis://h/1"),
    ("REDIS_URL", "", lambda s: s.redis, None),
    ("SAGA_SERVICE_URL", "http://r:8030", lambda s: s.registry.url, "http://r:8030"),
    ("SAGA_RUNNER_PORT", "1", lambda s: s.runner.port, 8080),
    ("SAGA_RUNNER_URL", "x", lambda s: s.runner.port, 8080),
    ("SAGA__PORT", "1", lambda s: s.runner.port, 8080),
    ("OTHER_RUNNER__PORT", "1", lambda s: s.runner.port, 8080),
]


@pytest.mark.parametrize(
    ("name", "value", "what", "is_"), VARIABLES, ids=[f"{case[0]}={case[1]}" for case in VARIABLES]
)
def test_a_variable_with_two_underscores_in_the_middle_is_a_setting(
    tmp_path: Path, name: str, value: str, what: Json, is_: Json
) -> None:
    assert what(loaded(tmp_path, environment={name: value})) == is_


def test_a_variable_finds_the_name_that_the_file_gave(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        "services: {pay-Ment: 'http://h:1'}\nvars: {maxTotal: 1}\n",
        {"SAGA_SERVICES__PAY_MENT__CONCURRENCY": "3", "SAGA_VARS__MAXTOTAL": "2"},
    )
    assert (settings.services["pay-Ment"].url, settings.services["pay-Ment"].concurrency) == ("http://h:1", 3)
    assert settings.vars == {"maxTotal": 2}


def test_our_own_variable_wins_over_the_one_that_other_programs_read(tmp_path: Path) -> None:
    settings = loaded(tmp_path, environment={"REDIS_URL": "redis://a", "SAGA_REDIS__URL": "redis://b"})
    assert settings.redis is not None
    assert settings.redis.url.reveal() == "redis://b"


def test_an_unknown_variable_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    assert sentences(tmp_path, environment={"SAGA_RUNNER__PROT": "1"}) == [
        "environment SAGA_RUNNER__PROT: there is no such setting; did you mean SAGA_RUNNER__PORT?"
    ]


def test_a_wrong_value_of_a_variable_names_the_variable(tmp_path: Path) -> None:
    assert sentences(tmp_path, environment={"SAGA_RUNNER__PORT": "http"}) == [
        'environment SAGA_RUNNER__PORT: runner.port must be a whole number from 0 to 65535, not "http"; '
        "write for example 1"
    ]


def test_two_spellings_of_one_variable_are_refused(tmp_path: Path) -> None:
    found = sentences(tmp_path, environment={"SAGA_RUNNER__DRAINTIMEOUT": "1s", "SAGA_RUNNER__DRAIN_TIMEOUT": "2s"})
    assert found == [
        "environment SAGA_RUNNER__DRAIN_TIMEOUT: SAGA_RUNNER__DRAINTIMEOUT says runner.drainTimeout, too; keep one"
    ]


def test_a_value_may_be_read_from_a_variable_or_a_file_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/key.pem").write_text("-----BEGIN KEY-----\nabc\n", encoding="utf-8")
    (tmp_path / "conf/deep.yml").write_text(
        "runner: {port: env:PORT}\n"
        "services: {pay: {headers: {authorization: env:PAYMENT_AUTH}}}\n"
        "auth: {jwt: {algorithms: [RS256], keys: {default: file:key.pem}}}\n"
        "definitions: [sagas]\n",
        encoding="utf-8",
    )
    settings = load(
        environment={"PORT": "8099", "PAYMENT_AUTH": "12345", "SAGA_CONFIG": "conf/deep.yml"}, folder=tmp_path
    )
    assert settings.runner.port == 8099
    assert settings.services["pay"].headers["authorization"].reveal() == "12345"
    assert settings.auth is not None
    assert settings.auth.jwt.keys["default"].reveal() == "-----BEGIN KEY-----\nabc"
    assert settings.definitions == (tmp_path / "conf/sagas",)
    assert settings.journal.url.path == tmp_path / "conf/.saga/journal.db"
    assert settings.file == tmp_path / "conf/deep.yml"


def test_what_a_value_points_to_must_be_there(tmp_path: Path) -> None:
    text = "runner: {port: env:PORT}\nauth: {jwt: {secret: file:no.txt}}\ndefinitions: [env:SAGAS]\n"
    assert sentences(tmp_path, text) == [
        "saga.yml:1:16: the environment has no PORT; set it, or write the value itself",
        "saga.yml:2:22: the file no.txt is no text file that can be read (up to 1 MiB, UTF-8); mend the path",
        "saga.yml:3:15: the environment has no SAGAS; set it, or write the value itself",
    ]


@pytest.mark.parametrize("environment", [{}, {"SAGA_CONFIG": "other.yml"}], ids=["flag", "variable"])
def test_a_settings_file_that_is_named_must_be_there(tmp_path: Path, environment: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(environment=environment, config=None if environment else "other.yml", folder=tmp_path)
    assert caught.value.sentences == (
        "other.yml: there is no such settings file; mend --config or SAGA_CONFIG, or leave both out",
    )


def test_a_named_file_is_read_in_place_of_the_default_one(tmp_path: Path) -> None:
    (tmp_path / "saga.yml").write_text("runner: {name: a}\n", encoding="utf-8")
    (tmp_path / "b.yml").write_text("runner: {name: b}\n", encoding="utf-8")
    assert load(environment={"SAGA_CONFIG": "saga.yml"}, config="b.yml", folder=tmp_path).runner.name == "b"


def test_a_settings_path_that_is_a_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="the settings file cannot be read"):
        load(environment={}, config=".", folder=tmp_path)


@pytest.mark.parametrize(("host_name", "partition"), [("shop-2", 2), ("shop-0.shop.svc", 0)])
def test_the_host_name_says_the_partition_where_there_are_several(
    tmp_path: Path, host_name: str, partition: int
) -> None:
    settings = loaded(tmp_path, "runner: {partitions: 3}", host_name=host_name)
    assert settings.runner.partition == partition
    assert settings.origin("runner.partition") == f"host name {host_name}"


def test_the_host_name_says_nothing_where_there_is_one_partition(tmp_path: Path) -> None:
    assert loaded(tmp_path, "runner: {name: a}", host_name="shop-2").runner.partition == 0


def test_a_host_name_without_a_number_needs_a_partition(tmp_path: Path) -> None:
    [sentence] = sentences(tmp_path, "runner: {partitions: 3}", host_name="laptop")
    assert sentence.startswith("saga.yml:1:22: runner.partitions is 3, and the host's name `laptop` does not end")


def test_secrets_mask_themselves_in_every_printed_form(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        "services: {pay: {headers: {authorization: hunter2}}}\n"
        "auth: {jwt: {secret: hunter2}}\n"
        "journal: {url: 'postgresql://me:hunter2@db/runs'}\n",
        {"REDIS_URL": "redis://:hunter2@h/0?password=hunter2"},
    )
    assert "hunter2" not in f"{settings!r} {settings} {settings.journal.url}"
    assert settings.redis is not None
    assert str(settings.redis.url) == "redis://:***@h/0?***"
    assert str(settings.journal.url) == "postgresql://me:***@db/runs"


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    text = "redis: {url: 'hunter2'}\njournal: {url: 'pg://me:hunter2@db'}\n"
    assert "hunter2" not in " ".join(sentences(tmp_path, text))


def test_settings_do_not_change(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        loaded(tmp_path).runner.port = 1  # type: ignore[misc]
