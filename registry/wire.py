"""Bytes in and documents out: bounded request bodies, JSON answers, and refusals that old clients can print
too.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from registry.base.document import InvalidDocument, read_document
from registry.base.problem import Problem
from registry.base.values import Json, canonical

T = TypeVar("T")

#: Bytes of a request body that are read at most, and seconds that its sender has for it.
MAX_BODY: Final = 1_048_576
BODY_TIMEOUT: Final = 10.0
#: Nesting of a body.
DEEPEST: Final = 64

#: Items of a long answer that are made in one go.
_STRETCH: Final = 200
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|)", re.ASCII)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0}


class Refused(Exception):
    """A request is answered with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


def answer(status: int, body: Json) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def raw_answer(body: bytes) -> Response:
    """A JSON answer that is encoded already."""
    return Response(body, media_type="application/json")


async def paced(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, letting other requests in between now and then."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % _STRETCH == 0:
            await asyncio.sleep(0)


def seconds_of(member: str, text: str, most: float) -> float:
    """`30s`, `500ms`, `1m` or `30` as seconds, at most `most`. Raises `Refused`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        detail = f"{member} must be a time such as 30s, 500ms or 1m."
        raise Refused(invalid(detail, ({"pointer": f"/{member}", "detail": detail},)))
    return min(most, float(found[1]) * _UNITS[found[2]])


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
    # The connection stays open and the server swallows the rest unread: closed under a caller who is still sending, it
    # would be reset, and this answer lost.
    detail=f"The body is larger than {MAX_BODY} bytes: send less.",
)

INTERNAL: Final = Problem(
    status=500,
    code="internal",
    title="The registry failed",
    detail="The registry failed; see its log.",
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
