"""`courier`: quotes, takes parcels, and tells where they are.

The city `nowhere` is not served (409). A parcel moves on each time somebody looks where it is.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from registry.base.values import digest
from runner.shop.ledger import Answer, Books
from runner.shop.trade import Id, Nothing, Way, place, refused, undo

City = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

#: Where a parcel is at the first look, the second, and every one after.
STATIONS: Final = ("packed", "on the road", "delivered")


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel to take, under an id that the caller chose."""

    id: Id
    order: Id
    city: City


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """A question for the fee; it changes nothing."""

    city: City


def number(id_: str) -> str:
    """The shipment number for the caller's id: the same one for ever, so that repeats agree."""
    return f"shp-{digest(id_.encode())[:10]}"


def ship(books: Books, _: Mapping[str, str], wanted: Parcel) -> Answer:
    """201 `{id, reference, order, city}` (the shipment number, the caller's id, ...); 409 for `nowhere`."""
    if wanted.city == "nowhere":
        return refused(409, "no courier goes to nowhere")
    body = {"id": number(wanted.id), "reference": wanted.id, "order": wanted.order, "city": wanted.city}
    return place(books, wanted.id, "shipment", body)


def call_back(books: Books, parts: Mapping[str, str], _: Nothing) -> Answer:
    """200, or 404 where no such parcel was taken; by the caller's id, which it knew before it asked."""
    return undo(books, parts["id"], "shipment")


def track(books: Books, parts: Mapping[str, str], _: Nothing) -> Answer:
    """200 `{id, order, city, looks, status}`, or 404; by the caller's id."""
    known = books.find(parts["id"])
    if known is None:
        return refused(404, f"there is no shipment {parts['id']}")
    looks = books.looks()
    status = STATIONS[min(looks, len(STATIONS) - 1)]
    return Answer(
        status=200,
        body={
            "id": known["id"],
            "order": known["order"],
            "city": known["city"],
            "looks": looks + 1,
            "status": status,
        },
    )


def quote(_: Books, __: Mapping[str, str], asked: Quote) -> Answer:
    """200 `{city, fee}`, the fee being as many as the name has letters; 409 for `nowhere`."""
    if asked.city == "nowhere":
        return refused(409, "no courier goes to nowhere")
    return Answer(status=200, body={"city": asked.city, "fee": len(asked.city)})


WAYS: Final = (
    Way(method="POST", path="/shipments", body=Parcel, rule=ship),
    Way(method="DELETE", path="/shipments/{id}", body=None, rule=call_back),
    Way(method="GET", path="/shipments/{id}", body=None, rule=track),
    Way(method="POST", path="/quotes", body=Quote, rule=quote),
)
