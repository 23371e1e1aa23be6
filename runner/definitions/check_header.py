"""Checks of a saga's header: what needs more than one key, or the settings."""

import re
from datetime import date
from typing import Any, Final

from runner.definitions.cron import known_zone, wrong_with_cron
from runner.definitions.draft import AT_START
from runner.definitions.findings import Findings, listed, meant
from runner.definitions.node import MAPPING, TEXT, Node
from runner.definitions.subject import Check, Subject, where

#: Paths of the runner itself, and everything below them.
RESERVED: Final = (
    "/api",
    "/console",
    "/docs",
    "/openapi.json",
    "/asyncapi.json",
    "/metrics",
    "/health",
    "/ready",
)
_PATH: Final = re.compile(r"/|(?:/[A-Za-z0-9_.~-]+)+/?")
_RECORDS: Final = re.compile(r"/On_([^/]+)")
#: What of the caller a reply may depend on.
_IDENTITY: Final = ("event.subject", "event.roles", "event.claims", "event.headers")


def records_stream(path: str | None) -> str | None:
    """The stream alias of an `/On_<stream>` path; None for any other path."""
    match = _RECORDS.fullmatch(path) if path else None
    return match[1] if match else None


def serves_http(subject: Subject) -> bool:
    """Whether HTTP requests can reach it, as far as the settings are known."""
    box = subject.saga.box
    path = box.get("path")
    if not path or records_stream(path):
        return False
    streams = box.get("streams")
    if not streams:
        return True
    known = subject.world.streams
    return any(alias == "http" if known is None else known.get(alias) == "http" for alias in streams)


def _steps_there(subject: Subject, findings: Findings) -> None:
    saga = subject.saga
    steps = saga.node.get("steps")
    mock = saga.box.get("schema", {}).get("mock") is True
    if "redirectTo" in saga.node.value or mock:
        return
    if steps is None:
        findings.add(
            "SG103",
            saga.node,
            "a saga needs `steps`",
            "they are missing only beside `redirectTo` or `schema.mock`",
        )
    elif steps.value == []:
        findings.add("SG110", saga.node.key("steps"), "`steps` holds no step", "write - name: ...")


def _path(subject: Subject, findings: Findings) -> None:
    saga, world = subject.saga, subject.world
    node = saga.node.get("path")
    path = saga.box.get("path")
    if node is None or not isinstance(path, str):
        return
    if not path.startswith("/"):
        findings.add("SG113", node, f"the path `{path[:80]}` does not start with /", f"write /{path[:60]}")
        return
    alias = records_stream(path)
    if alias is not None:
        streams = saga.box.get("streams")
        if world.streams is not None and alias not in world.streams:
            hint = meant(alias, world.streams, f"the settings have {listed(sorted(world.streams))}")
            findings.add("SG207", node, f"the settings have no stream `{alias}`", hint)
        elif streams and alias not in streams:
            findings.add(
                "SG413",
                node,
                f"`streams` leaves out `{alias}`, whose records this path is for",
                f"add {alias} to `streams`",
            )
        elif world.streams is not None and world.streams[alias] == "http":
            findings.add(
                "SG404",
                node,
                f"`{alias}` is an HTTP stream, and /On_ paths are never served over HTTP",
                "name a stream of records",
            )
        return
    if not _PATH.fullmatch(path):
        hint = (
            "segments are of letters, digits and _ . ~ -; there are no parameters in a path: use the query or the body"
        )
        findings.add("SG113", node, f"`{path[:80]}` is not a path", hint)
    elif not {".", ".."}.isdisjoint(path.split("/")):
        findings.add("SG113", node, f"`{path[:80]}` is not a path", "clients resolve . and .. before they ask")
    else:
        taken = next((own for own in RESERVED if path == own or path.startswith(own + "/")), None)
        if taken is not None:
            findings.add("SG114", node, f"`{taken}` is a path of the runner itself", "choose another path")


def _streams(subject: Subject, findings: Findings) -> None:
    known = subject.world.streams
    if known is None:
        return
    for alias, item in _items(subject, "streams"):
        if alias not in known:
            hint = meant(alias, known, f"the settings have {listed(sorted(known))}")
            findings.add("SG207", item, f"the settings have no stream `{alias}`", hint)


