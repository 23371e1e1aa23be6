"""The runner's way to an instance: from memory, without waiting, under two microseconds for the default
policy.

A `Chooser` keeps, per service text (`payment`, `payment@2`), the instances that fit, as long as the
directory's version of the name stands. It also keeps what only the caller knows: calls under way and
failures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from registry.base.clock import Clock
from registry.choose import ChoiceState, choose, derived_draw, flaw
from registry.directory import AddressBook
from registry.ejection import Ejection
from registry.listing import Listing, Wanted, wanted

#: Service texts kept ready; more than a set of definitions names, and a bound on texts that callers make up.
_MAX_LANES = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class NoInstance:
    """Nobody offers the service, and there is no static address for it."""

    code: ClassVar[str] = "serviceNotFound"
    service: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AllEjected:
    """The service has instances, but all of them keep failing and rest for a while."""

    code: ClassVar[str] = "circuitOpen"
    service: str
    detail: str


NotFound: TypeAlias = NoInstance | AllEjected


class Slot:
    """What this process knows of one instance beyond its listing."""

    __slots__ = ("ejection", "era", "inflight", "service_id", "url")

    def __init__(self, service_id: str, url: str) -> None:
        self.service_id = service_id
        self.url = url
        self.inflight = 0
        self.ejection: Ejection | None = None
        #: Era of the last ejection, so that a call begun before it cannot count in the next.
        self.era = 0


class Picked:
    """An instance to call. Await the call, then `settle` once with what is known; repeating does nothing."""

    __slots__ = ("_chooser", "_era", "_slot", "service_id", "url")

    def __init__(self, chooser: "Chooser", slot: Slot, era: int) -> None:
        #: Base URL of the instance, as it was registered.
        self.url = slot.url
        #: Empty for a static address.
        self.service_id = slot.service_id
        self._chooser = chooser
        self._slot: Slot | None = slot
        self._era = era

    def settle(self, ok: bool | None) -> None:
        """True: it answered well. False: it failed as a service. None: nothing is known (cancelled, never
        sent).
        """
        slot = self._slot
        if slot is None:
            return
        self._slot = None
        slot.inflight -= 1
        if ok is None or (ok and slot.ejection is None):
            return
        self._chooser._settled(slot, ok, self._era)


class _Lane:
    """The instances that fit one service text, while `version` of the name stands."""

    __slots__ = ("name", "slots", "static", "turn", "version")

    def __init__(self, name: str, version: int, slots: tuple[Slot, ...], turn: int, static: Slot | None) -> None:
        self.name = name
        self.version = version
        self.slots = slots
        self.turn = turn
        #: The static address, which is asked where there are no slots.
        self.static = static


class Chooser:
    """Chooses among the instances of a `Directory`; for one event loop.

    `fallback` maps a service name to the URL that is used when the directory has no fitting instance; such an
    address is never ejected, as nothing would be left to turn to. `seed` makes the draws of different
    processes differ.
    """

    def __init__(
        self, directory: AddressBook, clock: Clock, *, fallback: Mapping[str, str] | None = None, seed: str = ""
    ) -> None:
        self._directory = directory
        self._version = directory.version  # looked up once: this is on every call's way
        self._clock = clock
        self._fallback = {name: Slot("", url) for name, url in (fallback or {}).items()}
        self._seed = seed
        self._lanes: dict[str, _Lane] = {}
        self._slots: dict[str, dict[str, Slot]] = {}
        self._seen: dict[str, int] = {}
        self._turn = 0

    def pick(self, service: str) -> Picked | NotFound:
        """An instance of `service` (`name` or `name@version`) in turn."""
        lane = self._lanes.get(service)
        if lane is None or lane.version != self._version(lane.name):
            lane = self._refilled(service, lane)
        slots = lane.slots
        if not slots and lane.static is not None:
            lane.static.inflight += 1
            return Picked(self, lane.static, 0)
        for _ in slots:
            lane.turn = turn = lane.turn + 1
            slot = slots[turn % len(slots)]
            ejection = slot.ejection
            if ejection is None or ejection.admits():
                slot.inflight += 1
                return Picked(self, slot, slot.era if ejection is None else ejection.era)
        return self._none(service, ejected=bool(slots))

    def pick_wanted(self, wish: Wanted) -> Picked | NotFound:
        """An instance as `wish` says: any policy, zone and capability. Costs a look at every instance."""
        listings = self._directory.snapshot(wish.service)
        slots = self._kept(wish.service, listings)
        self._turn += 1
        match = choose(listings, wish, self._state(slots, self._turn))
        if match.chosen is None:
            return self._none(wish.service, ejected=match.all_ejected)
        slot = slots[match.chosen.service_id]
        if slot.ejection is not None:
            slot.ejection.admits()
        slot.inflight += 1
        return Picked(self, slot, slot.era if slot.ejection is None else slot.ejection.era)

    def state(self, service: str) -> ChoiceState:
        """What the next `pick_wanted` of this service would go by; for explaining a choice without making
        one.
        """
        slots = self._kept(service, self._directory.snapshot(service))
        return self._state(slots, self._turn + 1)

    def _state(self, slots: Mapping[str, Slot], turn: int) -> ChoiceState:
        return ChoiceState(
            turn=turn,
            draw=derived_draw(self._seed, turn),
            inflight={service_id: slot.inflight for service_id, slot in slots.items()},
            ejected={i for i, slot in slots.items() if slot.ejection is not None and slot.ejection.ejected},
        )

    def _refilled(self, service: str, old: _Lane | None) -> _Lane:
        wish = wanted(service)
        listings = self._directory.snapshot(wish.service)
        slots = self._kept(wish.service, listings)
        lane = _Lane(
            wish.service,
            self._version(wish.service),
            tuple(slots[x.service_id] for x in listings if not flaw(x, wish)),
            old.turn if old is not None else -1,
            self._static(service),
        )
        # An empty one is kept for a service with a static address, which is asked for as often as any other.
        if not lane.slots and wish.service not in self._fallback:
            self._lanes.pop(service, None)
        else:
            if len(self._lanes) >= _MAX_LANES:
                self._lanes.clear()
            self._lanes[service] = lane
        return lane

    def _kept(self, name: str, listings: tuple[Listing, ...]) -> Mapping[str, Slot]:
        """The slots of these listings. One that kept its URL keeps its memory; a new one begins afresh."""
        version = self._version(name)
        if not listings:
            self._slots.pop(name, None)
            self._seen.pop(name, None)
            return {}
        if self._seen.get(name) != version:
            old = self._slots.get(name, {})
            self._slots[name] = {
                x.service_id: slot
                if (slot := old.get(x.service_id)) is not None and slot.url == x.service_url
                else Slot(x.service_id, x.service_url)
                for x in listings
            }
            self._seen[name] = version
        return self._slots[name]

    def _none(self, service: str, *, ejected: bool) -> Picked | NotFound:
        if ejected:
            return AllEjected(
                service=service,
                detail=f"All instances of {service} keep failing; they rest for a few seconds.",
            )
        slot = self._static(service)
        if slot is not None:
            slot.inflight += 1
            return Picked(self, slot, 0)
        return NoInstance(
            service=service,
            detail=f"No instance of {service} is registered: start one, or give it a URL under services.",
        )

    def _static(self, service: str) -> Slot | None:
        return self._fallback.get(service) or self._fallback.get(service.partition("@")[0])

    def _settled(self, slot: Slot, ok: bool, era: int) -> None:
        if not slot.service_id:
            return
        ejection = slot.ejection
        if ejection is None:
            if era != slot.era:
                return
            ejection = slot.ejection = Ejection(self._clock, era=era)
        ejection.settle(ok=ok, era=era)
        if ejection.spent:
            slot.era, slot.ejection = ejection.era, None
