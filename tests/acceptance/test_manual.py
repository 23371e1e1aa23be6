"""The manual of a real runner: the type of a problem leads to its page."""

import json
import os
import subprocess

import pytest

from tests.support.processes import PATIENCE_S, SAGA, Server, order

pytestmark = pytest.mark.process


def test_the_type_of_a_refusal_is_the_address_of_its_page(shop: Server) -> None:
    kind = shop.post("/orders/palce", {}).json["type"]
    page = shop.ask("GET", kind)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<h1>no-saga</h1>" in page.body


def test_the_type_that_a_saga_raised_leads_to_a_page_that_names_it(shop: Server) -> None:
    failed = shop.post("/orders/place", order("manual-1", city="nowhere"))
    page = shop.ask("GET", failed.json["type"])
    assert page.status == 404
    assert b"place-order@2" in page.body


def test_the_doctor_finds_a_runner_at_work(shop: Server) -> None:
    port = shop.url.rpartition(":")[2]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "REDIS_"))}
    done = subprocess.run(
        [SAGA, "doctor", "-o", "json"],
        cwd=shop.folder,
        env={**kept, "SAGA_RUNNER__PORT": port, "SAGA_REGISTRY__PORT": "0"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    told = {check["name"]: check["told"] for check in json.loads(done.stdout)["checks"]}
    assert "is in use by a running runner (process " in told["journal.url"]
    assert f"127.0.0.1:{port} is answered by a running saga" in told["runner.port"]
