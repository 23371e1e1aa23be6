"""How a route is declared, so that the API description says all that a request may be answered with."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from registry.description import document, refusals
from registry.tokens import ANYBODY, Caller

#: A short text in a query.
Word: TypeAlias = Annotated[str | None, Query(max_length=256)]

#: What any request may be refused with: no token, not its scope, a fault of ours.
_ALWAYS = (401, 403, 500)


def route(
    api: APIRouter,
    method: str,
    path: str,
    handler: Callable[..., Awaitable[Response]],
    *refused: int,
    answers: Mapping[int, tuple[str, ...]],
    open_: bool = False,
    body: dict[str, Any] | None = None,
    **more: Any,
) -> None:
    """Add a route. `answers`: status to a sentence and the names of its documents; `refused`: the other statuses;
    `open_`: no token is asked for; `body`: the schema of its JSON body.
    """
    told: dict[int | str, dict[str, Any]] = {
        status: {"description": text, **document(*names)} for status, (text, *names) in answers.items()
    }
    if body is not None:
        more["openapi_extra"] = {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}}
    api.add_api_route(
        path,
        handler,
        methods=[method],
        status_code=next(iter(answers)),
        response_model=None,
        responses={**told, **refusals(*refused, *((500,) if open_ else _ALWAYS))},
        **more,
    )


def caller_of(request: Request) -> Caller:
    """Who asks; the door has made sure of it."""
    caller: Caller = request.scope.get("saga.caller", ANYBODY)
    return caller


def address_of(request: Request) -> str:
    """The caller's IP address."""
    return request.client.host if request.client is not None else ""


def who(request: Request) -> str:
    """The caller as the audit log has it."""
    return f"{caller_of(request).name}@{address_of(request)}"
