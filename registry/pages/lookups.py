"""`GET /services/{name}`: one instance in the flat record that old clients read, all of them beside it, and waiting
for a change.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from registry.base.problem import Problem
from registry.choose import healthy, misfit
from registry.listing import Listing, Wanted, record
from registry.office import Office, grown, unknown
from registry.pages.choices import Policy, wish_of
from registry.pages.routes import Word, route
from registry.wire import Refused, answer, raw_answer, refusal, seconds_of

#: Names whose answer is kept ready, and requests that may wait for a change at a time.
_MOST_KEPT: Final = 20_000
MOST_WAITING: Final = 5_000
#: Seconds that a request waits for a change, and at most.
_WAIT: Final = "30s"
LONGEST_WAIT: Final = 300.0
#: An index fits every client's numbers.
_MOST_INDEX: Final = 2**53


@dataclass(slots=True)
class _Kept:
    """The answers for one name, as long as its listings stand."""

    listings: Sequence[Listing]
    #: Per id the listing and its JSON without the closing brace: a heartbeat changes one of many.
    encoded: dict[str, tuple[Listing, bytes]]
    #: The beginnings of the answers, one per instance that may be chosen, and their common end.
    heads: list[bytes]
    tail: bytes
    protected: bool
    turn: int = field(default=-1)


class Lookups:
    """The handler, and the same without a framework for the plain question."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._directory = office.directory
        self._kept: dict[str, _Kept] = {}
        self._turn = -1

    def routes(self) -> APIRouter:
        api = APIRouter(tags=["services"])
        answers = {200: ("An instance, and all of them.", "Service")}
        route(api, "GET", "/services/{name}", self.service, 404, 422, 503, answers=answers)
        return api

    async def plain(self, name: str) -> bytes:
        """The answer to a lookup that wishes nothing. Raises `Refused`."""
        listings = await self._directory.get(name, counts=True)
        kept = self._kept.get(name)
        if kept is None or kept.listings is not listings:
            kept = self._renewed(name, listings, kept)
        kept.turn = turn = kept.turn + 1
        heads = kept.heads
        body = heads[turn % len(heads)] + kept.tail
        if kept.protected:
            self._office.figures.protected += 1
        return body[:-1] + b',"stale":true}' if self._directory.stale() else body

    async def service(
        self,
        request: Request,
        name: str,
        instances: Literal["only"] | None = None,
        index: Annotated[int | None, Query(ge=0, le=_MOST_INDEX)] = None,
        wait: Annotated[str, Query(max_length=16)] = _WAIT,
        policy: Policy = "round_robin",
        key: Word = None,
        zone: Word = None,
        capability: Word = None,
    ) -> Response:
        """The record of the instance that the policy picks, with all `instances` and `index`.

        `?instances=only` gives these alone. With `index`, once it is not that any more, or after `wait` as it is.
        `name` may be `name@version`.
        """
        wish = wish_of(name, policy=policy, key=key, zone=zone, capability=capability)
        seconds = seconds_of("wait", wait, LONGEST_WAIT)
        if index is not None:
            await self._changed(request, wish.service, index, seconds)
        if instances is None and wish == Wanted(service=name):
            return raw_answer(await self.plain(name))
        listings = await self._directory.get(wish.service, counts=True)
        if not listings:
            raise Refused(unknown(wish.service, **self._office.stale()))
        if instances == "only":
            told = [record(x) for x in listings]
            return answer(
                200, {"instances": told, "index": self._directory.version(wish.service), **self._office.stale()}
            )
        self._turn += 1
        match = self._office.chosen(listings, wish, self._turn)
        if match.chosen is None:
            return refusal(_none_fits(wish, [f"{x.service_id}: {x.detail}" for x in match.reasons]))
        self._office.figures.protected += match.protected
        flags = {"protected": True} if match.protected else {}
        index_now = self._directory.version(wish.service)
        return answer(200, grown(match.chosen, listings, index_now, **flags, **self._office.stale()))

    def next_turn(self, name: str) -> int:
        """Whose turn the next plain lookup is; for a dry run."""
        kept = self._kept.get(name)
        return kept.turn + 1 if kept is not None else 0

    async def _changed(self, request: Request, name: str, index: int, seconds: float) -> None:
        """Wait until `version` of the name is not `index`, at most so long and while the caller is there."""
        figures = self._office.figures
        if figures.watchers >= MOST_WAITING:
            raise Refused(too_many())
        figures.watchers += 1
        try:
            await self._office.patiently(self._directory.wait(name, index, seconds), _left(request))
        finally:
            figures.watchers -= 1

    def _renewed(self, name: str, listings: tuple[Listing, ...], old: _Kept | None) -> _Kept:
        """Encode what changed since `old`. Raises `Refused` if nobody is left."""
        if not listings:
            self._kept.pop(name, None)
            raise Refused(unknown(name, **self._office.stale()))
        before = old.encoded if old is not None else {}
        encoded = {}
        for x in listings:
            kept = before.get(x.service_id)
            encoded[x.service_id] = (
                kept if kept is not None and kept[0] is x else (x, msgspec.json.encode(record(x))[:-1])
            )
        suited = [x for x in listings if not misfit(x, Wanted(service=name))]
        offered, protected = healthy(suited, self._office.settings.min_healthy_ratio)
        whole = b"},".join(text for _, text in encoded.values()) + b"}"
        flag = b',"protected":true' if protected else b""
        made = _Kept(
            listings,
            encoded,
            # Where nobody may be called, old clients still learn who is there.
            [encoded[x.service_id][1] for x in offered] or [encoded[listings[0].service_id][1]],
            b',"instances":[%b],"index":%d%b}' % (whole, self._directory.version(name), flag),
            protected,
            old.turn if old is not None else -1,
        )
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[name] = made
        return made


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def too_many() -> Problem:
    return Problem(
        status=503,
        code="tooManyWatchers",
        title="Too many wait for changes already",
        detail=f"At most {MOST_WAITING} requests may wait for a change at a time: ask now and then instead.",
        headers={"Retry-After": "5"},
    )


def _none_fits(wish: Wanted, reasons: list[str]) -> Problem:
    return Problem(
        status=404,
        code="noInstanceFits",
        title="No instance is fit for this",
        detail=f"{wish.service} is registered, but no instance can serve this. {' '.join(reasons)}",
    )
