"""A reader of server-sent events over a real connection."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from types import TracebackType
from typing import Any

from tests.support.processes import PATIENCE_S, Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event as it came."""

    id: str
    name: str
    data: Any


class EventStream:
    """The events of a run, read as they come; hangs up at the end of the block."""

    def __init__(self, server: Server, run: str, *, query: str = "", headers: Mapping[str, str] | None = None) -> None:
        self._connection = HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE_S)
        self._connection.request("GET", f"/api/v1/runs/{run}/events{query}", headers=dict(headers or {}))
        self.answer: HTTPResponse = self._connection.getresponse()

    def __enter__(self) -> "EventStream":
        return self

    def __exit__(self, kind: type[BaseException] | None, what: BaseException | None, at: TracebackType | None) -> None:
        self.answer.close()
        self._connection.close()

    def __iter__(self) -> Iterator[Event]:
        fields: dict[str, str] = {}
        for raw in self.answer:
            line = raw.decode().removesuffix("\n")
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields and not line:
                yield Event(id=fields.get("id", ""), name=fields["event"], data=json.loads(fields["data"]))
                fields = {}

    def until(self, name: str) -> list[Event]:
        """All up to the first of this name."""
        out = []
        for event in self:
            out.append(event)
            if event.name == name:
                return out
        raise AssertionError(f"the stream ended without {name}: {out}")
