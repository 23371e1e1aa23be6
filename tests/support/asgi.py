"""Requests to an ASGI application without a server, to the event."""

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Got:
    """An answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: Any,
    method: str = "POST",
    path: str = "/echo",
    *parts: bytes,
    headers: Mapping[str, str] | None = None,
    query: bytes = b"",
    leaves: bool = False,
) -> Got:
    """A request whose body comes in these parts; the caller hangs up behind them where it `leaves`."""
    events: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": leaves or at < len(parts) - 1}
        for at, part in enumerate(parts)
    ] or [{"type": "http.request", "body": b"", "more_body": False}]
    events.append({"type": "http.disconnect"})
    got = Got()

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def send(event: MutableMapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            got.status = event["status"]
            got.headers = {name.decode(): value.decode("latin-1") for name, value in event["headers"]}
        else:
            got.body += event["body"]

    sent = {"content-type": "application/json", **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()],
    }
    await app(scope, receive, send)
    return got
