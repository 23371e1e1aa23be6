"""What is deployed: compose.yml by the tool itself and against what the registry's guide promises, and its stack as
plain processes.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from registry.client import RegistryError, SyncRegistryClient
from tests.support.ports import free_ports
from tests.support.processes import PATIENCE_S, ROOT, SHOP, ask, eventually
from tests.support.require import require


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yml").read_text())["services"])


def test_compose_itself_accepts_the_file() -> None:
    """As a plugin of docker, or as the command that came before it."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
        ):
            done = subprocess.run([*command, "config"], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return
    require("needs docker compose")


def test_the_registry_is_checked_as_its_guide_says(compose: dict[str, Any]) -> None:
    check = compose["registry"]["healthcheck"]
    assert {name: check[name] for name in ("interval", "timeout", "retries", "start_period")} == {
        "interval": "30s",
        "timeout": "10s",
        "retries": 3,
        "start_period": "40s",
    }
    assert "/api/v1/health" in check["test"][-1]
    assert compose["registry"]["depends_on"]["redis"]["condition"] == "service_healthy"


def test_ports_are_published_on_this_machine_alone(compose: dict[str, Any]) -> None:
    for service in compose.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_the_image_is_slim_its_user_is_not_root_and_its_packages_are_pinned_by_hash() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"python:3.11-slim"}
    assert re.search(r"^USER saga$", text, re.MULTILINE)
    for line in re.findall(r"pip install [^&\n]*", text):
        assert "--require-hashes" in line or "--no-deps" in line, line
    for path in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in path.split()), path


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    if not any(map(shutil.which, ("redis-server", "valkey-server"))):
        require("needs the command redis-server on the PATH")
    (tmp_path / "definitions").symlink_to(SHOP)
    redis, registry, runner = ports = free_ports(3)
    options = ["--redis-port", redis, "--registry-port", registry, "--runner-port", runner]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "REDIS_"))}
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "deploy" / "stack.py"), *map(str, options)],
            cwd=tmp_path,
            env=kept,
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield process, ports
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.mark.process
def test_the_stack_runs_as_plain_processes_and_ends_together(
    stack: tuple["subprocess.Popen[str]", list[int]], tmp_path: Path
) -> None:
    process, (_, registry, runner) = stack
    client = SyncRegistryClient(f"http://127.0.0.1:{registry}", cache_ttl=0)

    def found() -> str | None:
        assert process.poll() is None, (tmp_path / "said").read_text()
        try:
            return client.discover("shop")["service_url"] if client.health()["redis"] == "connected" else None
        except RegistryError:
            return None

    assert eventually(found) == f"http://127.0.0.1:{runner}"
    assert ask(f"http://127.0.0.1:{runner}", "GET", "/health/ready").status == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0
    with pytest.raises(RegistryError):
        client.health()
