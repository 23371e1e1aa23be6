"""The first registry's tables, row by row, against a running `saga registry`: docs/reference/compatibility.md names the
test of each row.
"""

import asyncio
import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from registry.client import RegistryClient, RegistryUnavailable, SyncRegistryClient
from tests.registry.processes import Registry, registry, started
from tests.support.ports import free_port
from tests.support.processes import PATIENCE_S, SAGA, ask, eventually, saga
from tests.support.redis_servers import cluster, redis_server, sentinels

pytestmark = pytest.mark.process

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|\+00:00)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def served() -> Iterator[Registry]:
    with registry() as made:
        yield made


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="module")
def stored(redis_url: str) -> Iterator[Registry]:
    with registry(REDIS_URL=redis_url) as made:
        yield made


def registered(served: Registry, name: str, url: str = "http://localhost:8001") -> dict[str, object]:
    answer = served.ask(
        "POST",
        "/services/register",
        {"service_name": name, "service_url": url, "capabilities": ["rest", "graphql"]},
    )
    assert answer.status in (200, 201)
    return dict(answer.json)


# ------------------------------------------------------------------ the HTTP interface


def test_post_register_lists_a_service_and_says_how_it_stays_listed(served: Registry) -> None:
    found = registered(served, "authentication")
    assert (found["ttl"], found["heartbeat_interval"]) == (60, 30)
    again = registered(served, "authentication")
    assert (again["service_id"], again["registered_at"]) == (found["service_id"], found["registered_at"])


def test_a_record_has_the_six_members(served: Registry) -> None:
    registered(served, "record", "http://localhost:8001/base")
    found = served.ask("GET", "/services/record").json
    assert found["service_name"] == "record"
    assert found["service_url"] == "http://localhost:8001/base"
    assert _UUID.fullmatch(found["service_id"])
    assert _TIME.fullmatch(found["registered_at"])
    assert _TIME.fullmatch(found["last_heartbeat"])
    assert found["capabilities"] == ["rest", "graphql"]


def test_get_services_lists_all(served: Registry) -> None:
    registered(served, "listed")
    answer = served.ask("GET", "/services")
    names = [each["service_name"] for each in answer.json["services"]]
    assert "listed" in names
    assert names == sorted(names)
    assert answer.json["count"] == len(names)


def test_get_a_service_answers_its_record_and_404_for_an_unknown_one(served: Registry) -> None:
    mine = registered(served, "found")
    assert served.ask("GET", "/services/found").json["service_id"] == mine["service_id"]
    assert served.ask("GET", "/services/ghost").status == 404


def test_delete_a_service_removes_it_and_then_answers_404(served: Registry) -> None:
    registered(served, "leaving")
    assert served.ask("DELETE", "/services/leaving").status == 200
    assert served.ask("GET", "/services/leaving").status == 404
    assert served.ask("DELETE", "/services/leaving").status == 404


def test_post_heartbeat_keeps_a_service_and_is_404_for_an_unknown_one(served: Registry) -> None:
    mine = registered(served, "beating")
    beaten = served.ask("POST", "/services/beating/heartbeat")
    assert beaten.status == 200
    assert beaten.json["last_heartbeat"] > mine["last_heartbeat"]
    assert served.ask("POST", "/services/ghost/heartbeat").status == 404


def test_a_service_that_is_silent_expires_and_registering_again_heals(redis_url: str) -> None:
    with registry(REDIS_URL=redis_url, REGISTRATION_TTL="0.2", HEARTBEAT_INTERVAL="0.1") as short:
        registered(short, "silent")
        assert eventually(lambda: short.ask("GET", "/services/silent").status == 404)
        assert short.ask("POST", "/services/silent/heartbeat").status == 404
        wish = {"service_name": "silent", "service_url": "http://localhost:8001", "ttl": 60}
        assert short.ask("POST", "/services/register", wish).status == 201
        assert short.ask("POST", "/services/silent/heartbeat").status == 200
        assert short.ask("GET", "/services/silent").status == 200


# ------------------------------------------------------------------ health


def test_health_has_every_member_that_scripts_read(served: Registry) -> None:
    answer = served.ask("GET", "/health")
    assert answer.status == 200
    assert answer.json.keys() == {"status", "service", "version", "redis", "cache"}
    assert (answer.json["status"], answer.json["service"], answer.json["redis"]) == ("healthy", "saga", "embedded")
    assert answer.json["version"] in saga("--version", folder=Path()).stdout
    cache = answer.json["cache"]
    assert cache.keys() == {"size", "hits", "misses", "hit_ratio", "last_refresh"}
    assert _TIME.fullmatch(cache["last_refresh"])


