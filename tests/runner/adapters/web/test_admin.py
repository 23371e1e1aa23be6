"""The management API over its own models: every member that is promised, and what a refusal looks like."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from runner.adapters.web.admin import RunDetail, management
from tests.runner.engine.door import Door, door, said
from tests.support.asgi import ask

pytestmark = pytest.mark.anyio

LISTENS = """
id: a
path: /a
methods: [POST]
respond: accepted
labels: {id: "${ input.id }"}
steps:
  - name: one
    call: {service: backend, path: /one, body: 1}
    compensate: {call: {service: backend, method: DELETE, path: /one}}
  - name: word
    listen: {signal: word}
"""


def api(at: Door, ready: Callable[[], str] = lambda: "") -> Any:
    async def unready() -> str:
        return ready()

    return management(
        dispatcher=at.dispatcher,
        operator=at.operator,
        watchers=at.driver.watchers,
        clock=at.clock,
        version="1",
        ready=unready,
        missing=lambda: ["courier"],
    )


async def test_a_run_has_the_members_that_are_promised_and_no_other() -> None:
    assert RunDetail.model_fields.keys() == {
        *("id", "saga", "version", "status", "reason", "labels", "startedAt", "endedAt"),
        *("input", "output", "error", "leftovers", "undoErrors", "steps"),
    }
    async with door(LISTENS) as at:
        run = (await at.ask(given={"id": "x"})).headers["x-saga-run"]
        await at.ended(run, "waiting")
        assert (await ask(api(at), "GET", f"/api/v1/runs/{run}")).json.keys() == RunDetail.model_fields.keys()


async def test_a_signal_is_taken_once_per_key() -> None:
    twice = LISTENS.replace("steps:", "steps:\n  - {name: first, listen: {signal: word}}")
    async with door(twice) as at:
        run = (await at.ask(given={"id": "x"})).headers["x-saga-run"]
        await at.ended(run, "waiting")
        for _ in range(2):
            path = f"/api/v1/runs/{run}/signals/word"
            sent = await ask(api(at), "POST", path, b'{"n":1}', headers={"Idempotency-Key": "same"})
            assert sent.status == 202
        while not at.service.sent:
            await asyncio.sleep(0)
        assert (await at.ended(run, "waiting"))["steps"][-1]["name"] == "word", "the repeated one was not heard twice"


async def test_a_journal_that_is_away_is_a_503_to_be_tried_again() -> None:
    async with door(LISTENS, keeping=False) as at:
        await at.journals.close()
        answer = await ask(api(at), "GET", "/api/v1/runs")
        assert (answer.status, answer.json["code"]) == (503, "store-away")
        assert answer.headers["retry-after"]
        await at.journals.open("again")


async def test_a_runner_that_is_not_ready_says_why() -> None:
    async with door(LISTENS) as at:
        for path in ("/ready", "/health/ready"):
            answer = await ask(api(at, lambda: "it is stopping"), "GET", path)
            assert (answer.status, answer.json["reason"]) == (503, "it is stopping")
        assert (await ask(api(at, lambda: "it is stopping"), "GET", "/health/live")).status == 200


async def test_the_readiness_detail_names_services_that_nobody_could_reach() -> None:
    async with door(LISTENS) as at:
        detail = await ask(api(at), "GET", "/health/ready")
        assert (detail.status, detail.json["missingServices"]) == (200, ["courier"])
        assert (await ask(api(at), "GET", "/ready")).json.keys() == {"status", "timestamp"}


async def test_a_cancel_that_comes_too_late_is_a_409() -> None:
    async with door(LISTENS, answers={"DELETE /one": said(403)}) as at:
        run = (await at.ask(given={"id": "x"})).headers["x-saga-run"]
        await at.ended(run, "waiting")
        assert (await ask(api(at), "POST", f"/api/v1/runs/{run}/cancel")).status == 202
        while len(at.service.sent) < 2:  # its undo has begun
            await asyncio.sleep(0)
        again = await ask(api(at), "POST", f"/api/v1/runs/{run}/cancel")
        assert (again.status, again.json["code"]) == (409, "cannot-cancel")


async def test_the_runs_of_a_label_are_found() -> None:
    async with door(LISTENS) as at:
        for name in ("x", "y:z"):
            await at.ask(given={"id": name})
        [found] = (await ask(api(at), "GET", "/api/v1/runs", query=b"label=id:y:z")).json["runs"]
        assert found["labels"] == {"id": "y:z"}


async def test_what_an_operator_says_that_is_not_understood_is_refused() -> None:
    async with door(LISTENS) as at:
        run = (await at.ask(given={"id": "x"})).headers["x-saga-run"]
        await at.ended(run, "waiting")
        path = f"/api/v1/runs/{run}/retry"
        answer = await ask(api(at), "POST", path, b'{"rendr": true}')
        assert (answer.status, answer.json["code"], answer.json["instance"]) == (422, "request-invalid", path)
        assert [item["pointer"] for item in answer.json["errors"]] == ["/body/rendr"]
        assert answer.json["detail"]
