import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from registry.base.clock import ManualClock
from registry.client import RegistryRefused, RegistryUnavailable, ServiceNotFound, SyncRegistryClient
from registry.testing import LocalRegistry
from tests.support.processes import eventually


@pytest.fixture
def registry() -> Iterator[LocalRegistry]:
    with LocalRegistry(heartbeat_interval=0.05) as made:
        yield made


@pytest.fixture
def client(registry: LocalRegistry) -> SyncRegistryClient:
    return SyncRegistryClient(registry.url)


def test_register_discover_beat_and_unregister(client: SyncRegistryClient) -> None:
    listed = client.register("orders", "http://10.0.0.1:8000", ["rest"], zone="x")
    assert client.discover("orders")["service_id"] == listed["service_id"]
    assert client.heartbeat("orders")["last_heartbeat"] > listed["last_heartbeat"]
    assert [x["service_name"] for x in client.services(prefix="ord")] == ["orders"]
    client.unregister("orders", service_id=listed["service_id"])
    with pytest.raises(ServiceNotFound, match="No live instance of orders"):
        client.discover("orders")
    with pytest.raises(RegistryRefused, match="service_name must be a letter"):
        client.register("-", "http://h")


def test_cache_comes_before_registry_and_fallback_after_it(registry: LocalRegistry) -> None:
    clock = ManualClock()
    client = SyncRegistryClient(registry.url, cache_ttl=30, fallback={"payment": "http://static:9002"}, clock=clock)
    assert client.discover("payment")["service_url"] == "http://static:9002"
    client.register("payment", "http://10.0.0.1:80")
    assert client.discover("payment")["service_url"] == "http://10.0.0.1:80"
    registry.stop()
    assert client.discover("payment")["service_url"] == "http://10.0.0.1:80"
    clock.advance(30)
    assert client.discover("payment")["service_url"] == "http://static:9002"
    with pytest.raises(RegistryUnavailable, match="cannot be reached"):
        client.discover("orders")


@pytest.mark.parametrize("url", ["nowhere", "http://", "http://127.0.0.1:nan", "http://[", "ftp://127.0.0.1:1"])
def test_an_address_that_is_none_is_a_sentence(url: str) -> None:
    with pytest.raises(RegistryUnavailable, match="cannot be reached"):
        SyncRegistryClient(url, timeout=0.2).discover("payment")


def test_who_is_no_registry_or_never_answers_is_unavailable() -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        with pytest.raises(RegistryUnavailable, match="is it one"):
            SyncRegistryClient(f"http://127.0.0.1:{server.server_port}").discover("payment")
        server.shutdown()
        serving.join()
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(RegistryUnavailable, match="no answer within"),
    ):
        SyncRegistryClient(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.05).services()


def test_a_thread_beats_until_the_end_and_only_its_own_instance_goes(
    registry: LocalRegistry, client: SyncRegistryClient
) -> None:
    client.register("orders", "http://10.0.0.2:8000")
    with client.registered("orders", "http://10.0.0.1:8000", ["rest"]) as mine:
        first = next(x for x in registry.instances("orders") if x["service_url"] == "http://10.0.0.1:8000")

        def beaten() -> bool:
            now = next(x for x in registry.instances("orders") if x["service_id"] == first["service_id"])
            return now["last_heartbeat"] > first["last_heartbeat"]

        assert eventually(beaten)
    assert [x["service_url"] for x in registry.instances("orders")] == ["http://10.0.0.2:8000"]
    mine.end()
    assert len(registry.instances("orders")) == 1


def test_what_was_forgotten_is_registered_again_as_the_same_instance(
    registry: LocalRegistry, client: SyncRegistryClient
) -> None:
    with client.registered("orders", "http://10.0.0.1:8000", zone="x"):
        [before] = registry.instances("orders")
        registry.forget("orders")
        [after] = eventually(lambda: registry.instances("orders"))
        assert (after["service_id"], after["zone"]) == (before["service_id"], "x")


def test_a_registry_that_is_away_keeps_no_script_from_starting(registry: LocalRegistry) -> None:
    registry.stop()
    with SyncRegistryClient(registry.url, timeout=0.5).registered("orders", "http://10.0.0.1:8000"):
        pass


#: A server that forks its workers after it has registered, as `gunicorn --preload` does.
FORKING = """
import os, sys
from registry.client import SyncRegistryClient

client = SyncRegistryClient(cache_ttl=0)
client.registered("orders", "http://10.0.0.1:8000")
worker = os.fork()
if worker == 0:
    sys.exit(0)
os.waitpid(worker, 0)
print(len(client.discover("orders")["instances"]), flush=True)
"""


@pytest.mark.process
def test_the_end_of_the_process_unregisters_and_that_of_a_fork_of_it_does_not(registry: LocalRegistry) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING],
        env={"SAGA_SERVICE_URL": registry.url},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "1\n"), ended.stderr
    assert registry.instances("orders") == []


def test_watch_tells_what_is_there_and_each_change(registry: LocalRegistry, client: SyncRegistryClient) -> None:
    watching = client.watch("orders")
    assert next(watching) == []
    client.register("orders", "http://10.0.0.1:8000")
    assert [x["service_url"] for x in next(watching)] == ["http://10.0.0.1:8000"]
