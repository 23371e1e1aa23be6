"""Instances as Redis keeps them: keys, and a listing to bytes and back."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from registry.base.values import canonical
from registry.directories.redis_link import Reply
from registry.listing import NAME, SENT, Listing, Registration, changed, normal_url, parts

#: One slot of a cluster for what belongs to no name.
_FEED: Final = "saga:{feed}"
CHANGES: Final = f"{_FEED}:changes"
BEATS: Final = f"{_FEED}:beats"
AUDIT: Final = f"{_FEED}:audit"

#: Matches every key of a name.
PATTERN: Final = "*service:*"

_SEED = "service:"
_HASH = "saga:{service:"

_registrations = msgspec.json.Decoder(Registration)
_objects = msgspec.json.Decoder(dict[str, Any])


class _SeedRecord(msgspec.Struct):
    """The record of a registry of the first kind."""

    service_name: str
    service_url: str
    service_id: str
    registered_at: datetime
    last_heartbeat: datetime
    capabilities: list[str] = []


@dataclass(frozen=True, slots=True)
class Entry:
    """An instance, and the microsecond of Redis at which it is gone."""

    listing: Listing
    due: int


def keys_of(name: str) -> tuple[str, str, str]:
    """The keys of a name, in the order of the scripts."""
    seed = f"{_SEED}{name}"
    return seed, f"saga:{{{seed}}}", f"saga:{{{seed}}}:due"


def lease_of(role: str) -> str:
    """The key of the one who has a role."""
    return f"{_FEED}:lease:{role}"


def name_of(key: bytes) -> str | None:
    """The name that a key belongs to; None if it is of something else."""
    text = key.decode(errors="replace")
    name = text[len(_HASH) :].partition("}")[0] if text.startswith(_HASH) else text.removeprefix(_SEED)
    return name if NAME.fullmatch(name) else None


def sent_of(registration: Registration) -> bytes:
    """What an instance sent, in its one spelling."""
    return canonical({member: getattr(registration, member) for member in SENT})


def tail_of(registration: Registration) -> bytes:
    """The end of the first registry's JSON, behind what a script writes."""
    head = {member: getattr(registration, member) for member in ("service_name", "service_url", "capabilities")}
    return canonical(head)[1:]


def set_of(listing: Listing) -> bytes:
    """What others have set of a listing, in its one spelling; empty if nothing is."""
    told = parts(listing)[1]
    return canonical(told) if told else b""


def micros(seconds: float) -> int:
    """Seconds since the epoch as Redis counts."""
    return round(seconds * 1e6)


def entry_of(raw: Reply) -> Entry:
    """An instance as a script answered it: id, sent, set, times, due."""
    service_id, sent, told, times, due = raw
    registered, heartbeat, _ = times.split()
    registration = _registrations.decode(sent)
    listing = Listing(
        service_id=service_id.decode(),
        registered_at=int(registered) / 1e6,
        last_heartbeat=int(heartbeat) / 1e6,
        **{member: getattr(registration, member) for member in SENT},
    )
    return Entry(changed(listing, _objects.decode(told)) if told else listing, int(float(due)))


def beaten(listing: Listing, heartbeat: int) -> Listing:
    """The listing after a beat at this microsecond."""
    return replace(listing, last_heartbeat=heartbeat / 1e6)


def adopted(name: str, raw: bytes, left: int, now: int) -> Entry | None:
    """What a registry of the first kind wrote, with the milliseconds that its key has left; None if it is something
    else.
    """
    try:
        seed = msgspec.json.decode(raw, type=_SeedRecord)
        normal_url(seed.service_url)
    except (msgspec.MsgspecError, ValueError):
        return None
    if seed.service_name != name or left <= 0:
        return None
    listing = Listing(
        service_name=name,
        service_url=seed.service_url,
        service_id=seed.service_id,
        registered_at=_seconds(seed.registered_at),
        last_heartbeat=_seconds(seed.last_heartbeat),
        ttl=_lifetime(seed, left, now),
        capabilities=tuple(seed.capabilities),
    )
    return Entry(listing, now + left * 1000)


def _lifetime(seed: _SeedRecord, left: int, now: int) -> float:
    """Seconds that it lives after a heartbeat, which such a registry does not write: those since, and those left."""
    return max(1.0, float(round(now / 1e6 - _seconds(seed.last_heartbeat) + left / 1000)))


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
