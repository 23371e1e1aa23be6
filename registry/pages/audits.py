"""`GET /audit`: who wrote what."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from registry.base.clock import iso
from registry.office import Office, forbidden
from registry.pages.routes import caller_of, route
from registry.wire import Refused, answer


class Audits:
    """The handler."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> APIRouter:
        api = APIRouter(tags=["audit"])
        route(api, "GET", "/audit", self.audit, 422, 503, answers={200: ("The newest first.", "Audit")})
        return api

    async def audit(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        """Every write but heartbeats: who, what, the instance before and after. `before`: the id of the oldest entry
        seen, for the next page.
        """
        caller = caller_of(request)
        if not caller.admin:
            raise Refused(forbidden(f"{caller.name} may not read the audit log: that takes admin."))
        found = await self._office.directory.audits(limit=limit, before=before)
        return answer(200, {"entries": [{**asdict(each), "at": iso(each.at)} for each in found]})
