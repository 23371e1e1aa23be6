"""The registry over HTTP: `/api/v1/services...` and the health pages.

Clients of the first registry of this name keep working: the flat record for a name, heartbeats and removal by
name alone (`registry.caller` says whom they mean), any refusal as JSON with a plain `error`.
"""

import logging
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Annotated, Any, Final, Literal, TypeAlias

from fastapi import APIRouter, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from registry.base.clock import Clock, iso
from registry.base.problem import Problem
from registry.base.values import Json
from registry.caller import meant
from registry.choose import ChoiceState, choose
from registry.description import REGISTRATION, refusals
from registry.directory import Directory, DirectoryFull
from registry.form import InvalidRegistration, read_registration
from registry.listing import (
    Listing,
    Wanted,
    plain_number,
    record,
)
from registry.settings import Settings
from registry.wire import BodyLimit, Refused, answer, invalid, read_json, refusal

log = logging.getLogger(__name__)

PREFIX: Final = "/api/v1"

_HEAL: Final = "register it, or register again if it was silent too long."

_Word: TypeAlias = Annotated[str | None, Query(max_length=256)]


def app(directory: Directory, settings: Settings, clock: Clock) -> FastAPI:
    """The ASGI application over `directory`; it starts nothing and holds no other state than counters."""
    made = FastAPI(
        title="Saga registry",
        version=product_version(),
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # the built-in pages load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    pages = _Pages(directory, settings, clock)
    made.include_router(_services(pages), prefix=PREFIX)
    made.include_router(_health(pages), prefix=PREFIX)
    made.include_router(_health(pages), include_in_schema=False)
    made.add_exception_handler(Refused, _refused)
    made.add_exception_handler(RequestValidationError, _invalid_query)
    made.add_exception_handler(HTTPException, _http_exception)
    made.add_exception_handler(Exception, _unexpected)
    made.add_middleware(BodyLimit)
    return made


def product_version() -> str:
    """The installed version of this distribution; `0` in a bare checkout."""
    try:
        return metadata.version("saga-runner")
    except metadata.PackageNotFoundError:
        return "0"


class _Pages:
    """The handlers."""

    def __init__(self, directory: Directory, settings: Settings, clock: Clock) -> None:
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._version = product_version()
        self._turn = -1

    async def register(self, request: Request) -> Response:
        """List an instance or renew it: 201 if it is new, 200 if it was known."""
        body = await read_json(request)
        try:
            registration = read_registration(body, default_ttl=self._settings.registration_ttl)
            done = await self._directory.register(registration)
        except InvalidRegistration as wrong:
            raise Refused(invalid(str(wrong), wrong.errors)) from None
        except DirectoryFull as full:
            raise Refused(
                Problem(
                    status=503,
                    code="directoryFull",
                    title="The directory is full",
                    detail=str(full),
                    headers={"Retry-After": plain_seconds(self._settings.registration_ttl)},
                )
            ) from None
        return answer(201 if done.new else 200, self._told(done.listing))

    async def services(
        self,
        capability: _Word = None,
        tag: _Word = None,
        zone: _Word = None,
        prefix: _Word = None,
        health: Literal["passing", "warning", "critical", "all"] = "passing",
        limit: Annotated[int | None, Query(ge=1, le=10_000)] = None,
        cursor: _Word = None,
    ) -> Response:
        """All names with their instances that fit the filters; `count` is that of all pages."""
        found: dict[str, list[Listing]] = {}
        # What expired is forgotten at once, so only living instances can be told, and all of them pass.
        everything = await self._directory.list() if health in ("passing", "all") else {}
        for name, listings in everything.items():
            fitting = [
                x
                for x in listings
                if (capability is None or capability in x.capabilities)
                and (tag is None or tag in x.tags)
                and (zone is None or zone == x.zone)
            ]
            if fitting and (prefix is None or name.startswith(prefix)):
                found[name] = fitting
        names = [name for name in found if cursor is None or name > cursor]
        page = names if limit is None else names[:limit]
        return answer(
            200,
            {
                "services": [self._grown(found[name][0], found[name]) for name in page],
                "count": len(found),
                "next": page[-1] if len(page) < len(names) else None,
            },
        )

    async def service(self, name: str, instances: Literal["only"] | None = None) -> Response:
        """The record of one instance, chosen in turn, with all `instances`; `?instances=only` gives these
        alone.
        """
        listings = await self._directory.get(name, counts=True)
        if not listings:
            raise Refused(_unknown(name))
        if instances == "only":
            return answer(200, {"instances": [record(x) for x in listings], "index": self._directory.version(name)})
        self._turn += 1
        match = choose(listings, Wanted(service=name), ChoiceState(turn=self._turn))
        return answer(200, self._grown(match.chosen or listings[0], listings))

    async def heartbeat(self, request: Request, name: str, service_id: _Word = None) -> Response:
        """Start the time to live of one instance anew."""
        one = await self._one(request, name, service_id)
        beaten = await self._directory.beat(name, one.service_id)
        if beaten is None:
            raise Refused(_unknown(name))
        return answer(200, self._told(beaten))

    async def remove(
        self,
        request: Request,
        name: str,
        service_id: _Word = None,
        all: bool = False,  # noqa: A002 - the query's name
    ) -> Response:
        """Remove the caller's instance, the one with `service_id`, or `all`."""
        if all and service_id is not None:
            raise Refused(invalid("all and service_id exclude each other: send one of the two."))
        if all:
            ids = [x.service_id for x in await self._directory.get(name)]
        else:
            ids = [(await self._one(request, name, service_id)).service_id]
        return await self._withdrawn(name, ids)

    async def instance(self, name: str, service_id: str) -> Response:
        """One instance."""
        for listing in await self._directory.get(name):
            if listing.service_id == service_id:
                return answer(200, record(listing))
        raise Refused(_unknown_instance(name, service_id))

    async def remove_instance(self, name: str, service_id: str) -> Response:
        """Remove one instance."""
        return await self._withdrawn(name, [service_id])

    async def health(self) -> Response:
        """200 as long as this process lives; the body says how it is."""
        facts = await self._directory.check()
        asked = facts.hits + facts.misses
        return answer(
            200,
            {
                "status": "unhealthy" if facts.redis == "disconnected" else "healthy",
                "service": self._settings.service_name,
                "version": self._version,
                "redis": facts.redis,
                "cache": {
                    "size": facts.size,
                    "hits": facts.hits,
                    "misses": facts.misses,
                    "hit_ratio": facts.hits / asked if asked else 0.0,
                    "last_refresh": iso(facts.last_refresh),
                },
            },
        )

    async def live(self) -> Response:
        """200 as long as this process answers."""
        return answer(200, {"status": "alive", "timestamp": iso(self._clock.now())})

    async def ready(self) -> Response:
        """200 once lookups can be answered; the embedded directory can from the start."""
        return answer(200, {"status": "ready", "timestamp": iso(self._clock.now())})

    async def _one(self, request: Request, name: str, service_id: str | None) -> Listing:
        listings = await self._directory.get(name)
        address = request.client.host if request.client is not None else ""
        one = meant(listings, service_id=service_id, address=address)
        if one is not None:
            return one
        if not listings:
            raise Refused(_unknown(name))
        if service_id is not None:
            raise Refused(_unknown_instance(name, service_id))
        raise Refused(
            Problem(
                status=409,
                code="ambiguousInstance",
                title="More than one instance could be meant",
                detail=f"{name} has {len(listings)} instances, and the caller's address does not say which"
                " is meant: name it with ?service_id=.",
                extra={"instances": [record(x) for x in listings]},
            )
        )

    async def _withdrawn(self, name: str, ids: list[str]) -> Response:
        removed = await self._directory.withdraw(name, ids)
        if not removed:
            raise Refused(_unknown_instance(name, ids[0]) if ids else _unknown(name))
        log.info("removed %d of %s: %s", len(removed), name, ", ".join(x.service_id for x in removed))
        return answer(200, {"service_name": name, "removed": [record(x) for x in removed]})

    def _grown(self, one: Listing, listings: list[Listing] | tuple[Listing, ...]) -> Json:
        """The flat record that old clients read, with what they do not know beside it."""
        return {
            **record(one),
            "instances": [record(x) for x in listings],
            "index": self._directory.version(one.service_name),
        }

    def _told(self, listing: Listing) -> Json:
        """The record with the seconds between heartbeats; shorter than usual for an instance with a short
        life.
        """
        interval = self._settings.heartbeat_interval
        if listing.ttl != self._settings.registration_ttl:
            interval = min(interval, listing.ttl / 2)
        return {**record(listing), "heartbeat_interval": plain_number(interval)}


def _services(pages: _Pages) -> APIRouter:
    api = APIRouter(tags=["services"])
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": REGISTRATION}}}}
    new = {201: {"description": "The instance is new."}, **refusals(408, 413, 422, 503)}
    _route(api, "POST", "/services/register", pages.register, openapi_extra=body, responses=new)
    _route(api, "GET", "/services", pages.services, responses=refusals(422))
    _route(api, "GET", "/services/{name}", pages.service, responses=refusals(404, 422))
    _route(api, "DELETE", "/services/{name}", pages.remove, responses=refusals(404, 409, 413, 422))
    _route(api, "POST", "/services/{name}/heartbeat", pages.heartbeat, responses=refusals(404, 409, 413, 422))
    one = "/services/{name}/instances/{service_id}"
    _route(api, "GET", one, pages.instance, responses=refusals(404, 422))
    _route(api, "DELETE", one, pages.remove_instance, responses=refusals(404, 413, 422))
    return api


def _health(pages: _Pages) -> APIRouter:
    api = APIRouter(tags=["health"])
    _route(api, "GET", "/health", pages.health)
    _route(api, "GET", "/health/live", pages.live)
    _route(api, "GET", "/health/ready", pages.ready)
    return api


def _route(api: APIRouter, method: str, path: str, handler: Callable[..., Awaitable[Response]], **more: Any) -> None:
    api.add_api_route(path, handler, methods=[method], response_model=None, **more)


def plain_seconds(seconds: float) -> str:
    """Whole seconds for a header, at least one."""
    return str(max(1, round(seconds)))


def _unknown(name: str) -> Problem:
    return Problem(
        status=404,
        code="serviceNotFound",
        title="The service is not registered",
        detail=f"No live instance of {name} is registered: {_HEAL}",
    )


def _unknown_instance(name: str, service_id: str) -> Problem:
    return Problem(
        status=404,
        code="instanceNotFound",
        title="The instance is not registered",
        detail=f"{name} has no live instance {service_id}: {_HEAL}",
    )


async def _refused(_request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    return refusal(refused.problem)


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
    return refusal(
        Problem(
            status=500,
            code="internal",
            title="The registry failed",
            detail="The registry failed; see its log.",
        )
    )
