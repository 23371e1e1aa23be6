"""Every setting with its value and its origin, and nothing that is secret."""

from dataclasses import fields
from pathlib import Path

from runner.settings import Settings, shown_values
from tests.runner.settings.loading import loaded

SECRETS = """
redis: {url: "redis://me:hunter2@cache:6379/0?password=hunter2"}
services:
  payment: {url: "https://pay.example/x?token=hunter2", headers: {Authorization: hunter2, X-Key: "env:KEY"}}
streams:
  orders: {type: kafka, bootstrap: "b:9092", topic: t, security: {protocol: SASL_SSL, username: me, password: hunter2}}
auth: {jwt: {secret: hunter2, keys: {default: "file:key.pem"}, jwksUrl: "https://x.example/?k=hunter2"}}
telemetry: {otlpEndpoint: "https://otlp.example/?k=hunter2"}
vars: {key: "env:KEY", nested: {key: "env:KEY"}, list: ["http://me:hunter2@x.example"], open: seen}
"""


def values(settings: Settings) -> dict[str, object]:
    return {one.key: one.value for one in shown_values(settings)}


def origins(settings: Settings) -> dict[str, str]:
    return {one.key: one.origin for one in shown_values(settings)}


def test_no_secret_is_shown_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("hunter2", encoding="utf-8")
    settings = loaded(tmp_path, SECRETS, {"KEY": "hunter2"})
    assert "hunter2" not in repr(shown_values(settings))
    shown = values(settings)
    assert shown["redis.url"] == "redis://me:***@cache:6379/0?***"
    assert shown["services.payment.headers.authorization"] == "***"
    assert shown["auth.jwt.keys.default"] == "***"
    assert (shown["vars.key"], shown["vars.nested.key"], shown["vars.open"]) == ("***", "***", "seen")


def test_every_section_is_shown_also_where_nobody_said_it(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    sections = {key.partition(".")[0] for key in values(settings)}
    assert sections == {place.name for place in fields(Settings)} - {"folder", "file", "origins"}
    assert set(origins(settings).values()) == {"default"}


def test_values_are_written_as_the_file_would_have_them(tmp_path: Path) -> None:
    shown = values(
        loaded(
            tmp_path,
            "runner: {drainTimeout: 1500ms, replyTimeout: 2m}\njournal: {url: memory, retention: 36h}\n"
            "states: {shared: {type: memory, ttl: 90s}}\nhttp: {allowedNetworks: [10.0.0.0/8]}\n"
            "timers: {onlyPartition: null}\n",
        )
    )
    assert shown["runner.drainTimeout"] == "1500ms"
    assert shown["runner.replyTimeout"] == "2m"
    assert shown["journal.retention"] == "36h"
    assert (shown["states.shared.type"], shown["states.shared.ttl"]) == ("memory", "90s")
    assert shown["http.allowedNetworks"] == ["10.0.0.0/8"]
    assert shown["timers.onlyPartition"] is None
    assert shown["runner.port"] == 8080


def test_each_value_knows_who_said_it(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        "runner: {port: 81, partitions: 4}\nservices: {pay: 'http://a.example', stock: {headers: {X-A: b}}}\n",
        {"SAGA_RUNNER__NAME": "boutique", "REDIS_URL": "redis://r"},
        {"runner.host": "127.0.0.2"},
        host_name="shop-3",
    )
    said = origins(settings)
    assert said["runner.port"].endswith("saga.yml:1:16")
    assert said["runner.name"] == "environment SAGA_RUNNER__NAME"
    assert said["runner.host"] == "command line"
    assert said["runner.partition"] == "host name shop-3"
    assert said["runner.workers"] == "default", "a section that is said does not say its other keys"
    assert said["redis.url"] == "environment REDIS_URL"
    assert said["services.pay.url"].endswith("saga.yml:2:17")
    assert said["services.stock.headers.x-a"].endswith("saga.yml:2:60")
