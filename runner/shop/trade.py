"""What all three services do alike: bring something into force once, and undo it for ever."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Generic, TypeAlias, TypeVar

import msgspec

from registry.base.values import Json, canonical
from runner.shop.ledger import Answer, Books

B = TypeVar("B")

Id: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=1000)]
Money: TypeAlias = Annotated[int, msgspec.Meta(ge=0)] | Annotated[float, msgspec.Meta(ge=0)]


class Nothing(msgspec.Struct, frozen=True):
    """The body of a request that needs none; whatever is sent is not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way(Generic[B]):
    """One thing that a service does: where it is asked for, with what, and what becomes of it."""

    method: str
    #: As starlette writes routes: `/reservations/{id}`.
    path: str
    #: Shape of the JSON body; None: no body is read.
    body: type[B] | None
    #: Given the books, the filled parts of the path, and the body.
    rule: Callable[[Books, Mapping[str, str], B], Answer]


def refused(status: int, reason: str) -> Answer:
    """A definite no, with the reason under `reason`."""
    return Answer(status=status, body={"reason": reason})


def place(books: Books, id_: str, kind: str, body: Json) -> Answer:
    """Bring `body` into force under `id_`: 201; 410 where it was undone before; 409 where the id is taken.

    The 410 is what makes an undo safe to send at any time: a forward request that was held up on its way and
    comes after its own undo changes nothing any more.
    """
    if books.closed(id_):
        return refused(410, f"{kind} {id_} was undone before this request came")
    known = books.find(id_)
    if known is None:
        books.put(id_, kind, body)
    elif canonical(known) != canonical(body):
        return refused(409, f"{kind} {id_} exists and is another one")
    return Answer(status=201, body=body)


def undo(books: Books, id_: str, kind: str) -> Answer:
    """Take out of force what is under `id_`: 200, or 404 where nothing is. Nothing may come later."""
    if books.close(id_):
        return Answer(status=200, body={"id": id_, "undone": True})
    return refused(404, f"there is no {kind} {id_}; none will be taken under this id from now on")


def show(books: Books, id_: str, kind: str) -> Answer:
    """What is in force under `id_`, or 404."""
    known = books.find(id_)
    return refused(404, f"there is no {kind} {id_}") if known is None else Answer(status=200, body=known)
