"""`saga check --registry`: the services that nobody could reach."""

import json
from pathlib import Path

import pytest

from registry.testing import LocalRegistry
from tests.runner.cli.invoking import saga
from tests.support.ports import free_port

SAGA = """
id: shop
path: /shop
methods: [GET]
steps:
  - {name: one, call: {service: stock, method: GET, path: /}}
  - {name: two, call: {service: payment@2, method: GET, path: /}}
  - {name: three, call: {service: courier, method: GET, path: /}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "shop.yaml").write_text(SAGA)
    (tmp_path / "saga.yml").write_text("services: {payment: {url: 'http://127.0.0.1:1'}, courier: {headers: {a: b}}}\n")
    return tmp_path


def test_services_that_are_neither_registered_nor_in_the_settings_are_named(folder: Path) -> None:
    with LocalRegistry() as registry:
        registry.client.register("stock", "http://10.0.0.1:80")
        result = saga("check", "--registry", registry.url, "-o", "json")
        found = json.loads(result.stdout)["findings"]
        assert [(x["code"], x["line"]) for x in found] == [("SG411", 8)]
        assert f"{registry.url} no live instance" in found[0]["message"]
        assert saga("check", "--registry", registry.url, "--strict").exit_code == 1
        registry.client.register("courier", "http://10.0.0.2:80")
        assert saga("check", "--registry", registry.url, "--strict").exit_code == 0


def test_a_registry_that_does_not_answer_is_one_line(folder: Path) -> None:
    result = saga("check", "--registry", f"http://127.0.0.1:{free_port()}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
