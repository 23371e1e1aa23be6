"""How each end of a run is told over HTTP."""

import asyncio
from typing import Any

import pytest

from runner.engine.dispatch import Limits
from runner.saga.exchange import Exchange, Lost
from tests.runner.engine.door import document, door, said

pytestmark = pytest.mark.anyio

CALL = """
id: a
path: /a
methods: [POST]
steps:
  - name: one
    call: {service: backend, path: /one, body: 1}
    compensate: {call: {service: backend, method: DELETE, path: /one}}
  - name: two
    call: {service: backend, path: /two, body: 2}
    compensate: {call: {service: backend, method: DELETE, path: /two}}
"""


def lost(kind: str, *, sent: bool = True) -> Lost:
    return Lost(kind=kind, detail="nobody needs to know", sent=sent)


@pytest.mark.parametrize(
    ("came", "status", "code", "error"),
    [
        (said(404), 502, "service-answered", {"kind": "404", "status": 404}),
        (said(409), 502, "service-answered", {"kind": "409", "status": 409}),
        (said(503), 502, "service-answered", {"kind": "503", "status": 503}),
        (lost("unreachable"), 502, "unreachable", {"kind": "unreachable", "status": None}),
        (lost("unreachable", sent=False), 502, "unreachable", {"kind": "unreachable", "status": None}),
        (lost("unexpected"), 502, "unexpected", {"kind": "unexpected", "status": None}),
        (lost("redirect"), 502, "redirect", {"kind": "redirect", "status": None}),
        (lost("timeout"), 504, "timeout", {"kind": "timeout", "status": None}),
        (lost("circuitOpen", sent=False), 503, "circuitOpen", {"kind": "circuitOpen", "status": None}),
        (lost("serviceNotFound", sent=False), 503, "serviceNotFound", {"kind": "serviceNotFound", "status": None}),
    ],
)
async def test_each_error_kind_has_its_status(came: Exchange, status: int, code: str, error: dict[str, Any]) -> None:
    async with door(CALL, answers={"POST /two": came}) as at:
        reply = await at.ask()
    told = document(reply)
    assert (reply.status, told["status"], told["code"]) == (status, status, code)
    assert told["type"] == f"/docs/problems/{code}"
    assert told["title"]
    assert told["outcome"] == "compensated"
    assert told["step"] == "two"
    assert told["error"] == error
    assert told["instance"] == f"/api/v1/runs/{reply.headers['x-saga-run']}"
    assert reply.headers["content-type"] == "application/problem+json"
    assert b"nobody needs to know" not in reply.body, "nothing internal"


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("set: '${ add(input.nothing, 1) }'", "expression"),
        ("for: {each: x, in: input.nothing, steps: {set: 1}}", "expression"),
        ("for: {max: 2, until: 'false', steps: {set: 1}}", "exhausted"),
    ],
)
async def test_what_cannot_be_computed_is_a_500(step: str, code: str) -> None:
    async with door(f"id: a\npath: /a\nmethods: [POST]\nsteps:\n  - name: one\n    {step}\n") as at:
        reply = await at.ask()
    assert (reply.status, document(reply)["code"]) == (500, code)
    assert document(reply)["outcome"] == "failed"


RAISE = """
id: a
path: /a
methods: [POST]
steps:
  - raise: {type: TYPE, status: 418, title: A teapot, detail: "${ input.word }", headers: {Retry-After: "7"},
            errors: [{pointer: /word, detail: too short}]}
"""


async def test_a_raise_is_told_as_it_is_written() -> None:
    async with door(RAISE.replace("TYPE", "teapot")) as at:
        reply = await at.ask(given={"word": "stout"})
    told = document(reply)
    assert reply.status == told["status"] == 418
    assert (told["type"], told["code"], told["title"]) == ("/docs/problems/teapot", "teapot", "A teapot")
    assert told["detail"] == "stout"
    assert told["errors"] == [{"pointer": "/word", "detail": "too short"}]
    assert reply.headers["retry-after"] == "7"


async def test_a_type_that_is_a_uri_stays_as_it_is() -> None:
    async with door(RAISE.replace("TYPE", '"https://example.org/teapot"')) as at:
        reply = await at.ask(given={"word": "stout"})
    assert document(reply)["type"] == "https://example.org/teapot"


async def test_a_raise_without_a_detail_says_what_became_of_the_run() -> None:
    text = "id: a\npath: /a\nmethods: [POST]\nsteps: [{name: one, raise: {type: teapot}}]\n"
    async with door(text) as at:
        told = document(await at.ask())
    assert told["detail"].startswith("one failed with teapot.")


async def test_headers_that_come_out_as_null_are_left_out() -> None:
    text = "id: a\npath: /a\nmethods: [POST]\nreply: {headers: {X-Word: '${ input.word }', X-Number: '${ input.n }'}}\n"
    async with door(text + "steps: [{name: one, set: 1}]\n") as at:
        reply = await at.ask(given={"n": 7})
    assert reply.status == 200
    assert reply.headers["x-number"] == "7"
    assert "x-word" not in reply.headers


