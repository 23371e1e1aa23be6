"""A scripted world behind the real ports: services that keep effects and keys as good ones do, and streams.

A script says, per `METHOD service/path` (with `*`), what each attempt comes to; an attempt is the one that the journal
counts, so a request that a crash repeats is answered as it was before. One entry is

- `200`, `200 {"id": 1}`, `503`: a status, and a JSON body;
- `refused` (nothing was sent), `reset` (sent, the answer lost), `timeout` (sent, no answer), `unreadable`, each
  with ` effect` behind it where the service had done it all the same;
- or a mapping `{status, json, text, type, headers, effect, after, late, lost}`: `after` seconds until the answer,
  `late` seconds until the effect, whoever is still listening; with `until` it is out of the list from that second on;
  `letters` in place of `json` is a JSON text of so many.

The last entry answers every further attempt; what no script names is answered 200 with `{"ok": true}`. An effect is
kept under its key, once; a request with `<key>.undo` takes it away, and a forward request that comes after is refused.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from registry.base.clock import Clock
from registry.chooser import Chooser, NotFound, Picked
from registry.directories.memory import MemoryDirectory
from runner.ports import StreamUnavailable
from runner.saga.exchange import Answer, Exchange, Lost, Request

#: Says which attempt of the journal a request with this key is.
AttemptOf = Callable[[str], int]

_LOST = {
    "refused": ("unreachable", False),
    "reset": ("unreachable", True),
    "timeout": ("timeout", True),
    "unreadable": ("unexpected", True),
    "redirect": ("redirect", True),
}


@dataclass(slots=True, kw_only=True)
class Sent:
    """One request as it came to the world."""

    key: str
    #: `POST stock/reservations`, `EMIT placed`.
    what: str
    #: All that a resend must repeat to the byte.
    content: tuple[Any, ...]
    body: bytes | None
    headers: dict[str, str]
    at: float


@dataclass(slots=True)
class World:
    """Everything outside of the runner. Paths of keys are told without the run's id: see `short`."""

    scripts: Mapping[str, Any] = field(default_factory=dict)
    #: Services that somebody offers.
    services: frozenset[str] = frozenset()
    sent: list[Sent] = field(default_factory=list)
    #: Key -> the answer's body, of effects in force.
    effects: dict[str, bytes] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)
    #: How often each effect was brought about.
    applied: dict[str, int] = field(default_factory=dict)
    #: Offsets of stream records by key: a repeated one keeps its own.
    offsets: dict[str, int] = field(default_factory=dict)
    #: Calls under way, and the most there were at once.
    busy: int = 0
    busiest: int = 0

    def entry(self, what: str, attempt: int, now: float) -> dict[str, Any]:
        """What the attempt comes to."""
        for pattern, script in self.scripts.items():
            if fnmatchcase(what, pattern):
                entries = script if isinstance(script, list) else [script]
                left = [one for one in entries if not (isinstance(one, dict) and now >= one.get("until", now + 1))]
                return _read(left[min(attempt, len(left)) - 1])
        return {"status": 200, "json": {"ok": True}}

    def bring_about(self, key: str, body: bytes) -> None:
        """The effect of a request, once per key; of an undo: that what it undoes is gone."""
        base, undo, _ = key.partition(".undo")
        if undo:
            self.undone.add(base)
            self.effects.pop(base, None)
        elif key not in self.effects and key not in self.undone:
            self.effects[key] = body
            self.applied[key] = self.applied.get(key, 0) + 1

    def counts(self, run: str) -> list[str]:
        """Keys in the order of their first request, with how often where that is not once."""
        many: dict[str, int] = {}
        for sent in self.sent:
            many[sent.key] = many.get(sent.key, 0) + 1
        return [short(run, key) + (f" x{count}" if count > 1 else "") for key, count in many.items()]


def short(run: str, key: str) -> str:
    """A key without its run: `reserve`, `lines.0.charge.undo`; of another run as `~charge`."""
    return key.removeprefix(f"{run}.") if key.startswith(run) else "~" + key.partition(".")[2]


