"""`/services`: registering, finding, beating and leaving by a service's name."""

import logging
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from registry.base.problem import Problem
from registry.caller import meant
from registry.description import REGISTRATION
from registry.directory import DirectoryFull
from registry.form import InvalidRegistration, admitted
from registry.listing import Listing, record
from registry.office import Office, grown, may_write, unknown, unknown_instance
from registry.pages.routes import Word, address_of, caller_of, route, who
from registry.tokens import Caller
from registry.wire import Refused, answer, invalid, paced, raw_answer, read_json

log = logging.getLogger(__name__)

Health = Literal["passing", "warning", "critical", "all"]


class Services:
    """The handlers."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._directory = office.directory

    def routes(self) -> APIRouter:
        api = APIRouter(tags=["services"])
        route(
            api,
            "POST",
            "/services/register",
            self.register,
            *(408, 413, 422, 503),
            answers={201: ("The instance is new.", "Told"), 200: ("It was known, and is renewed.", "Told")},
            body=REGISTRATION,
        )
        route(api, "GET", "/services", self.services, 422, answers={200: ("All services, by name.", "Services")})
        route(
            api,
            "POST",
            "/services/{name}/heartbeat",
            self.heartbeat,
            *(404, 408, 409, 413, 422, 503),
            answers={200: ("The time to live starts anew.", "Told")},
        )
        route(
            api,
            "DELETE",
            "/services/{name}",
            self.remove,
            *(404, 408, 409, 413, 422, 503),
            answers={200: ("These are gone.", "Removed")},
        )
        return api

    async def register(self, request: Request) -> Response:
        """List an instance or renew it: 201 if it is new, 200 if it was known."""
        office = self._office
        body = await read_json(request)
        by = who(request)
        try:
            registration = await admitted(body, default_ttl=office.settings.registration_ttl, networks=office.networks)
            may_write(caller_of(request), registration.service_name)
            done = await self._directory.register(registration, by=by)
        except InvalidRegistration as wrong:
            raise Refused(invalid(str(wrong), wrong.errors)) from None
        except DirectoryFull as full:
            raise Refused(
                Problem(
                    status=503,
                    code="directoryFull",
                    title="The directory is full",
                    detail=str(full),
                    headers={"Retry-After": str(max(1, round(office.settings.registration_ttl)))},
                )
            ) from None
        listing = done.listing
        if done.new:
            log.info("%s registered %s at %s as %s", by, listing.service_name, listing.service_url, listing.service_id)
        return answer(201 if done.new else 200, office.told(listing))

    async def services(
        self,
        capability: Word = None,
        tag: Word = None,
        zone: Word = None,
        prefix: Word = None,
        health: Health = "all",
        limit: Annotated[int | None, Query(ge=1, le=10_000)] = None,
        cursor: Word = None,
    ) -> Response:
        """All names with their instances that fit the filters; `count` is that of all pages."""
        found = await self.fitting(capability=capability, tag=tag, zone=zone, prefix=prefix, health=health)
        names = [name for name in found if cursor is None or name > cursor]
        page = names if limit is None else names[:limit]
        index = {name: self._directory.version(name) for name in page}  # now: it must not be newer than what is told
        told = [msgspec.json.encode(grown(found[x][0], found[x], index[x])) async for x in paced(page)]
        rest = {"count": len(found), "next": page[-1] if len(page) < len(names) else None, **self._office.stale()}
        return raw_answer(b'{"services":[%b],%b' % (b",".join(told), msgspec.json.encode(rest)[1:]))

    async def fitting(
        self, *, capability: str | None, tag: str | None, zone: str | None, prefix: str | None, health: Health
    ) -> dict[str, list[Listing]]:
        """The instances that fit the filters by name, sorted by name."""
        found = {}
        for name, listings in (await self._directory.list()).items():
            fitting = [
                x
                for x in listings
                if (capability is None or capability in x.capabilities)
                and (tag is None or tag in x.tags)
                and (zone is None or zone == x.zone)
                and (health in ("all", x.health))
            ]
            if fitting and (prefix is None or name.startswith(prefix)):
                found[name] = fitting
        return found

    async def heartbeat(self, request: Request, name: str, service_id: Word = None) -> Response:
        """Start the time to live of one instance anew."""
        return raw_answer(await self.beaten(caller_of(request), name, service_id, address_of(request)))

    async def beaten(self, caller: Caller, name: str, service_id: str | None, address: str) -> bytes:
        """What a heartbeat is answered with. Raises `Refused`."""
        may_write(caller, name)
        listings = self._directory.snapshot(name) or await self._directory.get(name)
        one = self._one(listings, name, service_id, address)
        beaten = await self._directory.beat(name, one.service_id)
        if beaten is None:
            raise self._office.absent(unknown(name))
        return msgspec.json.encode(self._office.told(beaten))

    async def remove(
        self,
        request: Request,
        name: str,
        service_id: Word = None,
        all: bool = False,  # noqa: A002 - the query's name
    ) -> Response:
        """Remove the caller's instance, the one with `service_id`, or `all`."""
        if all and service_id is not None:
            raise Refused(invalid("all and service_id exclude each other: send one of the two."))
        may_write(caller_of(request), name)
        listings = await self._directory.get(name)
        if all:
            ids = [x.service_id for x in listings]
        else:
            ids = [self._one(listings, name, service_id, address_of(request)).service_id]
        return await self.withdrawn(request, name, ids)

    async def withdrawn(self, request: Request, name: str, ids: list[str]) -> Response:
        """Remove these instances."""
        by = who(request)
        removed = await self._directory.withdraw(name, ids, by=by)
        if not removed:
            raise self._office.absent(unknown_instance(name, ids[0]) if ids else unknown(name))
        log.info("%s removed %d of %s: %s", by, len(removed), name, ", ".join(x.service_id for x in removed))
        return answer(200, {"service_name": name, "removed": [record(x) for x in removed]})

    def _one(self, listings: Sequence[Listing], name: str, service_id: str | None, address: str) -> Listing:
        one = meant(listings, service_id=service_id, address=address)
        if one is not None:
            return one
        if not listings:
            raise self._office.absent(unknown(name))
        if service_id is not None:
            raise self._office.absent(unknown_instance(name, service_id))
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
