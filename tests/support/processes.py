"""The real command line in processes of its own: started in a folder, waited for, stopped, killed, never left behind.

    with dev(folder) as shop:
        reply = shop.post("/orders/place", order("o-1"))
        shop.kill()
        shop.start()

Each process leads a group of its own, so that a kill takes all of it. Its output goes into files of its folder, so
that no pipe can fill up and a failing test can show what was said.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar

from tests.support.ports import free_ports

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "definitions" / "shop"
SAGA = Path(sys.executable).with_name("saga")

#: Seconds after which what is waited for will not come any more.
PATIENCE_S = 30.0


def order(
    order_id: str, *, customer: str = "ada", sku: str = "tea", city: str = "Paris", **more: Any
) -> dict[str, Any]:
    """An order as the shop's sagas take it."""
    return {
        "orderId": order_id,
        "customer": customer,
        "lines": [{"sku": sku, "qty": 2, "price": 4.5}],
        "total": 9,
        "address": {"city": city},
        **more,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer."""

    status: int
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    url: str,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    raw: bytes | None = None,
) -> Answer:
    """One request on a connection of its own. Raises OSError or `http.client.HTTPException` where nobody answers."""
    host = url.removeprefix("http://")
    connection = HTTPConnection(host, timeout=PATIENCE_S)
    sent = dict(headers or {})
    if body is not None:
        raw = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, path, raw, sent)
        came = connection.getresponse()
        return Answer(
            status=came.status,
            headers={name.lower(): value for name, value in came.getheaders()},
            body=came.read(),
        )
    finally:
        connection.close()


def eventually(what: Callable[[], T | None], *, patience: float = PATIENCE_S) -> T:
    """What `what` gives as soon as that is truthy. A process can only be asked again and again, hence the naps."""
    until = time.monotonic() + patience
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < until, f"it did not come about within {patience:g} s: {found!r}"
        time.sleep(0.02)


def saga(
    *arguments: str, folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`saga ARGUMENTS` run to its end in `folder`."""
    return subprocess.run(
        [SAGA, *arguments],
        cwd=folder,
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "REDIS_"))}
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **(more or {})}


@dataclass(slots=True, kw_only=True)
class Server:
    """A runner in a process: `saga dev` or `saga run`."""

    arguments: Sequence[str]
    folder: Path
    url: str
    registry: str
    #: The demo services, by name; empty under `saga run`.
    services: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] | None = None
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it, again on the same ports and in the same folder; ready on return."""
        with (self.folder / "stdout").open("ab") as out, (self.folder / "stderr").open("ab") as err:
            self.process = subprocess.Popen(
                [SAGA, *self.arguments],
                cwd=self.folder,
                env=_environment(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        eventually(self._ready)

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"it ended at once:\n{self.said}"
        try:
            if ask(self.url, "GET", "/health/ready").status != 200:
                return False
            return all(ask(url, "GET", "/health").status == 200 for url in self.services.values())
        except OSError:
            return False

    @property
    def said(self) -> str:
        """All that it wrote, in every start."""
        return "".join((self.folder / name).read_text() for name in ("stdout", "stderr"))

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL, to the whole group."""
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    # ------------------------------------------------------------------ asking it

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        try:
            return ask(self.url, method, path, body, **more)
        except TimeoutError as late:
            late.add_note(f"no answer to {method} {path}; what is under way:")
            for status in ("running", "waiting", "compensating", "parked"):
                for run in ask(self.url, "GET", f"/api/v1/runs?status={status}&limit=3").json["runs"]:
                    whole = ask(self.url, "GET", f"/api/v1/runs/{run['id']}").body.decode()
                    late.add_note(whole)
            late.add_note(self.said[-5_000:])
            raise

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """A POST of JSON; header names with `_` for `-`."""
        return self.ask("POST", path, body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def run(self, run: str) -> dict[str, Any]:
        """The whole run."""
        answer = self.ask("GET", f"/api/v1/runs/{run}")
        assert answer.status == 200, answer
        return dict(answer.json)

    def run_when(self, run: str, *statuses: str) -> dict[str, Any]:
        """The run once it stands so."""

        def look() -> dict[str, Any] | None:
            found = self.run(run)
            return found if found["status"] in statuses else None

        try:
            return eventually(look)
        except AssertionError as never:
            never.add_note(f"{json.dumps(self.run(run), indent=1)}\n{self.said[-5_000:]}")
            raise

    def runs(self, query: str = "") -> list[dict[str, Any]]:
        answer = self.ask("GET", f"/api/v1/runs{query}")
        assert answer.status == 200, answer
        return list(answer.json["runs"])

    def effects(self, run: str) -> dict[str, list[str]]:
        """Kinds of what is in force of one run, by service."""
        out = {}
        for name, url in self.services.items():
            found = ask(url, "GET", "/effects").json["effects"]
            out[name] = [effect["kind"] for effect in found if effect["run"] == run]
        return out

    def requests(self, service: str, run: str) -> list[dict[str, Any]]:
        """What the run asked of a service, in order."""
        found = ask(self.services[service], "GET", "/requests?limit=10000").json["requests"]
        return [request for request in found if request["run"] == run]


@contextlib.contextmanager
def dev(folder: Path, definitions: Sequence[Path] = (SHOP,), *more: str) -> Iterator[Server]:
    """`saga dev` with the demo shop, ready; killed at the end where it still lives."""
    port, registry, stock, payment, courier = free_ports(5)
    arguments = [
        "dev",
        *(word for path in definitions for word in ("--definitions", str(path))),
        *("--port", str(port), "--registry-port", str(registry)),
        *("--stock-port", str(stock), "--payment-port", str(payment), "--courier-port", str(courier)),
        *more,
    ]
    services = {"stock": stock, "payment": payment, "courier": courier}
    server = Server(
        arguments=arguments,
        folder=folder,
        url=f"http://127.0.0.1:{port}",
        registry=f"http://127.0.0.1:{registry}",
        services={name: f"http://127.0.0.1:{at}" for name, at in services.items()},
    )
    with _running(server):
        yield server


@contextlib.contextmanager
def run(
    folder: Path,
    definitions: Mapping[str, str],
    settings: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """`saga run` with these definitions (file name to text) and settings, ready; killed at the end."""
    server = prepared(folder, definitions, settings, environment=environment)
    with _running(server):
        yield server


def prepared(
    folder: Path,
    definitions: Mapping[str, str],
    settings: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Server:
    """What `run` starts, not yet started; `saga.yml` and the definitions are written."""
    port, registry = free_ports(2)
    (folder / "definitions").mkdir(exist_ok=True)
    for name, text in definitions.items():
        (folder / "definitions" / name).write_text(text)
    whole: dict[str, Any] = {"runner": {}, **(settings or {})}
    whole["runner"] = {"port": port, **whole["runner"]}
    whole.setdefault("registry", {"port": registry})
    (folder / "saga.yml").write_text(json.dumps(whole))  # JSON is YAML
    return Server(
        arguments=["run"],
        folder=folder,
        url=f"http://127.0.0.1:{whole['runner']['port']}",
        registry=f"http://127.0.0.1:{registry}",
        environment=environment,
    )


@contextlib.contextmanager
def _running(server: Server) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        if server.process is not None:
            server.kill()
