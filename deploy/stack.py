"""The stack of compose.yml as plain processes: a Redis server, the registry and a runner, ended together.

    python deploy/stack.py [--redis-port 6379] [--registry-port 8030] [--runner-port 8080]

Redis keeps what it has in `.saga/redis`. Ctrl-C ends all of them, and so does the end of any one of them.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: Seconds that a process gets to end by itself: the runner drains in that time.
_PATIENCE: Final = 30

_SAGA: Final = str(Path(sys.executable).with_name("saga"))


def main() -> int:
    """Start them in order and wait; the exit code, 1 where one ended by itself."""
    asked = _arguments()
    server = next(filter(None, map(shutil.which, ("redis-server", "valkey-server"))), None)
    if server is None:
        print(
            "There is no redis-server on the path: install Redis, or run `saga dev`, which needs none.", file=sys.stderr
        )
        return 1
    folder = Path(".saga/redis")
    folder.mkdir(parents=True, exist_ok=True)
    redis_url, registry_url = f"redis://127.0.0.1:{asked.redis_port}", f"http://127.0.0.1:{asked.registry_port}"
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    listening = ["--bind", "127.0.0.1", "--port", str(asked.redis_port), "--dir", str(folder), "--appendonly", "yes"]
    wanted: dict[str, tuple[list[str], Mapping[str, str]]] = {
        "redis": ([server, *listening], {}),
        "registry": ([_SAGA, "registry", "--port", str(asked.registry_port)], {"REDIS_URL": redis_url}),
        "runner": (
            [_SAGA, "run", "--port", str(asked.runner_port)],
            {
                "SAGA_SERVICE_URL": registry_url,
                "SAGA_STREAMS__HTTP__TYPE": "http",
                "SAGA_STREAMS__PLACED__TYPE": "inprocess",
            },
        ),
    }
    running: list[tuple[str, subprocess.Popen[bytes]]] = []
    died = False
    try:
        for name, (command, variables) in wanted.items():
            # In a session of its own, so that Ctrl-C comes here alone and the order of ending is ours.
            process = subprocess.Popen(command, env={**os.environ, **variables}, start_new_session=True)
            running.append((name, process))
        print(f"redis {redis_url}, registry {registry_url}, runner http://127.0.0.1:{asked.runner_port}", flush=True)
        while not (died := any(process.poll() is not None for _, process in running)):
            if ended.wait(0.2):
                break
    finally:
        for name, process in reversed(running):
            _end(name, process)
    return int(died)


def _end(name: str, process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        print(f"{name} ended with {process.returncode}", flush=True)
        return
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Redis, the registry and a runner as plain processes.")
    parser.add_argument("--redis-port", type=int, default=6379)
    parser.add_argument("--registry-port", type=int, default=8030)
    parser.add_argument("--runner-port", type=int, default=8080)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
