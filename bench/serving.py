"""Processes under measurement: started, asked what they have used, stopped."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

#: Seconds that a process may take to start or to stop.
PATIENCE = 60.0
_SAGA = Path(sys.executable).with_name("saga")


class Served:
    """A server in a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        #: `http://host:port`; empty until it serves.
        self.url = ""
        self._log = log

    def told(self, member: str) -> list[Any]:
        """What it has told so far under this name, in lines of JSON."""
        found = []
        for line in self._log.read_text().splitlines():
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                if isinstance(told, dict) and told.get(member):
                    found.append(told[member])
        return found

    def cpu(self) -> float:
        """Seconds of CPU used so far by all of its threads."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait for that."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE)


def memory(pid: int) -> int:
    """Bytes of memory that are a process's own (anonymous): without the pages of files, which the system may take."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the system does not tell how much memory a process has")


def prepare(folder: Path, definitions: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    """Write what `saga run` reads."""
    (folder / "definitions").mkdir(exist_ok=True)
    for name, text in definitions.items():
        (folder / "definitions" / name).write_text(text)
    (folder / "saga.yml").write_text(json.dumps(settings))  # JSON is YAML


@contextlib.contextmanager
def runner(folder: Path) -> Iterator[Served]:
    """`saga run` in a prepared folder, serving."""
    with started([str(_SAGA), "run"], folder) as served:
        yield served


@contextlib.contextmanager
def started(command: Sequence[str], folder: Path) -> Iterator[Served]:
    """A command that writes a line of JSON with its `url` once it serves. Raises RuntimeError where it does not."""
    log = folder / f"output-{time.monotonic_ns()}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "REDIS_"))}
    # Found from any folder: this file's package is beside the project's own.
    kept["PYTHONPATH"] = str(Path(__file__).parents[1])
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=kept, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    served = Served(process, log)
    try:
        until = time.monotonic() + PATIENCE
        while not served.url:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{' '.join(command)} does not serve:\n{log.read_text()[-4000:]}")
            time.sleep(0.01)
            served.url = next(iter(served.told("url")), "")
        yield served
    finally:
        served.stop()
