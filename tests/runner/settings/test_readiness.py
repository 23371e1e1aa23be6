"""Why a runner must not start with its settings, and what it says it does not do yet."""

from pathlib import Path

import pytest

from runner.settings import is_loopback, not_yet, refusals
from tests.runner.settings.loading import loaded

REFUSED = [
    (
        "auth: {jwt: {secret: s}}",
        "saga.yml:1:7: auth is set, but this runner cannot authenticate callers yet",
    ),
    ("runner: {host: 0.0.0.0}", "saga.yml:1:16: runner.host 0.0.0.0 can be reached from other machines"),
    ("journal: {url: 'postgresql://db/x'}", "saga.yml:1:16: journal.url names postgresql"),
    ("redis: {}\njournal: {url: redis}", "saga.yml:2:16: journal.url names redis"),
    (
        "runner: {workers: 2}",
        "saga.yml:1:19: runner.workers is 2, but a sqlite journal belongs to one process",
    ),
    (
        "runner: {workers: 2}\njournal: {url: memory}",
        "saga.yml:1:19: runner.workers is 2, but a memory journal belongs to one process",
    ),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSED, ids=[text for text, _ in REFUSED])
def test_a_runner_refuses_to_start(tmp_path: Path, text: str, sentence: str) -> None:
    [found] = refusals(loaded(tmp_path, text))
    assert found.startswith(sentence)


def test_the_defaults_are_fit_to_start(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert refusals(settings) == ()
    assert not_yet(settings) == ()


def test_insecure_accepts_other_hosts_and_nothing_else(tmp_path: Path) -> None:
    open_ = loaded(tmp_path, "runner: {host: 0.0.0.0, workers: 2}")
    assert len(refusals(open_, insecure=True)) == 1
    guarded = loaded(tmp_path, "runner: {host: 0.0.0.0}\nauth: {jwt: {secret: s}}")
    assert "auth is set" in refusals(guarded, insecure=True)[0]


LATER = [
    ("streams: {o: {type: kafka, bootstrap: 'h:1', topic: o}}", "streams.o"),
    ("states: {default: {type: memory, ttl: 1s}}", "states"),
    ("redis: {}", "redis.url"),
    ("timers: {enabled: false}", "timers"),
    ("telemetry: {otlpEndpoint: 'http://o:4318'}", "telemetry.otlpEndpoint"),
]


def test_a_registry_in_redis_is_in_force_and_its_address_is_read_strictly(tmp_path: Path) -> None:
    assert not_yet(loaded(tmp_path, "registry: {url: redis}\nredis: {url: 'redis://h:6379'}")) == ()
    [sentence] = refusals(loaded(tmp_path, "registry: {url: redis}\nredis: {url: 'redis://h:6379/many'}"))
    assert "redis.url cannot be used" in sentence


@pytest.mark.parametrize(("text", "key"), LATER, ids=[key for _, key in LATER])
def test_what_is_accepted_without_effect_is_said(tmp_path: Path, text: str, key: str) -> None:
    [sentence] = not_yet(loaded(tmp_path, text))
    assert sentence.startswith(f"{key}: ")
    assert "yet" in sentence


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback_is_what_only_this_machine_reaches(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "shop.test", "localhost.evil"])
def test_everything_else_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)
