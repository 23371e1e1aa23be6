"""One service's HTTP face: reads a request, has the ledger answer it, and sends the answer.

Whatever is sent, the answer is JSON, with a `reason` where it is a no: 400 (not JSON, a bad key), 413 (too
much), 422 (another shape; a key used for something else), never a 500.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from registry.base.values import Json, canonical, digest
from runner.shop.ledger import Asked, Ledger, Rule
from runner.shop.trade import Nothing, Way, refused

#: Largest request body, bytes.
MOST_BYTES: Final = 1 << 20
#: `GET /requests?limit=`: when nothing is said, and at most.
LATEST: Final = 1_000
MOST_LATEST: Final = 10_000

_KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")

#: Waits before a late answer is sent.
Pause = Callable[[], Awaitable[None]]


def desk(service: str, ways: tuple[Way[Any], ...], ledger: Ledger, pause: Pause) -> Starlette:
    """The ASGI application of one service: its `ways`, and `GET /effects`, `/requests`, `/health`."""

    async def effects(_: Request) -> Response:
        return _json(200, {"effects": await ledger.effects(service)})

    async def requests(request: Request) -> Response:
        told = request.query_params.get("limit", str(LATEST))
        if not re.fullmatch(r"[0-9]{1,6}", told) or not 1 <= int(told) <= MOST_LATEST:
            return _json(422, {"reason": f"limit must be a number from 1 to {MOST_LATEST}"})
        return _json(200, {"requests": await ledger.requests(service, int(told))})

    async def health(_: Request) -> Response:
        return _json(200, {"status": "healthy", "service": service})

    return Starlette(
        routes=[
            Route("/effects", effects, methods=["GET"]),
            Route("/requests", requests, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            *(Route(way.path, _endpoint(service, way, ledger, pause), methods=[way.method]) for way in ways),
        ],
        exception_handlers={HTTPException: _no_such_thing},
    )


def _endpoint(service: str, way: Way[Any], ledger: Ledger, pause: Pause) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            raw = await _body(request)
        except ClientDisconnect:
            return _json(400, {"reason": "the connection was lost before the body was complete"})
        key = request.headers.get("idempotency-key", "")
        path: str = request.scope["path"]
        asked = Asked(
            service=service,
            method=way.method,
            path=path,
            # A question may have another answer each time, so its key keeps nothing; nor does an unfit one.
            key=key if way.method != "GET" and _KEY.fullmatch(key) else "",
            run=request.headers.get("x-saga-run", "")[:200],
            digest=digest(f"{way.method} {path}\n".encode() + (raw or b"")),
        )
        answer = await ledger.answer(asked, _rule(way, request.path_params, raw, key))
        if answer.late:
            await pause()
        return _json(answer.status, answer.body)

    return endpoint


def _rule(way: Way[Any], parts: Mapping[str, str], raw: bytes | None, key: str) -> Rule:
    """What the ledger is to do: the way's own rule on the body, or the answer to what is wrong with it."""
    if raw is None:
        return _no(413, f"the body is larger than {MOST_BYTES} bytes")
    if key and not _KEY.fullmatch(key):
        return _no(400, "Idempotency-Key must be 1 to 128 of A-Z a-z 0-9 . _ -, without quotes")
    body: Any = Nothing()
    if way.body is not None:
        try:
            body = msgspec.json.decode(raw, type=way.body)
        except msgspec.ValidationError as e:
            return _no(422, str(e))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            return _no(400, f"the body is not JSON: {e}")
    return lambda books: way.rule(books, parts, body)


def _no(status: int, reason: str) -> Rule:
    """To a request that was never understood: its key stays free for the mended one."""
    return lambda _: replace(refused(status, reason), kept=False)


async def _body(request: Request) -> bytes | None:
    """The body; None where it is larger than `MOST_BYTES`. Raises ClientDisconnect."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


async def _no_such_thing(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = "there is nothing at this path" if error.status_code == 404 else error.detail
    response = _json(error.status_code, {"reason": reason})
    response.headers.update(error.headers or {})
    return response


def _json(status: int, body: Json) -> Response:
    return Response(canonical(body), status_code=status, media_type="application/json")