def _roles(subject: Subject, findings: Findings) -> None:
    if subject.saga.box.get("roles") and subject.world.auth is False:
        hint = "set `auth`, or remove `roles`"
        findings.add(
            "SG414",
            subject.saga.node.key("roles"),
            "`auth` is not set up, so every caller is refused with 403",
            hint,
        )


def _methods(subject: Subject, findings: Findings) -> None:
    saga = subject.saga
    if "methods" not in saga.node.value and saga.active and serves_http(subject) and subject.effects:
        hint = "write `methods: [POST]`: otherwise a GET, too, starts it"
        findings.add("SG403", saga.node.key("path"), "the steps have effects, and every method may start them", hint)


def _cache(subject: Subject, findings: Findings) -> None:
    saga, cache = subject.saga, subject.saga.box.get("cache")
    if not isinstance(cache, dict) or cache.get("enabled") is False:
        return
    node = saga.node.key("cache")
    state_known(subject, cache, saga.node.get("cache"), node, findings)
    reads = {
        path
        for one in subject.reach()
        for hole in one.saga.holes
        if hole.site.mode != AT_START
        for path in hole.paths
        if path == "event" or path.startswith("event.")
    }
    if not reads:
        return
    written = saga.node.get("cache")
    if written is None or written.get("key") is None:
        hint = "write a `key` that holds what the reply depends on"
        findings.add(
            "SG228",
            node,
            "without a `key` the reply is kept by input alone, but the saga reads `event`",
            hint,
        )
        return
    key = next((hole for hole in saga.holes if hole.box is cache and hole.key == "key"), None)
    if key is None or "event" in key.paths:
        return
    lacking = [path for path in _IDENTITY if (path in reads or "event" in reads) and path not in key.paths]
    if lacking:
        hint = f"add {listed(lacking)} to it, or two callers share one reply"
        findings.add("SG412", written.get("key") or node, "the key lacks what of the caller the saga reads", hint)


def state_known(subject: Subject, cache: dict[str, Any], node: Node | None, fallback: Node, findings: Findings) -> None:
    """A finding where the state of a `cache` block is not in the settings, or its `ttl` is nothing."""
    known, state = subject.world.states, cache.get("state", "default")
    if known is not None and state not in known:
        place = (node.get("state") if node is not None else None) or fallback
        findings.add(
            "SG208",
            place,
            f"the settings have no state `{state}`",
            meant(state, known, "add it under `states`"),
        )
    if cache.get("ttl") == 0 and node is not None:
        findings.add(
            "SG105",
            node.get("ttl") or fallback,
            "0 keeps nothing",
            "write a time to live, or `enabled: false`",
        )


def _breaker(subject: Subject, findings: Findings) -> None:
    box, node = subject.saga.box.get("circuitBreaker"), subject.saga.node.get("circuitBreaker")
    if not isinstance(box, dict) or node is None:
        return
    for key in ("slowCallDurationThreshold", "waitDurationInOpenState", "noReplyTimeoutDuration"):
        if box.get(key) == 0:
            findings.add("SG105", node.get(key) or node, "0 is out of range", "it must be 1 millisecond or more")
    minimum, window = box.get("minimumNumberOfCalls"), box.get("slidingWindowSize", 100)
    if minimum is not None and minimum > window:
        hint = f"the window caps it: {window} calls decide"
        findings.add(
            "SG410",
            node.get("minimumNumberOfCalls") or node,
            f"`minimumNumberOfCalls` ({minimum}) is over `slidingWindowSize` ({window})",
            hint,
        )


