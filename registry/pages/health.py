"""How the registry is: for people and probes, for the first registry's scripts, and for Prometheus."""

from typing import Annotated

from fastapi import APIRouter, Header
from starlette.responses import Response

from registry.base.clock import iso
from registry.figures import wants_figures
from registry.office import Office
from registry.pages.routes import route
from registry.wire import answer


class Health:
    """The handlers; each answers at the root and under the prefix."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> APIRouter:
        api = APIRouter(tags=["health"])
        health = {200: ("How the registry is; Prometheus text where `Accept` names it.", "Health", "figures")}
        route(api, "GET", "/health", self.health, answers=health, open_=True)
        route(api, "GET", "/health/live", self.live, answers={200: ("It answers.", "State")}, open_=True)
        ready = {200: ("Lookups can be answered.", "State"), 503: ("Not yet.", "State")}
        route(api, "GET", "/health/ready", self.ready, answers=ready, open_=True)
        figures = {200: ("The figures in a text format of Prometheus.", "figures")}
        route(api, "GET", "/metrics", self.metrics, answers=figures, open_=True)
        return api

    async def health(self, accept: Annotated[str, Header()] = "") -> Response:
        """200 as long as this process lives; the body says how it is."""
        if wants_figures(accept):
            return await self.metrics(accept)
        office = self._office
        facts = await office.directory.check()
        asked = facts.hits + facts.misses
        return answer(
            200,
            {
                "status": "unhealthy" if facts.redis == "disconnected" else "healthy",
                "service": office.settings.service_name,
                "version": office.version,
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
        return self._state(200, "alive")

    async def ready(self) -> Response:
        """200 once lookups can be answered."""
        return self._state(200, "ready") if self._office.directory.facts().warm else self._state(503, "not ready")

    async def metrics(self, accept: Annotated[str, Header()] = "") -> Response:
        """The figures for Prometheus."""
        body, kind = self._office.figures.text(accept)
        return Response(body, media_type=None, headers={"content-type": kind})

    def _state(self, status: int, word: str) -> Response:
        return answer(status, {"status": word, "timestamp": iso(self._office.clock.now())})
