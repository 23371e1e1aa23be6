"""`/services/{name}/instances/{id}`: one instance, and what an operator says about it."""

from collections.abc import Mapping

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from registry.base.values import Json
from registry.description import CHANGE
from registry.form import InvalidRegistration, read_change
from registry.listing import Listing, record
from registry.office import Office, may_write, unknown_instance
from registry.pages.routes import caller_of, route, who
from registry.pages.services import Services
from registry.wire import Refused, answer, invalid, read_json

_ONE = "/services/{name}/instances/{service_id}"


class Instances:
    """The handlers."""

    def __init__(self, office: Office, services: Services) -> None:
        self._office = office
        self._services = services

    def routes(self) -> APIRouter:
        api = APIRouter(tags=["instances"])
        one = {200: ("The instance.", "Instance")}
        writes = (404, 408, 413, 422, 503)
        route(api, "GET", _ONE, self.instance, 404, 422, answers=one)
        route(api, "PATCH", _ONE, self.patch, *writes, answers=one, body=CHANGE)
        route(api, "DELETE", _ONE, self.remove, *writes, answers={200: ("It is gone.", "Removed")})
        route(api, "POST", f"{_ONE}/drain", self.drain, *writes, answers=one)
        route(api, "POST", f"{_ONE}/enable", self.enable, *writes, answers=one)
        return api

    async def instance(self, name: str, service_id: str) -> Response:
        """One instance."""
        for listing in await self._office.directory.get(name):
            if listing.service_id == service_id:
                return answer(200, {**_told(listing), **self._office.stale()})
        raise Refused(unknown_instance(name, service_id))

    async def patch(self, request: Request, name: str, service_id: str) -> Response:
        """Set members of an instance above what it registers with; null gives one back to it."""
        may_write(caller_of(request), name)
        body = await read_json(request)
        try:
            members = await read_change(body, networks=self._office.networks)
        except InvalidRegistration as wrong:
            raise Refused(invalid(str(wrong), wrong.errors)) from None
        return await self._change(request, name, service_id, members)

    async def remove(self, request: Request, name: str, service_id: str) -> Response:
        """Remove one instance."""
        may_write(caller_of(request), name)
        return await self._services.withdrawn(request, name, [service_id])

    async def drain(self, request: Request, name: str, service_id: str) -> Response:
        """Give it no new calls until it is enabled again, however often it registers."""
        may_write(caller_of(request), name)
        return await self._change(request, name, service_id, {"drained": True})

    async def enable(self, request: Request, name: str, service_id: str) -> Response:
        """Take it out of draining."""
        may_write(caller_of(request), name)
        return await self._change(request, name, service_id, {"drained": None})

    async def _change(self, request: Request, name: str, service_id: str, members: Mapping[str, Json]) -> Response:
        done = await self._office.directory.change(name, service_id, members, by=who(request))
        if done is None or (done.before == done.after and self._office.directory.stale()):
            raise self._office.absent(unknown_instance(name, service_id))
        return answer(200, _told(done.after))


def _told(listing: Listing) -> dict[str, Json]:
    """The record with what the instance itself sent for the members that an operator has set."""
    return {**record(listing), "overridden": listing.overridden}
