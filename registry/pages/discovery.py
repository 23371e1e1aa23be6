"""`GET /services/sd/prometheus`: every instance as a target, in the document of Prometheus' http_sd."""

from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.responses import Response

from registry.base.values import Json
from registry.listing import Listing
from registry.office import Office
from registry.pages.routes import Word, route
from registry.pages.services import Health, Services
from registry.wire import answer, paced

_PORTS: Final = {"http": 80, "https": 443}


class Discovery:
    """The handler."""

    def __init__(self, office: Office, services: Services) -> None:
        self._office = office
        self._services = services

    def routes(self) -> APIRouter:
        api = APIRouter(tags=["services"])
        route(api, "GET", "/services/sd/prometheus", self.targets, 422, answers={200: ("The targets.", "Targets")})
        return api

    async def targets(
        self,
        capability: Word = None,
        tag: Word = None,
        zone: Word = None,
        prefix: Word = None,
        health: Health = "all",
    ) -> Response:
        """One group of targets for each instance; a `grpc` address is no target of Prometheus."""
        found = await self._services.fitting(capability=capability, tag=tag, zone=zone, prefix=prefix, health=health)
        targets = (x for listings in found.values() for x in listings if _scheme(x) in _PORTS)
        return answer(200, [_group(x) async for x in paced(targets)])


def _scheme(listing: Listing) -> str:
    return urlsplit(listing.service_url).scheme


def _group(listing: Listing) -> Json:
    parts = urlsplit(listing.service_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    labels = {
        "__scheme__": parts.scheme,
        "service": listing.service_name,
        "service_id": listing.service_id,
        "zone": listing.zone,
        "version": listing.version,
        "__meta_saga_health": listing.health,
        "__meta_saga_drained": str(listing.drained).lower(),
        "__meta_saga_capabilities": f",{','.join(listing.capabilities)}," if listing.capabilities else None,
        "__meta_saga_tags": f",{','.join(listing.tags)}," if listing.tags else None,
        "__meta_saga_path": parts.path or None,
    }
    path = listing.metadata.get("metrics_path")
    if isinstance(path, str) and path.startswith("/"):
        labels["__metrics_path__"] = path
    return {
        "targets": [f"{host}:{parts.port or _PORTS[parts.scheme]}"],
        "labels": {name: value for name, value in labels.items() if value is not None},
    }