@pytest.mark.parametrize("on_redis", [False, True], ids=["embedded", "redis"])
def test_the_cache_counts_names_hits_and_misses(on_redis: bool, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        variables = {"REDIS_URL": stack.enter_context(redis_server(tmp_path)).url} if on_redis else {}
        own = stack.enter_context(registry(**variables))
        registered(own, "one")
        registered(own, "two")
        registered(own, "two", "http://localhost:8002")
        for name in ("one", "two", "one", "ghost"):
            own.ask("GET", f"/services/{name}")
        cache = own.ask("GET", "/health").json["cache"]
    assert {name: cache[name] for name in ("size", "hits", "misses", "hit_ratio")} == {
        "size": 2,
        "hits": 3,
        "misses": 1,
        "hit_ratio": 0.75,
    }


@pytest.mark.parametrize("path", ["/api/v1/health", "/health", "/health/live", "/health/ready"])
def test_probes_find_health_at_the_prefix_and_at_the_root(served: Registry, path: str) -> None:
    assert ask(served.url, "GET", path).status == 200


def test_prometheus_may_scrape_the_path_of_its_old_configuration(served: Registry) -> None:
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}
    answer = served.ask("GET", "/health", headers=accept)
    assert answer.status == 200
    assert b"# TYPE " in answer.body


# ------------------------------------------------------------------ Redis


def test_redis_is_told_as_connected(stored: Registry) -> None:
    found = stored.ask("GET", "/health").json
    assert (found["status"], found["redis"]) == ("healthy", "connected")


def test_a_service_has_its_key_in_redis_with_a_time_to_live(stored: Registry, redis_url: str) -> None:
    mine = registered(stored, "authentication")
    with Redis.from_url(redis_url) as redis:
        assert b"service:authentication" in redis.keys("service:*")
        assert 0 < redis.ttl("service:authentication") <= 60
        kept = json.loads(redis.get("service:authentication"))
        members = ("service_name", "service_url", "service_id", "registered_at", "last_heartbeat", "capabilities")
        assert {name: kept[name] for name in members} == {name: mine[name] for name in members}
        assert stored.ask("DELETE", "/services/authentication").status == 200
        assert redis.get("service:authentication") is None


def test_what_one_registry_takes_another_one_on_the_same_redis_answers(stored: Registry, redis_url: str) -> None:
    with registry(REDIS_URL=redis_url) as other:
        registered(stored, "shared")
        assert eventually(lambda: other.ask("GET", "/services/shared").status == 200)


def test_a_registry_that_starts_on_a_full_redis_serves_at_once(stored: Registry, redis_url: str) -> None:
    registered(stored, "kept")
    with registry(REDIS_URL=redis_url) as other:
        assert other.ask("GET", "/services/kept").status == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", [sentinels, cluster], ids=["sentinels", "cluster"])
def test_redis_may_be_made_of_several(kind: Callable[[Path], Any], tmp_path: Path) -> None:
    with kind(tmp_path) as (url, *_), registry(REDIS_URL=url) as served:
        mine = registered(served, "authentication")
        assert served.ask("GET", "/health").json["redis"] == "connected"
        away = f"http://127.0.0.1:{free_port()}"
        assert SyncRegistryClient(away, url).discover("authentication")["service_id"] == mine["service_id"]


