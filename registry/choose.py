"""Choosing an instance: pure, with reasons. `registry.chooser` does the same from memory for every call of a
runner.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate
from typing import Final

from registry.listing import HEALTH, Listing, Wanted, version_fits

#: What `Reason.verdict` can say: chosen; could have been; could not be.
CHOSEN: Final = "chosen"
ELIGIBLE: Final = "eligible"
PASSED_OVER: Final = "passed over"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceState:
    """What a choice depends on besides the listings and the wish; chance and counting are arguments."""

    #: How many choices were made before this one.
    turn: int = 0
    #: From 0 (included) to 1 (excluded); `weighted_random` alone uses it.
    draw: float = 0.0
    #: Calls under way by `service_id`; an absent one has none.
    inflight: Mapping[str, int] = field(default_factory=dict)
    #: Ids of instances that keep failing and rest.
    ejected: Set[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why one instance was chosen or not."""

    service_id: str
    verdict: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The answer: an instance or none, and a reason for each instance in the order given."""

    chosen: Listing | None
    reasons: tuple[Reason, ...]
    #: True if there were fitting instances and all of them are ejected.
    all_ejected: bool = False
    #: True if too few instances pass their checks, so that all fitting ones are offered.
    protected: bool = False


def choose(listings: Sequence[Listing], wanted: Wanted, state: ChoiceState, *, min_healthy_ratio: float = 0.0) -> Match:
    """Pick one of `listings`, which are instances of `wanted.service`, as the policy says."""
    flaws = {x.service_id: misfit(x, wanted) for x in listings}
    suited = [x for x in listings if not flaws[x.service_id]]
    fitting, protected = healthy(suited, min_healthy_ratio)
    open_ = [x for x in fitting if x.service_id not in state.ejected]
    near = [x for x in open_ if wanted.zone is not None and x.zone == wanted.zone] or open_
    chosen, because = _pick(near, wanted, state) if near else (None, "")
    reasons = []
    for x in listings:
        if x is chosen:
            verdict, detail = CHOSEN, because
        elif x not in fitting:
            verdict, detail = PASSED_OVER, flaws[x.service_id] or _unwell(x)
        elif x.service_id in state.ejected:
            verdict, detail = PASSED_OVER, "It keeps failing and is ejected for a while."
        elif x not in near:
            verdict, detail = PASSED_OVER, f"It is in zone {x.zone}, and zone {wanted.zone} has instances."
        else:
            verdict, detail = ELIGIBLE, f"Policy {wanted.policy} picked another one this time."
        reasons.append(Reason(service_id=x.service_id, verdict=verdict, detail=detail))
    return Match(chosen=chosen, reasons=tuple(reasons), all_ejected=bool(fitting) and not open_, protected=protected)


def healthy(suited: Sequence[Listing], min_ratio: float) -> tuple[Sequence[Listing], bool]:
    """Those that pass their checks; all, and True, if their share is below `min_ratio`: then rather the checks are
    wrong, or what is left would be overrun.
    """
    passing = [x for x in suited if x.health == HEALTH[0]]
    protected = len(passing) < min_ratio * len(suited)
    return (suited if protected else passing), protected


def flaw(listing: Listing, wanted: Wanted) -> str:
    """Why this instance cannot serve the wish now, as a sentence; empty if it can."""
    return misfit(listing, wanted) or (_unwell(listing) if listing.health != HEALTH[0] else "")


def _unwell(listing: Listing) -> str:
    return f"Its health is {listing.health}."


def misfit(listing: Listing, wanted: Wanted) -> str:
    """The same whatever its health."""
    if listing.drained:
        return "It is drained, so it gets no new calls."
    if listing.weight == 0:
        return "Its weight is 0, so it gets no new calls."
    if wanted.version is not None and not version_fits(listing.version, wanted.version):
        return f"Its version is {listing.version or 'not stated'}, and {wanted.version} is wanted."
    if wanted.capability is not None and wanted.capability not in listing.capabilities:
        return f"It does not offer the capability {wanted.capability}."
    return ""


def _pick(near: Sequence[Listing], wanted: Wanted, state: ChoiceState) -> tuple[Listing, str]:
    if wanted.policy == "weighted_random":
        bounds = list(accumulate(x.weight for x in near))
        at = min(bisect_right(bounds, state.draw * bounds[-1]), len(near) - 1)
        return near[at], f"The draw {state.draw:.3f} of the weights {bounds[-1]:g} fell on it."
    if wanted.policy == "least_inflight":
        least = min(state.inflight.get(x.service_id, 0) for x in near)
        idle = [x for x in near if state.inflight.get(x.service_id, 0) == least]
        return idle[state.turn % len(idle)], f"It has the fewest calls under way: {least}."
    if wanted.policy == "consistent_hash":
        return max(near, key=lambda x: _score(wanted.key or "", x)), "The key belongs to it."
    return near[state.turn % len(near)], f"It is its turn: {state.turn % len(near) + 1} of {len(near)}."


def _score(key: str, listing: Listing) -> float:
    """Weighted rendezvous hashing: each key goes to its highest score, so a departure moves only its own
    keys.
    """
    point = blake2b(f"{key}\0{listing.service_id}".encode(), digest_size=8).digest()
    share = (int.from_bytes(point) + 1) / (2**64 + 1)
    return -listing.weight / math.log(share) if share < 1 else math.inf


def derived_draw(seed: str, turn: int) -> float:
    """A number from 0 (included) to 1 (excluded) that depends on `seed` and `turn` alone; evenly spread over
    turns.
    """
    point = blake2b(f"{seed}\0{turn}".encode(), digest_size=7).digest()
    return (int.from_bytes(point) >> 3) / 2**53
