"""`stock`: knows prices and sets goods aside.

Skus that teach: `slow` is set aside at once and answered late; of `sold-out` there is nothing left (409);
`unknown` has no price (404).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final

import msgspec

from runner.shop.ledger import Answer, Books
from runner.shop.trade import Id, Money, Nothing, Way, place, refused, show, undo

#: Prices of the goods that the examples name; any other sku costs `ORDINARY`.
PRICES: Final[Mapping[str, float]] = {"tea": 4.5, "cup": 12.0, "pot": 39.9}
ORDINARY: Final = 10.0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an order."""

    sku: Id
    qty: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    price: Money = 0


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Goods to set aside. The caller chooses the id, so that it can undo without having seen the answer."""

    id: Id
    lines: Annotated[tuple[Line, ...], msgspec.Meta(min_length=1, max_length=1000)]


def reserve(books: Books, _: Mapping[str, str], wanted: Reservation) -> Answer:
    """201 `{id, lines}`; 409 where something is sold out."""
    skus = {line.sku for line in wanted.lines}
    if "sold-out" in skus:
        return refused(409, "sold-out is sold out: order something else")
    answer = place(books, wanted.id, "reservation", msgspec.to_builtins(wanted))
    return replace(answer, late=True) if "slow" in skus and answer.status == 201 else answer


def release(books: Books, parts: Mapping[str, str], _: Nothing) -> Answer:
    """200, or 404 where nothing was set aside."""
    return undo(books, parts["id"], "reservation")


def look_up(books: Books, parts: Mapping[str, str], _: Nothing) -> Answer:
    """200 `{id, lines}`, or 404."""
    return show(books, parts["id"], "reservation")


def price(_: Books, parts: Mapping[str, str], __: Nothing) -> Answer:
    """200 `{sku, price}`, or 404 for the sku `unknown`."""
    sku = parts["sku"]
    if sku == "unknown":
        return refused(404, "nobody has ever heard of the sku unknown")
    return Answer(status=200, body={"sku": sku, "price": PRICES.get(sku, ORDINARY)})


WAYS: Final = (
    Way(method="POST", path="/reservations", body=Reservation, rule=reserve),
    Way(method="DELETE", path="/reservations/{id}", body=None, rule=release),
    Way(method="GET", path="/reservations/{id}", body=None, rule=look_up),
    Way(method="GET", path="/prices/{sku}", body=None, rule=price),
)
