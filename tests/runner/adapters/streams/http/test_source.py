"""The ASGI handler itself: which prefix, which headers, what a body may be, and that nothing becomes a bare 500."""

import asyncio
from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest

from registry.base.clock import ManualClock
from runner.adapters.streams.http.source import HttpSource
from tests.runner.engine.door import Door, door
from tests.support.asgi import ask

pytestmark = pytest.mark.anyio

ECHO = """
id: echo
path: /echo
methods: [GET, POST]
durable: false
steps:
  - name: told
    set: {input: "${ input }", stream: "${ event.stream }", headers: "${ event.headers }"}
"""
PARTNERS = ECHO.replace("id: echo", "id: inner").replace("/echo", "/inner")


async def ours(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """A management application that tells what it was given."""
    event = await receive() if scope["method"] == "POST" else {}
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": event.get("body", b"")})


def source(at: Door, *, prefixes: Mapping[str, str] | None = None, max_body: int = 1_000) -> HttpSource:
    return HttpSource(
        dispatcher=at.dispatcher,
        management=ours,
        streams=prefixes or {"http": ""},
        clock=ManualClock(),
        max_body=max_body,
    )


async def test_the_longest_prefix_that_matches_is_the_stream() -> None:
    prefixes = {"http": "", "placed": "/partners"}
    async with door(ECHO, PARTNERS) as at:
        app = source(at, prefixes=prefixes)
        assert (await ask(app)).json["stream"] == "http"
        assert (await ask(app, "POST", "/partners/inner")).json["stream"] == "placed"
        assert (await ask(app, "POST", "/partnersinner")).status == 404
        assert (await ask(app, "POST", "/partners/partners/inner")).status == 404


async def test_without_a_stream_of_the_empty_prefix_other_paths_are_nobodys() -> None:
    async with door(ECHO) as at:
        app = source(at, prefixes={"http": "/shop"})
        assert (await ask(app)).status == 404
        assert (await ask(app, "POST", "/shop/echo")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/shop/nothing", b"{}", 404),
        ("POST", "/elsewhere", b"{}", 404),
        ("PUT", "/shop/echo", b"{}", 405),
        ("POST", "/shop/echo", b"{a", 400),
        ("POST", "/shop/echo", b'"a body that is longer than fifty bytes, as it says"', 413),
        ("POST", "/shop/echo", b"[1]", 422),
        ("POST", "/api/v1/runs/x/cancel", b"{a", 400),
    ],
)
async def test_every_problem_says_what_it_is_and_at_which_path(
    method: str, path: str, body: bytes, status: int
) -> None:
    async with door(ECHO + "extraPayload: {a: 1}\n") as at:
        got = await ask(source(at, prefixes={"http": "/shop"}, max_body=50), method, path, body)
    assert (got.status, got.json["status"], got.json["instance"]) == (status, status, path)
    assert all(got.json[member] for member in ("type", "title", "detail", "code"))


async def test_credentials_are_not_for_sagas() -> None:
    headers = {"Authorization": "Bearer x", "Cookie": "a=b", "Proxy-Authorization": "x", "Accept-Language": "en"}
    async with door(ECHO) as at:
        told = (await ask(source(at), headers=headers)).json["headers"]
    assert told["accept_language"] == "en"
    assert told.keys().isdisjoint({"authorization", "cookie", "proxy_authorization"})


async def test_a_body_in_parts_is_one_body() -> None:
    async with door(ECHO) as at:
        assert (await ask(source(at), "POST", "/echo", b'{"a"', b":", b"1}")).json["input"] == {"a": 1}


async def test_a_body_that_grows_over_the_limit_is_a_413_without_reading_on() -> None:
    async with door(ECHO) as at:
        app = source(at, max_body=10)
        assert (await ask(app, "POST", "/echo", b'"12345', b'67890"', b"never read")).status == 413
        assert (await ask(app, "POST", "/echo", b'"12345678"')).status == 200


async def test_a_body_that_says_it_is_too_large_is_not_read_at_all() -> None:
    async with door(ECHO) as at:
        assert (await ask(source(at), headers={"Content-Length": "1001"})).status == 413


async def test_a_caller_who_leaves_before_the_end_of_a_body_starts_nothing() -> None:
    async with door(ECHO) as at:
        assert (await ask(source(at), "POST", "/echo", b'{"a":1}', leaves=True)).status == 400


async def test_a_get_reads_its_query_and_never_its_body() -> None:
    async with door(ECHO) as at:
        got = await ask(source(at), "GET", "/echo", b"{bad", query=b"a=1&a=2&b=%20")
        assert got.json["input"] == {"a": ["1", "2"], "b": " "}


@pytest.mark.parametrize("query", [b"a=%ff", b"&".join(b"a=%d" % at for at in range(1_001)), b"a=\xff"])
async def test_a_query_that_cannot_be_read_is_a_400(query: bytes) -> None:
    async with door(ECHO) as at:
        assert (await ask(source(at), "GET", "/echo", query=query)).status == 400


async def test_head_has_the_length_of_get_and_no_body() -> None:
    async with door(ECHO) as at:
        head, get = await ask(source(at), "HEAD"), await ask(source(at), "GET")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) == len(get.body)


@pytest.mark.parametrize(
    ("prefer", "status"),
    [
        ("respond-async", 202),
        ("Respond-Async; x=y", 202),
        ("wait=0", 202),
        ("wait=20", 200),
        ("wait=x", 200),
        ("handling=lenient", 200),
        ("respond-async, wait=20", 200),
    ],
)
async def test_what_is_preferred_is_done_and_what_is_not_known_ignored(prefer: str, status: int) -> None:
    text = "id: a\npath: /a\nmethods: [POST]\nsteps:\n  - name: one\n    call: {service: backend, path: /x, body: 1}\n"
    async with door(text, closed=True) as at:
        asking = asyncio.create_task(ask(source(at), "POST", "/a", headers={"Prefer": prefer}))
        await at.service.asked.wait()
        if status == 200:
            at.service.gate.set()
        assert (await asking).status == status
        at.service.gate.set()


@pytest.mark.parametrize("path", ["/api/v1/runs", "/health", "/ready", "/docs", "/metrics", "/console/x"])
async def test_reserved_paths_go_to_the_management_application(path: str) -> None:
    async with door(ECHO) as at:
        assert (await ask(source(at), "GET", path)).status == 299


async def test_the_management_application_gets_a_body_as_it_was_sent_within_the_same_limits() -> None:
    async with door(ECHO) as at:
        app = source(at, max_body=10)
        assert (await ask(app, "POST", "/api/x", b'{"a"', b":1}")).body == b'{"a":1}'
        assert (await ask(app, "POST", "/api/x", b"{bad")).status == 400
        assert (await ask(app, "POST", "/api/x", b'"12345678901"')).status == 413


async def test_a_fault_of_ours_is_a_problem_document_and_tells_nothing() -> None:
    async with door(ECHO) as at:
        app = source(at)
        app.streams = None  # type: ignore[assignment]  # a fault of ours
        got = await ask(app)
    assert got.status == 500
    assert got.headers["content-type"] == "application/problem+json"
    assert got.json["code"] == "internal"
    assert b"NoneType" not in got.body
