"""The shop as a newcomer meets it: `saga dev`, an order that is placed, and orders that are undone."""

from typing import Any

import pytest

from tests.support.processes import Server, ask, eventually, order

pytestmark = pytest.mark.process

PLACED = {"stock": ["reservation"], "payment": ["charge"], "courier": ["shipment"]}
NOTHING: dict[str, list[str]] = {"stock": [], "payment": [], "courier": []}

RUN_KEYS = {
    *("id", "saga", "version", "status", "reason", "labels", "startedAt", "endedAt"),
    *("input", "output", "error", "leftovers", "undoErrors", "steps"),
}


def refused(shop: Server, body: dict[str, Any]) -> dict[str, Any]:
    """The problem that an order gets, with the id of its run."""
    answer = shop.post("/orders/place", body)
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json
    assert problem["status"] == answer.status
    assert problem["instance"] == f"/api/v1/runs/{answer.headers['x-saga-run']}"
    return problem | {"run": answer.headers["x-saga-run"]}


def test_an_order_is_placed_and_answered_with_its_shipment(shop: Server) -> None:
    answer = shop.post("/orders/place", order("placed-1"))
    assert answer.status == 200
    assert answer.json.keys() == {"orderId", "shipment"}
    assert answer.json["orderId"] == "placed-1"
    assert shop.effects(answer.headers["x-saga-run"]) == PLACED


def test_every_reply_names_its_run_version_and_trace_and_is_not_stored(shop: Server) -> None:
    headers = shop.post("/orders/place", order("headers-1")).headers
    assert headers["x-saga-version"] == "2"
    assert headers["cache-control"] == "no-store"
    assert headers["traceparent"].startswith("00-")
    assert "x-saga-cache" not in headers


def test_an_order_to_nowhere_is_a_409_and_leaves_nothing_behind(shop: Server) -> None:
    problem = refused(shop, order("nowhere-1", city="nowhere"))
    assert problem["status"] == 409
    assert problem["type"] == "/docs/problems/no-courier"
    assert problem["code"] == "no-courier"
    assert problem["title"] == "No courier for this address"
    assert problem["outcome"] == "compensated"
    assert problem["error"] == {"kind": "no-courier", "status": 409}
    assert shop.effects(problem["run"]) == NOTHING


def test_an_order_of_the_broke_is_a_402_with_the_reason_and_leaves_nothing_behind(shop: Server) -> None:
    problem = refused(shop, order("broke-1", customer="broke"))
    assert problem["status"] == 402
    assert problem["type"] == "/docs/problems/payment-refused"
    assert problem["title"] == "The payment was refused"
    assert problem["detail"] == "the account of broke does not cover 9"
    assert problem["outcome"] == "compensated"
    assert shop.effects(problem["run"]) == NOTHING


def test_an_order_of_something_slow_is_a_504_and_leaves_nothing_behind(shop: Server) -> None:
    problem = refused(shop, order("slow-1", sku="slow"))
    assert problem["status"] == 504
    assert problem["type"] == "/docs/problems/timeout"
    assert problem["outcome"] == "compensated"
    assert problem["error"]["kind"] == "timeout"
    assert shop.effects(problem["run"]) == NOTHING
    asked = shop.requests("stock", problem["run"])
    keys = {request["key"] for request in asked if request["method"] == "POST"}
    assert len(keys) == 1, "every attempt has the same key"


def test_an_undo_goes_backwards_and_each_undo_has_the_key_of_its_step(shop: Server) -> None:
    run = refused(shop, order("nowhere-2", city="nowhere"))["run"]
    stock, payment = shop.requests("stock", run), shop.requests("payment", run)
    assert [one["key"] for one in stock] == [f"{run}.reserve", f"{run}.reserve.undo"]
    assert [one["key"] for one in payment] == [f"{run}.charge", f"{run}.charge.undo"]
    assert payment[1]["at"] < stock[1]["at"]


def test_a_run_is_seen_with_exactly_the_documented_members(shop: Server) -> None:
    run = shop.run(refused(shop, order("view-1", city="nowhere"))["run"])
    assert run.keys() == RUN_KEYS
    assert run["saga"] == "place-order"
    assert run["version"] == 2
    assert run["status"] == "compensated"
    assert run["labels"] == {"orderId": "view-1"}
    assert run["input"] == order("view-1", city="nowhere")
    assert run["error"]["kind"] == "no-courier"
    assert run["leftovers"] == run["undoErrors"] == []
    assert [step["name"] for step in run["steps"]][:3] == ["reserve", "charge", "ship"]
    assert [step["undo"] and step["undo"]["status"] for step in run["steps"]][:2] == ["completed", "completed"]
    assert run["startedAt"] < run["endedAt"]


