"""A real HTTP server that answers what a test wrote down for it, and keeps what it was asked."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from registry.base.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer. `body` goes as JSON; bytes go as they are."""

    status: int = 200
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class Runner:
    """The server: `answers` maps `GET /path` to what is said, one after the other, the last for ever."""

    url: str
    answers: dict[str, list[Said]]
    asked: list[Asked] = field(default_factory=list)

    def requests(self, method: str) -> list[Asked]:
        """What was asked with this verb."""
        return [asked for asked in self.asked if asked.method == method]


@contextlib.contextmanager
def runner(answers: Mapping[str, list[Said]], port: int = 0) -> Iterator[Runner]:
    """Serves `answers` on `port` (0: a free one) until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            served.asked.append(
                Asked(method=self.command, target=self.path, headers=headers, body=self.rfile.read(length))
            )
            script = served.answers.get(f"{self.command} {self.path.partition('?')[0]}")
            problem = {"title": "No such path", "status": 404, "code": "not-found", "detail": self.path}
            said = Said(status=404, body=problem) if script is None else script[0]
            if script is not None and len(script) > 1:
                script.pop(0)
            raw = isinstance(said.body, bytes)
            body: bytes = said.body if raw else b"" if said.body is None else json.dumps(said.body).encode()
            self.send_response(said.status)
            kind = "application/octet-stream" if raw else "application/json"
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                **said.headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 -- the base class looks for these

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
            """Keep the tests' stderr for the command's own words."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    served = Runner(url=f"http://127.0.0.1:{server.server_port}", answers=dict(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def at(second: float) -> str:
    """A moment of the tests' day, as the API writes it."""
    return f"2026-01-31T12:00:{second:09.6f}Z"


def step(name: str, start: float | None, end: float | None, **other: Json) -> dict[str, Json]:
    """A step of a run, completed unless `other` says more."""
    return {
        "name": name, "path": name, "kind": "call", "target": "stock", "status": "completed", "attempts": 1,
        "direction": "forward", "startedAt": None if start is None else at(start),
        "endedAt": None if end is None else at(end), "durationMs": None, "output": None, "error": None,
        "undo": None, "waitingFor": None, **other,
    }  # fmt: skip


def undo(start: float, end: float, **other: Json) -> dict[str, Json]:
    """The undo of a step."""
    return {
        "status": "completed", "attempts": 1, "startedAt": at(start), "endedAt": at(end), "error": None,
        **other,
    }  # fmt: skip


def run(status: str = "completed", *steps: Json, **other: Json) -> dict[str, Json]:
    """A run that took 1.9 s, or has no end where `endedAt` is said to be None."""
    return {
        "id": "r-1", "saga": "place-order", "version": 2, "status": status, "reason": None, "labels": {},
        "startedAt": at(0), "endedAt": at(1.9), "input": {}, "output": {"orderId": "o-1"}, "error": None,
        "leftovers": [], "undoErrors": [], "steps": list(steps), **other,
    }  # fmt: skip


#: What the courier says to an order that goes nowhere.
NOWHERE = {"kind": "409", "status": 409, "step": "ship", "detail": "no courier for nowhere"}


def undone_run() -> dict[str, Json]:
    """An order that was reserved, charged, refused by the courier, and undone."""
    return run(
        "compensated",
        step("reserve", 0, 0.041, undo=undo(1.8, 1.888)),
        step("charge", 0.05, 0.2, target="payment", undo=undo(1.6, 1.7)),
        step("ship", 0.2, 1.5, target="courier", status="failed", attempts=3, error=NOWHERE),
        output=None,
        error=NOWHERE,
        labels={"orderId": "o-2"},
    )


SAGAS: Json = {
    "sagas": [
        {
            "id": "place-order", "version": 1, "name": "Old", "domain": "orders", "status": "inactive",
            "path": "/old",
        },
        {
            "id": "place-order", "version": 2, "name": "Place order", "domain": "orders", "status": "active",
            "path": "/orders/place", "methods": ["POST"],
        },
        {
            "id": "stock-of", "version": 1, "name": "Stock", "domain": "stock", "status": "active",
            "path": "/stock", "methods": ["GET"],
        },
        {"id": "sweep", "version": 1, "name": "Sweep", "domain": "stock", "status": "active", "path": None},
    ],
    "next": None,
}  # fmt: skip