async def test_a_completed_run_has_its_output_and_headers() -> None:
    text = "id: a\nversion: 7\npath: /a\nmethods: [POST]\nreply: {status: 201, headers: {X-Word: '${ input.w }'}}\n"
    async with door(text + "steps: [{name: one, set: {w: '${ input.w }'}}]\n") as at:
        reply = await at.ask(given={"w": "x"})
    assert (reply.status, document(reply)) == (201, {"w": "x"})
    assert reply.headers["x-word"] == "x"
    assert reply.headers["x-saga-version"] == "7"
    assert reply.headers["cache-control"] == "no-store"


async def test_a_204_has_no_body() -> None:
    text = "id: a\npath: /a\nmethods: [POST]\nreply: {status: 204}\nsteps: [{name: one, set: 1}]\n"
    async with door(text) as at:
        reply = await at.ask()
    assert (reply.status, reply.body) == (204, b"")


async def test_a_failed_run_that_left_something_says_failed() -> None:
    text = CALL.replace("    compensate: {call: {service: backend, method: DELETE, path: /one}}\n", "")
    async with door(text, answers={"POST /two": said(409)}) as at:
        reply = await at.ask()
        view = await at.show(reply)
    assert document(reply)["outcome"] == view["status"] == "failed"
    assert view["leftovers"] == [{"step": "one", "outcome": "done"}]


async def test_a_run_that_parks_in_its_undo_says_parked_with_the_fault_that_turned_it() -> None:
    text = CALL + "compensation: {retry: {attempts: 1}}\n"
    async with door(text, answers={"POST /two": said(409), "DELETE /one": said(403)}) as at:
        reply = await at.ask()
        assert (reply.status, document(reply)["outcome"]) == (502, "parked")
        assert document(reply)["error"]["kind"] == "409"
        view = await at.show(reply)
        assert (view["status"], view["error"]["kind"], view["error"]["step"]) == ("parked", "409", "two")


PIVOT = """
id: a
path: /a
methods: [POST]
compensation: {retry: {attempts: 1}}
steps:
  - name: pay
    pivot: true
    call: {service: backend, path: /pay, body: 1}
  - name: tell
    call: {service: backend, path: /tell, body: 1}
"""


async def test_a_run_that_parks_past_its_pivot_is_a_202_and_no_failure() -> None:
    async with door(PIVOT, answers={"POST /tell": said(403)}) as at:
        reply = await at.ask()
        run = reply.headers["x-saga-run"]
        assert (reply.status, reply.headers["location"]) == (202, f"/api/v1/runs/{run}")
        assert (await at.show(reply))["status"] == "parked"


async def test_a_caller_who_has_waited_long_enough_gets_a_202() -> None:
    async with door(CALL, closed=True, limits=Limits(reply_timeout=0.02)) as at:
        reply = await at.ask()
        assert reply.status == 202
        assert document(reply)["href"] == reply.headers["location"]
        at.service.gate.set()
        await at.ended(reply.headers["x-saga-run"], "completed")


async def test_wait_asks_for_no_longer_than_the_runner_lets_anybody_wait() -> None:
    async with door(CALL, closed=True, limits=Limits(reply_timeout=0.02)) as at:
        assert (await at.ask(wait=3_600)).status == 202


async def test_a_saga_out_of_time_is_a_504_and_undone() -> None:
    async with door(CALL + "timeout: 30ms\n", closed=True) as at:
        asking = asyncio.create_task(at.ask())
        await at.service.asked.wait()
        at.clock.advance(1)
        while len(at.service.sent) < 2:  # the call is broken off, and its undo sent
            await asyncio.sleep(0)
        at.service.gate.set()
        reply = await asking
    assert reply.status == 504
    assert document(reply)["outcome"] == "compensated"
    assert [one.method for one in at.service.sent] == ["POST", "DELETE"]


async def test_a_saga_out_of_time_is_a_504_though_its_undo_lasts_longer_than_the_caller_waits() -> None:
    limits = Limits(reply_timeout=0.2)
    async with door(CALL + "timeout: 30ms\n", closed=True, limits=limits) as at:
        asking = asyncio.create_task(at.ask())
        await at.service.asked.wait()
        at.clock.advance(1)
        reply = await asking  # the service answers nobody, the undo neither
        assert (reply.status, document(reply)["outcome"]) == (504, "compensating")
        at.service.gate.set()
        await at.ended(reply.headers["x-saga-run"], "compensated")


async def test_a_caller_is_told_that_a_run_is_being_undone_though_nobody_holds_it_meanwhile() -> None:
    text = CALL + "compensation: {retry: {delay: 1h}}\n"
    answers = {"POST /two": said(409), "DELETE /one": said(503)}
    async with door(text, answers=answers, limits=Limits(reply_timeout=0.2)) as at:
        reply = await at.ask()
        assert not at.driver.live
        assert (reply.status, document(reply)["status"]) == (202, "compensating")


async def test_a_caller_whose_run_cannot_be_looked_up_any_more_is_told_that_it_goes_on() -> None:
    text = CALL + "compensation: {retry: {delay: 1h}}\n"
    answers = {"POST /two": said(409), "DELETE /one": said(503)}
    async with door(text, answers=answers, limits=Limits(reply_timeout=0.2), keeping=False) as at:
        asking = asyncio.create_task(at.ask())
        while len(at.service.sent) < 3 or at.driver.live:  # its undo has failed, and it waits for the next attempt
            await asyncio.sleep(0)
        await at.journals.close()
        reply = await asking
        assert (reply.status, document(reply)["status"]) == (202, "running")
        await at.journals.open("again")
