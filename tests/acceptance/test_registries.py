"""A runner beside a registry of its own: it finds services there, and is found."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.registry.processes import Registry, registry
from tests.support.ports import free_port
from tests.support.processes import eventually, run
from tests.support.redis_servers import redis_server

pytestmark = pytest.mark.process

SAGA = """
id: ask
path: /ask
methods: [GET]
steps:
  - {name: one, call: {service: stock, method: GET, path: /}}
"""


class Stock(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"tea": 7}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def stock() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stock) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


def listed(at: Registry, name: str) -> list[str]:
    return [x["service_url"] for x in at.instances(name)]


def test_a_runner_on_the_same_redis_calls_what_a_registry_lists_and_is_listed_there(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path / "redis") as redis,
        registry(REDIS_URL=redis.url) as beside,
        stock() as service,
    ):
        settings = {"registry": {"url": "redis"}, "redis": {"url": redis.url}}
        with run(tmp_path, {"ask.yaml": SAGA}, settings) as runner:
            assert runner.ask("GET", "/health/ready").json["missingServices"] == ["stock"]
            assert runner.ask("GET", "/ask").status >= 400
            wish = {"service_name": "stock", "service_url": service, "ttl": 600}
            assert beside.ask("POST", "/services/register", wish).status == 201
            assert eventually(lambda: runner.ask("GET", "/health/ready").json["missingServices"] == [])
            assert runner.ask("GET", "/ask").json == {"tea": 7}
            assert eventually(lambda: listed(beside, "shop")) == [runner.url]
            assert runner.stop() == 0
            assert eventually(lambda: not listed(beside, "shop"))


def test_a_runner_follows_a_registry_by_its_url_and_goes_on_while_that_is_away(tmp_path: Path) -> None:
    with registry() as beside, stock() as service:
        wish = {"service_name": "stock", "service_url": service, "ttl": 600}
        assert beside.ask("POST", "/services/register", wish).status == 201
        settings = {"registry": {"url": beside.url}}
        with run(tmp_path, {"ask.yaml": SAGA}, settings) as runner:
            assert runner.ask("GET", "/ask").json == {"tea": 7}
            assert eventually(lambda: listed(beside, "shop")) == [runner.url]
            beside.stop()
            assert runner.ask("GET", "/ask").json == {"tea": 7}
            beside.start()
            assert eventually(lambda: listed(beside, "shop")) == [runner.url]
            assert runner.ask("GET", "/ask").json == {"tea": 7}
            assert runner.stop() == 0
            assert listed(beside, "shop") == []


def test_a_registry_that_is_not_there_keeps_no_runner_from_serving(tmp_path: Path) -> None:
    with stock() as service:
        settings = {
            "registry": {"url": f"http://127.0.0.1:{free_port()}"},
            "services": {"stock": {"url": service}},
        }
        with run(tmp_path, {"ask.yaml": SAGA}, settings) as runner:
            assert runner.ask("GET", "/ask").json == {"tea": 7}
            assert runner.stop() == 0
