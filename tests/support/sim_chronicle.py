"""What happened in a simulated world, in one order: the only witness that a judge hears beside the journals."""

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """Records became durable."""

    run: str
    #: Length of the journal before, and how many records came.
    first: int
    count: int
    owner: str
    epoch: int
    #: The run whose append bore this one; empty: a trigger did.
    by: str = ""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A signal lies in a run's inbox: the store has said so."""

    run: str
    name: str
    #: As `known_id` has it.
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A request left its runner."""

    run: str
    key: str
    #: `POST stock/s1`, `EMIT placed`.
    what: str
    reads: bool
    #: Digest of everything that a resend must repeat to the byte; made by the world, not by the product.
    content: str
    owner: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A copy of a request came to its service, which did this about it."""

    key: str
    #: `applied`, `removed`, `nothing`.
    did: str
    status: int
    at: float


Event: TypeAlias = Appended | Kept | Left | Served


def known_id(name: str, id: str) -> str:  # noqa: A002 - the word of the language
    """A signal's id as far as the seed decides it: an operator's is drawn from the machine's chance."""
    return "" if name.startswith("$") and not id.startswith("late ") else id


@dataclass(slots=True)
class Chronicle:
    """Events by number, and how often each thing worth seeing was seen."""

    events: list[Event] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def count(self, what: str) -> None:
        self.seen[what] = self.seen.get(what, 0) + 1