def test_a_password_of_redis_is_in_its_url_and_never_in_the_log(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        with server.client() as client:
            client.config_set("requirepass", "open-sesame")
        variables = {"REDIS_URL": f"redis://:open-sesame@127.0.0.1:{server.port}"}
        with registry(**variables) as served:
            assert served.ask("GET", "/health").json["redis"] == "connected"
            assert "open-sesame" not in served.said


def test_a_client_reads_redis_while_the_registry_is_away(stored: Registry, redis_url: str) -> None:
    registered(stored, "direct", "http://10.0.0.9:80")
    away = f"http://127.0.0.1:{free_port()}"
    assert SyncRegistryClient(away, redis_url).discover("direct")["service_url"] == "http://10.0.0.9:80"
    fallback = {"ghost": "http://static:1"}
    assert SyncRegistryClient(away, redis_url, 30, fallback).discover("ghost")["service_url"] == "http://static:1"
    for wrong in ("redis://127.0.0.1:1", "http://nonsense"):
        with pytest.raises(RegistryUnavailable):
            SyncRegistryClient(away, wrong).discover("direct")

    async def found() -> str:
        async with RegistryClient(away, redis_url) as client:
            return (await client.discover("direct"))["service_url"]

    assert asyncio.run(found()) == "http://10.0.0.9:80"


# ------------------------------------------------------------------ the command line


def run(served: Registry, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return saga(*arguments, folder=Path(), environment={"SAGA_SERVICE_URL": served.url})


def test_the_service_commands_work_as_they_were_written(served: Registry) -> None:
    given = ("--name", "my-service", "--url", "http://localhost:8000", "--capabilities", "rest,graphql")
    assert run(served, "service", "register", *given).returncode == 0
    found = served.ask("GET", "/services/my-service").json
    assert (found["service_url"], found["capabilities"]) == ("http://localhost:8000", ["rest", "graphql"])
    for command in (("service", "list"), ("service", "get", "my-service")):
        shown = run(served, *command)
        assert shown.returncode == 0
        assert re.search(r"^my-service +http://localhost:8000 ", shown.stdout, re.MULTILINE)
    assert run(served, "service", "heartbeat", "my-service").returncode == 0
    assert run(served, "service", "unregister", "my-service").returncode == 0
    gone = run(served, "service", "get", "my-service")
    assert (gone.returncode, gone.stdout, len(gone.stderr.splitlines())) == (1, "", 1)


def test_version_and_status_are_told(served: Registry) -> None:
    assert re.fullmatch(r"saga \d+\.\d+\.\d+\n", run(served, "--version").stdout)
    told = run(served, "status", "--saga-url", served.url)
    assert told.returncode == 0
    assert told.stdout.startswith("✓ healthy")


# ------------------------------------------------------------------ settings


def test_the_settings_are_those_of_the_environment() -> None:
    variables = {"SERVICE_NAME": "mine", "REGISTRATION_TTL": "120", "HEARTBEAT_INTERVAL": "20"}
    with registry(**variables, HOST="127.0.0.1", CACHE_REFRESH_INTERVAL="10") as own:
        found = registered(own, "told")
        assert (found["ttl"], found["heartbeat_interval"]) == (120, 20)
        assert own.ask("GET", "/health").json["service"] == "mine"


def test_port_is_a_variable_as_well() -> None:
    with registry() as other:
        process = started([str(SAGA), "registry"], PORT=str(other.port))
        assert f"127.0.0.1:{other.port}" in process.communicate(timeout=PATIENCE_S)[0]
        assert process.returncode == 1


def test_the_configuration_folder_holds_the_same_settings_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('service_name = "filed"\nregistration_ttl = 90\nheartbeat_interval = 15\n')
    with registry(SAGA_CONFIG_DIR=str(tmp_path), REGISTRATION_TTL="100") as own:
        found = registered(own, "told")
        assert (found["ttl"], found["heartbeat_interval"]) == (100, 15)
        assert own.ask("GET", "/health").json["service"] == "filed"


@pytest.mark.parametrize("level", ["error", "warn", "info", "debug", "trace"])
@pytest.mark.parametrize("name", ["RUST_LOG", "SAGA_LOG"])
def test_every_log_level_is_understood(name: str, level: str) -> None:
    value = f"saga={level}" if name == "RUST_LOG" else level
    process = started([str(SAGA), "registry", "--port", "0"], **{name: value})
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("registry on "):
            break
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert any(line.startswith("INFO") for line in said) == (level in ("info", "debug", "trace"))


def test_a_setting_that_is_no_value_is_a_sentence_that_names_it() -> None:
    process = started([str(SAGA), "registry", "--port", "0"], REGISTRATION_TTL="soon")
    said = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 1
    assert "REGISTRATION_TTL is 'soon'" in said


def test_json_is_printed_for_scripts(served: Registry) -> None:
    registered(served, "scripted")
    told = json.loads(run(served, "service", "get", "scripted", "-o", "json").stdout)
    assert told["service_name"] == "scripted"
    gone = json.loads(run(served, "service", "unregister", "scripted", "-o", "json").stdout)
    assert [x["service_id"] for x in gone["removed"]] == [told["service_id"]]
