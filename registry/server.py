"""The registry over HTTP: `/api/v1/services...`, the audit log, the health pages and the figures.

Clients of the first registry of this name keep working: the flat record for a name, heartbeats and removal by
name alone (`registry.caller` says whom they mean), any refusal as JSON with a plain `error`.
"""

from collections.abc import Iterable

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from registry.base.problem import Problem
from registry.directory import DirectoryAway
from registry.door import PREFIX, Door
from registry.office import Office, away
from registry.pages.audits import Audits
from registry.pages.changes import Changes
from registry.pages.choices import Choices
from registry.pages.discovery import Discovery
from registry.pages.health import Health
from registry.pages.instances import Instances
from registry.pages.lookups import Lookups
from registry.pages.services import Services
from registry.wire import INTERNAL, Refused, invalid, refusal


def app(office: Office) -> ASGIApp:
    """The ASGI application; it starts nothing."""
    made = FastAPI(
        title="Saga registry",
        version=office.version,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # the built-in pages load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    services, lookups = Services(office), Lookups(office)
    # In this order, because a name could be taken for `watch`.
    for router in _routers(office, services, lookups):
        made.include_router(router, prefix=PREFIX)
    made.include_router(Health(office).routes(), include_in_schema=False)
    made.add_exception_handler(Refused, _refused)
    made.add_exception_handler(DirectoryAway, _away)
    made.add_exception_handler(RequestValidationError, _invalid_query)
    made.add_exception_handler(HTTPException, _http_exception)
    made.add_exception_handler(Exception, _unexpected)
    return Door(made, office, services, lookups)


def _routers(office: Office, services: Services, lookups: Lookups) -> Iterable[APIRouter]:
    yield services.routes()
    yield Changes(office).routes()
    yield Discovery(office, services).routes()
    yield lookups.routes()
    yield Choices(office, lookups.next_turn).routes()
    yield Instances(office, services).routes()
    yield Audits(office).routes()
    yield Health(office).routes()


async def _refused(_request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    return refusal(refused.problem)


async def _away(_request: Request, reason: Exception) -> Response:
    assert isinstance(reason, DirectoryAway)
    return refusal(away(reason))


async def _invalid_query(_request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, RequestValidationError)
    errors = tuple(
        {"pointer": "/" + "/".join(map(str, x["loc"][1:])), "detail": f"{x['loc'][-1]}: {x['msg']}."}
        for x in wrong.errors()
    )
    return refusal(invalid(" ".join(error["detail"] for error in errors), errors))


async def _http_exception(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, HTTPException)
    return refusal(
        Problem(
            status=refused.status_code,
            code={404: "notFound", 405: "methodNotAllowed"}.get(refused.status_code, "refused"),
            title=refused.detail,
            detail=f"{request.method} {request.url.path}: {refused.detail}.",
            headers=dict(refused.headers or {}),
        )
    )


async def _unexpected(_request: Request, _failure: Exception) -> Response:
    # The server logs the failure with its stack; the caller learns nothing internal.
    return refusal(INTERNAL)
