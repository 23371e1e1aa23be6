"""`saga registry` and services beside it as processes, ended with the test."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from registry.client import Record
from tests.support.ports import free_port
from tests.support.processes import PATIENCE_S, SAGA, Answer, ask, eventually

OLD = Path(__file__).parent / "old"


class Registry:
    """A registry process. `start` after `stop` is on the same port."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        #: What it wrote until it served.
        self.said = ""
        self._variables = variables
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = started([str(SAGA), "registry", "--port", str(self.port)], **self._variables)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said += line
            if line.startswith(f"registry on {self.url}"):
                return
        raise AssertionError(self.said)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=PATIENCE_S)
            self._process = None

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return ask(self.url, method, f"/api/v1{path}", body, **more)

    def instances(self, name: str) -> list[Record]:
        answer = self.ask("GET", f"/services/{name}?instances=only")
        return list(answer.json["instances"]) if answer.status == 200 else []


@contextlib.contextmanager
def registry(**variables: str) -> Iterator[Registry]:
    made = Registry(variables)
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Service:
    """A process that registers itself."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process = process
        self.url = f"http://localhost:{port}"

    def answers(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()[0]
        with contextlib.suppress(OSError):
            return ask(self.url, "GET", "/health").status == 200
        return False

    def stop(self) -> str:
        """Ctrl-C; what it said."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=PATIENCE_S)[0]


@contextlib.contextmanager
def old(script: str, saga_url: str, **variables: str) -> Iterator[Service]:
    """A service of `tests/registry/old` that has begun to serve."""
    port = free_port()
    given = {"SAGA_SERVICE_URL": saga_url, "PORT": str(port), "BEAT": "0.1", "NAME": script, **variables}
    service = Service(started([sys.executable, str(OLD / f"{script}.py")], **given), port)
    try:
        eventually(service.answers)
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.process.communicate()


def started(command: list[str], **variables: str) -> "subprocess.Popen[str]":
    """A process with one output for both streams, and nothing of this one's environment that could lead it astray."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "REDIS_"))}
    return subprocess.Popen(
        command,
        env={**kept, "PYTHONUNBUFFERED": "1", **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
