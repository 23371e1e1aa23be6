"""Bytes in and documents out: bounded request bodies, JSON answers, and refusals that old clients can print
too.
"""

import asyncio
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from registry.base.document import InvalidDocument, read_document
from registry.base.problem import Problem
from registry.base.values import Json, canonical

#: Bytes of a request body that are read at most, and seconds that its sender has for it.
MAX_BODY: Final = 1_048_576
BODY_TIMEOUT: Final = 10.0
#: Nesting of a body.
DEEPEST: Final = 64


class Refused(Exception):
    """A request is answered with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


def answer(status: int, body: Json) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def refusal(problem: Problem) -> Response:
    """The problem document with the plain text `error` beside it."""
    body = {**problem.body(), "error": problem.detail or problem.title}
    return Response(canonical(body), problem.status, problem.headers, media_type="application/problem+json")


def invalid(detail: str, errors: tuple[dict[str, str], ...] = ()) -> Problem:
    """422: the request as a whole cannot be used; `errors` says where."""
    return Problem(status=422, code="invalid", title="The request is not valid", detail=detail, errors=errors)


TOO_LARGE: Final = Problem(
    status=413,
    code="tooLarge",
    title="The body is too large",
    detail=f"The body is larger than {MAX_BODY} bytes: send less.",
    headers={"Connection": "close"},
)


async def read_json(request: Request) -> Json:
    """The body as JSON. Raises `Refused`: 413 above `MAX_BODY`, 408 if it comes too slowly, 422 if it is no
    JSON.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise Refused(TOO_LARGE)
    except TimeoutError:
        raise Refused(
            Problem(
                status=408,
                code="slowBody",
                title="The body came too slowly",
                detail=f"The body was not complete after {BODY_TIMEOUT:g} s: send it at once.",
                headers={"Connection": "close"},
            )
        ) from None
    try:
        return read_document(bytes(body), deepest=DEEPEST)
    except InvalidDocument as wrong:
        raise Refused(invalid(f"The body {wrong}.", ({"pointer": "", "detail": f"The body {wrong}."},))) from None


class BodyLimit:
    """Refuses what declares a body above `MAX_BODY`, on every path and before anything is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"content-length" and value.isdigit() and int(value[:32]) > MAX_BODY:
                    await refusal(TOO_LARGE)(scope, receive, send)
                    return
        await self._app(scope, receive, send)