class Door:
    """The ports of one runner to the world: `Sink`, `Services` and `Streams`."""

    def __init__(self, world: World, clock: Clock, attempt_of: AttemptOf) -> None:
        self._world = world
        self._attempt_of = attempt_of
        addresses = {name: f"http://{name}.test" for name in world.services}
        self._chooser = Chooser(MemoryDirectory(clock), clock, fallback=addresses)

    def pick(self, service: str) -> Picked | NotFound:
        return self._chooser.pick(service)

    async def send(
        self, request: Request, *, base_url: str, extra_headers: Sequence[tuple[str, str]], timeout: float
    ) -> Exchange:
        world = self._world
        what = f"{request.method} {request.service}{request.target}"
        world.sent.append(
            Sent(
                key=request.key,
                what=what,
                content=(request.digest(), base_url, tuple(extra_headers)),
                body=request.body,
                headers=dict(request.headers),
                at=asyncio.get_running_loop().time(),
            )
        )
        entry = world.entry(what, self._attempt_of(request.key), asyncio.get_running_loop().time())
        lost = entry.get("lost")
        if lost is not None and not _LOST[lost][1]:
            return Lost(kind=_LOST[lost][0], detail=f"{lost} by the script", sent=False)
        body = _body(entry)
        if not request.reads and entry.get("effect", 200 <= entry.get("status", 0) < 300):
            late = entry.get("late", 0)
            if late:
                asyncio.get_running_loop().call_later(late, world.bring_about, request.key, body)
            else:
                world.bring_about(request.key, body)
        after = timeout if lost == "timeout" else entry.get("after", 0)
        world.busy += 1
        world.busiest = max(world.busiest, world.busy)
        try:
            if after >= timeout:
                await asyncio.sleep(timeout)
                return Lost(kind="timeout", detail="no answer in time", sent=True)
            await asyncio.sleep(after)
        finally:
            world.busy -= 1
        if lost is not None:
            kind, sent = _LOST[lost]
            return Lost(kind=kind, detail=f"{lost} by the script", sent=sent, status=entry.get("status", 0))
        headers = {"content-type": entry.get("type", "application/json"), **entry.get("headers", {})}
        if 200 <= entry["status"] < 300 and not request.reads and "late" not in entry:
            body = world.effects.get(request.key, body)
        return Answer(status=entry["status"], headers=headers, body=body)

    async def put(
        self, stream: str, *, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[int, int]:
        world = self._world
        named = {name: content.decode() for name, content in headers}
        own = named["idempotency-key"]
        what = f"EMIT {stream}"
        world.sent.append(
            Sent(
                key=own,
                what=what,
                content=(stream, key, value, tuple(headers)),
                body=value,
                headers=named,
                at=asyncio.get_running_loop().time(),
            )
        )
        entry = world.entry(what, self._attempt_of(own), asyncio.get_running_loop().time())
        if entry.get("lost") == "refused":
            raise StreamUnavailable(f"{stream} takes nothing now, by the script")
        if entry.get("effect", "lost" not in entry):
            world.bring_about(own, b"")
        if entry.get("lost") == "timeout":
            await asyncio.get_running_loop().create_future()
        return 0, world.offsets.setdefault(own, len(world.offsets))

    async def close(self) -> None:
        """Nothing is kept open."""


def _read(entry: Any) -> dict[str, Any]:
    if isinstance(entry, dict):
        return entry
    first, _, rest = str(entry).partition(" ")
    if first.isdigit():
        return {"status": int(first)} | ({"json": json.loads(rest)} if rest else {})
    return {"lost": first, "effect": rest == "effect"}


def _body(entry: dict[str, Any]) -> bytes:
    if "letters" in entry:
        return json.dumps("x" * entry["letters"]).encode()
    if "text" in entry:
        return str(entry["text"]).encode()
    return json.dumps(entry["json"], separators=(",", ":")).encode() if "json" in entry else b""
