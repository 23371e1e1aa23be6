"""What every handler of the registry works with: the directory, the settings, the counters, and what a service looks
like on the wire.
"""

import asyncio
import math
from collections.abc import Coroutine, Sequence
from importlib import metadata
from typing import Any, Final, TypeVar

from registry.base.clock import Clock
from registry.base.networks import Networks
from registry.base.problem import Problem
from registry.base.values import Json
from registry.choose import ChoiceState, Match, choose, derived_draw
from registry.directory import Directory, DirectoryAway
from registry.figures import Figures
from registry.listing import Listing, Wanted, plain_number, record
from registry.settings import Settings
from registry.tokens import Caller
from registry.wire import Refused

T = TypeVar("T")

_HEAL: Final = "register it, or register again if it was silent too long."


class Office:
    """One registry process as its handlers see it."""

    def __init__(self, directory: Directory, settings: Settings, clock: Clock) -> None:
        self.directory = directory
        self.settings = settings
        self.clock = clock
        self.version = product_version()
        self.figures = Figures(directory.facts, self.version)
        #: Set when the registry stops: what waits is answered then.
        self.stopping = asyncio.Event()
        self.networks = Networks(settings.allowed_networks, setting="ALLOWED_NETWORKS")

    def chosen(self, listings: Sequence[Listing], wish: Wanted, turn: int) -> Match:
        """A choice among these instances; `turn` says which."""
        state = ChoiceState(turn=turn, draw=derived_draw(self.settings.service_name, turn))
        return choose(listings, wish, state, min_healthy_ratio=self.settings.min_healthy_ratio)

    def stale(self) -> dict[str, Json]:
        """What an answer from memory has besides while the store is away."""
        return {"stale": True} if self.directory.stale() else {}

    def absent(self, problem: Problem) -> Exception:
        """What to raise where somebody is written to who is not there: while the store is away nobody can know that."""
        return DirectoryAway("The store cannot be asked.") if self.directory.stale() else Refused(problem)

    async def patiently(
        self, waited: Coroutine[Any, Any, T], until: Coroutine[Any, Any, None] | None = None
    ) -> T | None:
        """What `waited` answers; None if the registry stops, or `until` is over, before that."""
        wanted = asyncio.ensure_future(waited)
        others = [asyncio.ensure_future(each) for each in (self.stopping.wait(), until) if each is not None]
        try:
            await asyncio.wait((wanted, *others), return_when=asyncio.FIRST_COMPLETED)
            return wanted.result() if wanted.done() else None
        finally:
            for task in (wanted, *others):
                task.cancel()
            await asyncio.wait((wanted, *others))

    def told(self, listing: Listing) -> dict[str, Json]:
        """The record with the seconds between heartbeats; fewer than usual for an instance with a short life."""
        interval = self.settings.heartbeat_interval
        if listing.ttl != self.settings.registration_ttl:
            interval = min(interval, listing.ttl / 2)
        return {**record(listing), "heartbeat_interval": plain_number(interval)}


def grown(one: Listing, listings: Sequence[Listing], index: int, **more: Json) -> dict[str, Json]:
    """The flat record that old clients read, with what they do not know beside it."""
    return {**record(one), "instances": [record(x) for x in listings], "index": index, **more}


def product_version() -> str:
    """The installed version of this distribution; `0` in a bare checkout."""
    try:
        return metadata.version("saga-runner")
    except metadata.PackageNotFoundError:
        return "0"


def away(reason: DirectoryAway) -> Problem:
    """503 in the words of the first registry, which its clients print."""
    return Problem(
        status=503,
        code="redisAway",
        title="The registry cannot write now",
        detail="Redis client not available",
        headers={"Retry-After": str(max(1, math.ceil(reason.retry_after)))},
    )


def may_write(caller: Caller, name: str) -> None:
    """Raises `Refused` unless the caller may change this service."""
    if not caller.may_write(name):
        raise Refused(forbidden(f"{caller.name} may not write {name}: that takes the scope register:{name} or admin."))


def forbidden(detail: str) -> Problem:
    return Problem(status=403, code="forbidden", title="The token does not allow this", detail=detail)


def unknown(name: str, **more: Json) -> Problem:
    return Problem(
        status=404,
        code="serviceNotFound",
        title="The service is not registered",
        detail=f"No live instance of {name} is registered: {_HEAL}",
        extra=more,
    )


def unknown_instance(name: str, service_id: str) -> Problem:
    return Problem(
        status=404,
        code="instanceNotFound",
        title="The instance is not registered",
        detail=f"{name} has no live instance {service_id}: {_HEAL}",
    )
