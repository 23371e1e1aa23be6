"""`GET /services/{name}/resolve`: which instance a call would get, and why not the others."""

from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter
from starlette.responses import Response

from registry.base.values import Json
from registry.choose import Match
from registry.listing import Listing, Wanted, record
from registry.office import Office, unknown
from registry.pages.routes import Word, route
from registry.wire import Refused, answer, invalid

Policy = Literal["round_robin", "weighted_random", "least_inflight", "consistent_hash"]


class Choices:
    """The handler."""

    def __init__(self, office: Office, next_turn: Callable[[str], int]) -> None:
        self._office = office
        self._next_turn = next_turn

    def routes(self) -> APIRouter:
        api = APIRouter(tags=["services"])
        answers = {200: ("The choice that would be made, and a reason for each instance.", "Choice")}
        route(api, "GET", "/services/{name}/resolve", self.resolve, 404, 422, answers=answers)
        return api

    async def resolve(
        self,
        name: str,
        policy: Policy = "round_robin",
        key: Word = None,
        zone: Word = None,
        capability: Word = None,
    ) -> Response:
        """A dry run: nothing is counted, the next lookup gets the same. `name` may be `name@version`."""
        wish = wish_of(name, policy=policy, key=key, zone=zone, capability=capability)
        listings = await self._office.directory.get(wish.service)
        if not listings:
            raise Refused(unknown(wish.service))
        match = self._office.chosen(listings, wish, self._next_turn(wish.service))
        return answer(200, {**_told(wish, match, listings), **self._office.stale()})


def wish_of(name: str, *, policy: Policy, key: str | None, zone: str | None, capability: str | None) -> Wanted:
    """What a request looks for. Raises `Refused` where it does not say all."""
    service, _, version = name.partition("@")
    try:
        return Wanted(
            service=service, version=version or None, capability=capability, zone=zone, policy=policy, key=key
        )
    except ValueError as wrong:
        raise Refused(invalid(str(wrong), ({"pointer": "/key", "detail": str(wrong)},))) from None


def _told(wish: Wanted, match: Match, listings: tuple[Listing, ...]) -> dict[str, Json]:
    at = {x.service_id: x for x in listings}
    return {
        "service": wish.service,
        "version": wish.version,
        "policy": wish.policy,
        "zone": wish.zone,
        "capability": wish.capability,
        "key": wish.key,
        "chosen": record(match.chosen) if match.chosen is not None else None,
        "protected": match.protected,
        "reasons": [
            {
                "service_id": reason.service_id,
                "service_url": at[reason.service_id].service_url,
                "verdict": reason.verdict,
                "detail": reason.detail,
            }
            for reason in match.reasons
        ],
    }
