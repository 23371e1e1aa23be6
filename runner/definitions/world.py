"""What definitions are checked against: the settings of the runner that will serve them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from registry.base.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Names that the settings give. None: not known, so not checked."""

    #: Name of the runner.
    runner: str | None = None
    #: Stream alias -> type (`http`, `kafka`, `inprocess`).
    streams: Mapping[str, str] | None = None
    #: Aliases of states.
    states: frozenset[str] | set[str] | None = None
    #: Retry policies by name, as they are written.
    retries: Mapping[str, Json] | None = None
    vars: Mapping[str, Json] | None = None
    #: Names of the services with an address in the settings, or with a live instance in `registry`.
    services: frozenset[str] | set[str] | None = None
    #: The registry that was asked for services, as URL.
    registry: str | None = None
    #: Whether `call.url` may stand (`http.rawUrls`).
    raw_urls: bool | None = None
    #: Whether `auth` is set up.
    auth: bool | None = None


#: Nothing is known of the settings.
UNKNOWN: Final = World()