def _timer(subject: Subject, findings: Findings) -> None:
    saga = subject.saga
    box, node = saga.box.get("timer"), saga.node.get("timer")
    if not isinstance(box, dict) or node is None or node.kind != MAPPING:
        return
    period, cron, zone = node.get("period"), node.get("cron"), node.get("timeZone")
    if period is None and cron is None:
        findings.add(
            "SG111",
            saga.node.key("timer"),
            "a timer needs `period` or `cron`",
            'write `period: 30`, or `cron: "*/5 * * * *"`',
        )
    elif period is not None and cron is not None:
        findings.add("SG409", node.key("period"), "`cron` is what counts; `period` is ignored", "keep one of the two")
    if cron is not None and cron.kind == TEXT and (wrong := wrong_with_cron(cron.value)):
        findings.add("SG233", cron, wrong, 'like "*/5 * * * *" (every five minutes) or "0 30 6 * * mon-fri"')
    if zone is not None and zone.kind == TEXT and not known_zone(zone.value):
        findings.add(
            "SG233",
            zone,
            f"there is no time zone `{zone.value[:80]}`",
            "an IANA name, like Europe/Berlin or UTC",
        )
    if "runners" not in saga.node.value:
        findings.add(
            "SG405",
            saga.node.key("timer"),
            "every runner that has this saga starts it",
            "write `runners: [NAME]`",
        )


def _schema(subject: Subject, findings: Findings) -> None:
    box, node = subject.saga.box.get("schema"), subject.saga.node.get("schema")
    if not isinstance(box, dict) or node is None:
        return
    if box.get("validated") is True and node.get("input") is None:
        findings.add(
            "SG111",
            node.key("validated"),
            "`validated` needs `input`",
            "write the schema that input must fit",
        )
    if box.get("mock") is True and node.get("output") is None:
        findings.add("SG111", node.key("mock"), "`mock` needs `output`", "write the schema that the reply is made from")


def _durable(subject: Subject, findings: Findings) -> None:
    box, node = subject.saga.box, subject.saga.node
    if box.get("durable") is False and box.get("respond") == "accepted":
        hint = "answer with the result, or remove `durable: false`"
        findings.add(
            "SG225",
            node.key("respond"),
            "a run that is not in the journal cannot be answered `accepted`",
            hint,
        )


def _deprecated(subject: Subject, findings: Findings) -> None:
    value = subject.saga.box.get("deprecated")
    if isinstance(value, str):
        try:
            date.fromisoformat(value)
        except ValueError:
            node = subject.saga.node.get("deprecated") or subject.saga.node
            findings.add("SG104", node, f"`{value}` is not a date", "write it like 2026-12-31")


def _timeout(subject: Subject, findings: Findings) -> None:
    box, node = subject.saga.box, subject.saga.node
    if box.get("timeout") == 0:
        findings.add("SG105", node.get("timeout") or node, "0 leaves no time", "write a duration of 1ms or more")


def _trigger_key(subject: Subject, findings: Findings) -> None:
    node = subject.saga.node.get("idempotencyKey")
    for hole in subject.saga.holes:
        if hole.site.mode == AT_START and node is not None and hole.node in (node, node.get("key")):
            for path in ("saga.runId", "saga.startedAt", "saga"):
                if path in hole.paths:
                    findings.add(
                        "SG302",
                        hole.node,
                        f"`{path}` is not known yet: the run is named by this key",
                        "use `input` or `event`",
                        offset=where(hole, path),
                    )


def _literal_payload(subject: Subject, findings: Findings) -> None:
    node = subject.saga.node.get("extraPayload")
    waiting = [] if node is None else [node]
    while waiting:
        one = waiting.pop()
        if one.kind == MAPPING:
            waiting.extend(pair[1] for pair in one.value.values())
        elif one.kind == TEXT and "${" in one.value:
            findings.add("SG415", one, "`${ }` is not evaluated in `extraPayload`", "it is taken as it is written")
        elif isinstance(one.value, list):
            waiting.extend(one.value)


def _items(subject: Subject, key: str) -> list[tuple[str, Node]]:
    """The texts of a header list, with their nodes."""
    node = subject.saga.node.get(key)
    items = node.value if node is not None and isinstance(node.value, list) else []
    return [(item.value, item) for item in items if isinstance(item.value, str)]


CHECKS: Final[tuple[Check, ...]] = (
    _steps_there,
    _path,
    _streams,
    _roles,
    _methods,
    _cache,
    _breaker,
    _timer,
    _schema,
    _durable,
    _deprecated,
    _timeout,
    _trigger_key,
    _literal_payload,
)
