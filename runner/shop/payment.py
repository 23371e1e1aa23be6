"""`payment`: takes money and gives it back.

Customers who teach: `broke` is refused (402); with `flaky` the first attempt under a key meets a 503 and the
next one goes through.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from runner.shop.ledger import Answer, Books
from runner.shop.trade import Id, Money, Nothing, Text, Way, place, refused, show, undo


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """Money to take, under an id that the caller chose."""

    id: Id
    amount: Money
    customer: Text = ""


def charge(books: Books, _: Mapping[str, str], wanted: Charge) -> Answer:
    """201 `{id, amount, customer}`; 402 `{reason}` from `broke`; 503 once from `flaky`."""
    if wanted.customer == "broke":
        return refused(402, f"the account of broke does not cover {wanted.amount}")
    if wanted.customer == "flaky" and books.attempts() == 0:
        return Answer(status=503, body={"reason": "the bank does not answer just now: try again"}, kept=False)
    return place(books, wanted.id, "charge", msgspec.to_builtins(wanted))


def refund(books: Books, parts: Mapping[str, str], _: Nothing) -> Answer:
    """200, or 404 where nothing was charged."""
    return undo(books, parts["id"], "charge")


def look_up(books: Books, parts: Mapping[str, str], _: Nothing) -> Answer:
    """200 `{id, amount, customer}`, or 404."""
    return show(books, parts["id"], "charge")


WAYS: Final = (
    Way(method="POST", path="/charges", body=Charge, rule=charge),
    Way(method="POST", path="/charges/{id}/refund", body=None, rule=refund),
    Way(method="GET", path="/charges/{id}", body=None, rule=look_up),
)