def test_a_placed_order_is_announced_to_one_run_of_the_stream(shop: Server) -> None:
    assert shop.post("/orders/place", order("announced-1")).status == 200
    [run] = eventually(lambda: shop.runs("?saga=on-placed&label=orderId:announced-1"))
    whole = shop.run_when(run["id"], "completed")
    assert whole["output"] == {"notice": "Order announced-1 of ada is on its way to Paris."}


def test_the_failure_saga_is_started_once_and_told_what_happened(shop: Server) -> None:
    failed = shop.post("/examples/on-fail", order("failing-1", customer="broke"))
    assert failed.status == 502
    [run] = eventually(lambda: shop.runs("?saga=note-failure&label=orderId:failing-1"))
    whole = shop.run_when(run["id"], "completed")
    told = whole["input"]["run"]
    assert told == {
        "id": failed.headers["x-saga-run"], "saga": "on-fail", "version": 1, "status": "compensated"
    }  # fmt: skip
    assert whole["input"]["error"]["kind"] == "402"
    assert len(shop.runs("?saga=note-failure&label=orderId:failing-1")) == 1


def test_the_registry_lists_the_runner_and_the_three_services(shop: Server) -> None:
    def listed() -> set[str] | None:
        found = ask(shop.registry, "GET", "/api/v1/services").json["services"]
        names = {one["service_name"] for one in found}
        return names if len(names) == 4 else None

    assert eventually(listed) == {"shop", "stock", "payment", "courier"}, "the runner is called shop"


EXAMPLES: list[tuple[str, Any, int, Any]] = [
    ("set", {"lines": [{"qty": 3, "price": 0.1}]}, 200, {"amounts": [0.3], "total": 0.3, "text": "To pay: 0.3"}),
    ("switch", {"total": 60}, 200, {"total": 60, "fee": 2.5}),
    ("return", {"total": 0}, 200, {"price": 0, "note": "There is nothing to pay"}),
    ("return", {"total": 10}, 200, {"price": 11.9}),
    ("catch", {"sku": "unknown"}, 200, {"price": 0, "known": False}),
    ("catch", {"sku": "tea"}, 200, {"price": 4.5, "known": True}),
    ("for", {"lines": [{"sku": "tea", "qty": 2}, {"sku": "cup", "qty": 1}]}, 200, {"totals": [9, 21], "total": 21}),
    ("fork", {"sku": "tea", "city": "Rome"}, 200, {"price": 4.5, "fee": 4, "total": 8.5}),
    ("retry", {"amount": 5}, 200, {"amount": 5, "attempts": 2}),
    ("poll", {"orderId": "p", "city": "Rome"}, 200, {"status": "delivered", "attempts": 3}),
    ("wait", {"delay": "10ms"}, 200, {"waited": "10ms"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "status", "output"), EXAMPLES)
def test_each_example_does_what_it_says(shop: Server, name: str, given: Any, status: int, output: Any) -> None:
    answer = shop.post(f"/examples/{name}", given)
    assert answer.status == status, answer.body
    assert answer.json == output


def test_a_loop_ends_when_its_condition_holds(shop: Server) -> None:
    answer = shop.post("/examples/for-until", {"orderId": "loop-1", "city": "Rome"})
    assert answer.status == 200
    assert answer.json["seen"][-1] == "delivered"


def test_one_refused_item_of_a_parallel_loop_undoes_the_others(shop: Server) -> None:
    lines = [{"sku": sku, "qty": 1, "price": 1} for sku in ("tea", "cup", "sold-out", "pot")]
    answer = shop.post("/examples/for-parallel", {"lines": lines})
    assert answer.status == 409
    assert answer.json["outcome"] == "compensated"
    assert shop.effects(answer.headers["x-saga-run"]) == NOTHING


def test_an_inner_saga_is_undone_when_a_later_step_is_refused(shop: Server) -> None:
    answer = shop.post("/examples/run", order("inner-1", city="nowhere"))
    assert answer.status == 409
    assert answer.json["outcome"] == "compensated"
    assert shop.effects(answer.headers["x-saga-run"]) == NOTHING


def test_the_error_of_an_inner_saga_is_the_error_of_its_caller(shop: Server) -> None:
    answer = shop.post("/examples/run", order("inner-2", customer="broke"))
    assert answer.status == 402
    assert answer.json["code"] == "payment-refused"
    assert shop.effects(answer.headers["x-saga-run"]) == NOTHING


def test_a_raise_carries_its_errors(shop: Server) -> None:
    answer = shop.post("/examples/raise", {"total": 5, "limit": 3})
    assert answer.status == 422
    assert answer.json["errors"] == [{"pointer": "/total", "detail": "at most 3"}]
    assert answer.json["outcome"] == "failed"
