"""Nouns of the registry: an instance (`Listing`), what is asked for it (`Registration`), what is looked for
(`Wanted`). Times are seconds since the epoch here and ISO 8601 in `record`.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from registry.base.clock import iso
from registry.base.values import Json

#: The ways to choose among instances, the default first.
POLICIES: Final = ("round_robin", "weighted_random", "least_inflight", "consistent_hash")

#: What the name of a service is made of.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)

#: What can be known of an instance's health, the best first.
HEALTH: Final = ("passing", "warning", "critical")

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A valid wish to be listed, as one service instance sent it."""

    service_name: str
    #: As sent; compared through `normal_url`.
    service_url: str
    #: Seconds that the listing lives without a heartbeat.
    ttl: float
    #: The instance's own identity; none: the directory finds it by its address or makes one.
    service_id: str | None = None
    capabilities: tuple[str, ...] = ()
    weight: float = 1
    zone: str | None = None
    version: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Json] = field(default_factory=dict)
    health_check_url: str | None = None
    openapi_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One instance of a service, as the directory knows it."""

    service_name: str
    service_url: str
    service_id: str
    #: Seconds since the epoch, when it was first listed and when it was last heard of.
    registered_at: float
    last_heartbeat: float
    #: Seconds that it lives without a heartbeat.
    ttl: float
    capabilities: tuple[str, ...] = ()
    #: Share of new calls relative to its peers; 0 gets none.
    weight: float = 1
    zone: str | None = None
    version: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Json] = field(default_factory=dict)
    health_check_url: str | None = None
    openapi_url: str | None = None
    #: Whether an operator has taken it out of service; a drained instance gets no new calls.
    drained: bool = False
    #: What a prober found last; without a prober, what lives passes.
    probed: str = HEALTH[0]
    #: An operator's word on its health, which stands above the prober's.
    health_override: str | None = None
    #: Members that an operator has set, with the value that the instance itself sent for each.
    overridden: dict[str, Json] = field(default_factory=dict)

    @property
    def health(self) -> str:
        """One of `HEALTH`."""
        return self.health_override or self.probed


#: Members of a listing that its instance sends, and of these the ones that an operator may set in its place.
SENT: Final = tuple(member.name for member in fields(Registration) if member.name != "service_id")
SETTABLE: Final = (
    "capabilities",
    "weight",
    "zone",
    "version",
    "tags",
    "metadata",
    "health_check_url",
    "openapi_url",
)
#: Members that no instance sends, with what they are when nobody has set them.
STANDING: Final[Mapping[str, Json]] = {"drained": False, "probed": HEALTH[0], "health_override": None}


def renewed(known: Listing | None, registration: Registration, *, service_id: str, now: float) -> Listing:
    """What the registration makes of the listing known so far. What an operator or a prober set of it stays."""
    sent = {member: getattr(registration, member) for member in SENT}
    if known is None:
        return Listing(service_id=service_id, registered_at=now, last_heartbeat=now, **sent)
    set_members = {member: getattr(known, member) for member in known.overridden}
    overridden = {member: sent[member] for member in known.overridden}
    return replace(known, last_heartbeat=now, **{**sent, **set_members}, overridden=overridden)


def changed(listing: Listing, members: Mapping[str, Json]) -> Listing:
    """The listing after an operator or a prober has set `members`, names of `SETTABLE` and `STANDING`. None: as it is
    when nobody sets it.
    """
    overridden = dict(listing.overridden)
    values: dict[str, Json] = {}
    for member, value in members.items():
        if member in STANDING:
            values[member] = STANDING[member] if value is None else value
        elif value is not None:
            overridden.setdefault(member, getattr(listing, member))
            values[member] = tuple(value) if isinstance(value, list) else value
        elif member in overridden:
            values[member] = overridden.pop(member)
    return replace(listing, overridden=overridden, **values)


def parts(listing: Listing) -> tuple[Registration, dict[str, Json]]:
    """A listing taken apart, as it is stored: what its instance sent, and what `changed` has to set again."""
    sent = {member: listing.overridden.get(member, getattr(listing, member)) for member in SENT}
    told = {member: getattr(listing, member) for member in listing.overridden}
    told |= {member: getattr(listing, member) for member in STANDING if getattr(listing, member) != STANDING[member]}
    return Registration(service_id=listing.service_id, **sent), told


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a caller looks for. `consistent_hash` needs a `key`."""

    service: str
    #: `2` accepts 2, 2.1 and v2.1.7, not 20.
    version: str | None = None
    #: An instance without it is passed over.
    capability: str | None = None
    #: Instances of this zone first; others only if it has none.
    zone: str | None = None
    policy: str = POLICIES[0]
    key: str | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"policy is {self.policy!r}, but it must be one of {', '.join(POLICIES)}.")
        if self.policy == "consistent_hash" and self.key is None:
            raise ValueError("policy consistent_hash chooses by a key, but none was given: set key.")


def wanted(text: str, *, policy: str = POLICIES[0], key: str | None = None) -> Wanted:
    """`payment` or `payment@2` as a wish."""
    service, _, version = text.partition("@")
    return Wanted(service=service, version=version or None, policy=policy, key=key)


def version_fits(version: str | None, asked: str) -> bool:
    """Whether `version` is `asked` or a refinement of it at a dot; a leading `v` counts for nothing."""
    if version is None:
        return False
    have, want = version.removeprefix("v"), asked.removeprefix("v")
    return have == want or have.startswith(want + ".")


def normal_url(url: str) -> str:
    """The one spelling of a valid service URL: lower-case scheme and host, no default port, no slash at the
    end.
    """
    parts = urlsplit(url)
    host = host_of(url)
    if ":" in host:
        host = f"[{host}]"
    if parts.port is not None and parts.port != _DEFAULT_PORTS.get(parts.scheme):
        host = f"{host}:{parts.port}"
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), parts.query, ""))


def host_of(url: str) -> str:
    """The host of a valid URL in lower case; an IP address in its one spelling, IPv6 without brackets."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if not (host[-1:].isdecimal() or ":" in host):
        return host  # no IP address ends so, and finding out by trying takes long
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def record(listing: Listing) -> dict[str, Json]:
    """The listing as its JSON object: the six fields that old clients read first, then the optional ones."""
    return {
        "service_name": listing.service_name,
        "service_url": listing.service_url,
        "service_id": listing.service_id,
        "registered_at": iso(listing.registered_at),
        "last_heartbeat": iso(listing.last_heartbeat),
        "capabilities": listing.capabilities,
        "weight": plain_number(listing.weight),
        "zone": listing.zone,
        "version": listing.version,
        "tags": listing.tags,
        "metadata": listing.metadata,
        "health_check_url": listing.health_check_url,
        "openapi_url": listing.openapi_url,
        "drained": listing.drained,
        "health": listing.health,
        "ttl": plain_number(listing.ttl),
    }


def plain_number(value: float) -> float | int:
    """`60.0` as `60`, so that whole seconds read as they were written."""
    return int(value) if value == int(value) else value
