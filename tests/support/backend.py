"""A service in a thread of the test, for runners in processes: it answers what it is told to, when it is told to."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.processes import PATIENCE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One request."""

    method: str
    path: str
    #: Names in lower case.
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers.get("idempotency-key", "")


#: What to answer: status and JSON body.
Rule = Callable[[Heard], tuple[int, Any]]


@dataclass(slots=True, kw_only=True)
class Backend:
    """A service that answers by `rule`; closed, its `gate` holds every request until it is opened."""

    rule: Rule
    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    #: Requests that are held at the gate, now and at most.
    held: int = 0
    most_held: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, heard: Heard) -> tuple[int, Any]:
        with self._lock:
            self.heard.append(heard)
            self.held += 1
            self.most_held = max(self.most_held, self.held)
        assert self.gate.wait(PATIENCE_S), "nobody opened the gate"
        with self._lock:
            self.held -= 1
        return self.rule(heard)


@contextlib.contextmanager
def backend(rule: Rule = lambda _: (200, {}), *, closed: bool = False) -> Iterator[Backend]:
    """A service on a free port until the block ends; its gate is open unless `closed`."""
    service = Backend(rule=rule)
    if not closed:
        service.gate.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = service.answer(Heard(method=self.command, path=self.path, headers=headers, body=body))
            sent = json.dumps(answer).encode()
            with contextlib.suppress(OSError):  # the caller may have given up
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 -- the server looks them up by these names

        def log_message(self, *_: object) -> None:
            """Nothing: pytest shows what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        service.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
