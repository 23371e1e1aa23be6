"""From a message to a run: keys, labels, static payloads, limits, and what is refused before anything is recorded."""

import asyncio
from typing import Any

import pytest

from registry.base.problem import Problem
from runner.engine.dispatch import Limits
from runner.ports import Filter
from tests.runner.engine.door import Door, document, door, said

pytestmark = pytest.mark.anyio

SAGA = """
id: a
path: /a
methods: [POST, GET]
HEADER
steps:
  - name: one
    call: {service: backend, path: /one, body: "${ input }"}
    compensate: none
output: "${ input }"
"""


def saga(header: str = "") -> str:
    return SAGA.replace("HEADER", header)


async def count(at: Door) -> int:
    return len((await at.journals.list(Filter())).rows)


# ---------------------------------------------------------------------- keys


async def test_without_a_key_each_message_is_a_run() -> None:
    async with door(saga()) as at:
        one, two = await at.ask(), await at.ask()
        assert one.headers["x-saga-run"] != two.headers["x-saga-run"]


async def test_a_key_is_scoped_by_subject_and_path() -> None:
    async with door(saga(), saga().replace("id: a", "id: b").replace("/a", "/b")) as at:
        runs = {
            (await at.ask(path, key="k", subject=subject)).headers["x-saga-run"]
            for path in ("/a", "/b")
            for subject in ("", "ann", "bob")
        }
        assert len(runs) == 6


async def test_another_payload_or_verb_under_a_key_is_refused_and_records_nothing() -> None:
    async with door(saga()) as at:
        await at.ask(given={"n": 1}, key="k")
        for given, method in (({"n": 2}, "POST"), ({"n": 1}, "GET")):
            reply = await at.ask(given=given, key="k", method=method)
            assert (reply.status, document(reply)["code"]) == (422, "idempotency-key-reused")
        assert await count(at) == 1


async def test_the_sagas_key_wins_and_null_falls_back_to_the_senders() -> None:
    async with door(saga("idempotencyKey: input.id")) as at:
        first = await at.ask(given={"id": 1}, key="x")
        assert (await at.ask(given={"id": 1}, key="y")).headers["x-saga-run"] == first.headers["x-saga-run"]
        sent = await at.ask(given={"n": 1}, key="x")
        assert sent.headers["x-saga-run"] != first.headers["x-saga-run"]
        assert (await at.ask(given={"n": 1}, key="x")).headers["x-saga-run"] == sent.headers["x-saga-run"]


async def test_a_key_without_comparison_takes_any_payload() -> None:
    async with door(saga("idempotencyKey: {key: input.id, compare: false}")) as at:
        first = await at.ask(given={"id": 1, "n": 1})
        second = await at.ask(given={"id": 1, "n": 2})
        assert document(second) == document(first) == {"id": 1, "n": 1}


@pytest.mark.parametrize("header", ["idempotencyKey: add(input.id, 1)", "labels: {n: '${ add(input.id, 1) }'}"])
async def test_a_key_or_label_that_cannot_be_computed_is_a_422(header: str) -> None:
    async with door(saga(header)) as at:
        reply = await at.ask(given={"id": "x"})
        assert (reply.status, document(reply)["code"]) == (422, "input-invalid")
        assert await count(at) == 0


async def test_a_key_in_use_is_a_409_a_202_or_waits() -> None:
    async with door(saga(), closed=True) as at:
        first = asyncio.create_task(at.ask(key="k"))
        await at.service.asked.wait()
        busy = await at.ask(key="k")
        assert (busy.status, busy.headers["retry-after"]) == (409, "1")
        asynchronous = await at.ask(key="k", at_once=True)
        assert asynchronous.status == 202
        assert asynchronous.headers["location"] == busy.headers["location"]
        attached = asyncio.create_task(at.ask(key="k", wait=20))
        await asyncio.sleep(0)
        at.service.gate.set()
        assert (await attached).body == (await first).body
        assert len(at.service.sent) == 1


# ---------------------------------------------------------------------- input


async def test_labels_are_text_and_null_is_left_out() -> None:
    header = "labels: {n: '${ input.n }', flag: '${ input.flag }', none: '${ input.none }', text: a}"
    async with door(saga(header)) as at:
        reply = await at.ask(given={"n": 4.50, "flag": True})
        assert (await at.show(reply))["labels"] == {"n": "4.5", "flag": "true", "text": "a"}


@pytest.mark.parametrize("value", [["list"], {"a": 1}, "x" * 257])
async def test_a_label_that_is_no_short_text_is_a_422(value: Any) -> None:
    async with door(saga("labels: {n: '${ input.n }'}")) as at:
        assert (await at.ask(given={"n": value})).status == 422


async def test_the_static_payload_is_merged_deep_and_wins() -> None:
    async with door(saga("extraPayload: {a: {b: 1, list: [1]}}")) as at:
        reply = await at.ask(given={"a": {"b": 2, "c": 3, "list": [7, 8]}, "d": 4})
        assert document(reply) == {"a": {"b": 1, "c": 3, "list": [1]}, "d": 4}


@pytest.mark.parametrize("given", [[1], "text", 5, True])
async def test_a_static_payload_needs_a_mapping(given: Any) -> None:
    async with door(saga("extraPayload: {a: 1}")) as at:
        reply = await at.ask(given=given)
        assert (reply.status, document(reply)["errors"][0]["pointer"]) == (422, "")


async def test_the_fingerprint_is_of_what_was_sent_and_not_of_the_static_payload() -> None:
    async with door(saga("extraPayload: {a: 1}")) as at:
        await at.ask(given={"n": 1}, key="k")
        assert (await at.ask(given={"n": 1}, key="k")).status == 200


async def test_the_journal_holds_no_more_of_the_event_than_the_saga_reads() -> None:
    async with door(saga()) as at:
        reply = await at.ask(key="k")
        stored = await at.journals.read(reply.headers["x-saga-run"])
        assert stored is not None
        assert b"accept_language" not in b"".join(stored.records)


# ---------------------------------------------------------------------- limits and refusals


async def test_over_the_limit_a_new_run_is_refused_and_a_known_one_answered() -> None:
    async with door(saga(), closed=True, limits=Limits(in_flight=1)) as at:
        first = asyncio.create_task(at.ask(key="k"))
        await at.service.asked.wait()
        refused = await at.ask()
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert (await at.ask(key="k")).status == 409
        assert (await at.ask(given={"other": 1}, key="k")).status == 422
        assert (await at.ask(key="k", at_once=True)).status == 202
        at.service.gate.set()
        assert (await first).status == 200
        assert await count(at) == 1


async def test_a_stopping_runner_takes_nothing_new() -> None:
    async with door(saga()) as at:
        at.dispatcher.accepting = False
        reply = await at.ask()
        assert (reply.status, document(reply)["code"]) == (503, "stopping")
        assert await count(at) == 0


async def test_a_saga_that_is_not_served_is_a_503_with_the_reason() -> None:
    async with door(saga(), refused=lambda *_: "it asks for roles") as at:
        chosen = at.dispatcher.choose(stream="http", path="/a", method="POST", version=None)
        assert isinstance(chosen, Problem)
        assert (chosen.status, chosen.detail) == (503, "it asks for roles")


async def test_an_accepted_saga_is_recorded_before_it_is_answered() -> None:
    async with door(saga("respond: accepted"), closed=True) as at:
        reply = await at.ask()
        assert reply.status == 202
        assert (await at.show(reply))["status"] == "running"


async def test_a_saga_that_is_not_durable_leaves_nothing_in_the_journal() -> None:
    text = "id: a\npath: /a\nmethods: [POST]\ndurable: false\nsteps: [{name: one, set: 1}]\n"
    async with door(text) as at:
        assert document(await at.ask(key="k")) == 1
        assert await count(at) == 0


async def test_a_journal_that_is_away_is_a_503_and_nothing_is_sent() -> None:
    async with door(saga(), keeping=False) as at:
        await at.journals.close()
        reply = await at.ask()
        assert (reply.status, document(reply)["code"]) == (503, "store-away")
        assert "retry-after" in reply.headers
        assert at.service.sent == []
        await at.journals.open("again")


# ---------------------------------------------------------------------- records of streams


EMITS = """
id: emits
path: /emits
methods: [POST]
steps:
  - name: tell
    emit: {stream: placed, key: "${ input.id }", type: told, body: "${ input }"}
    compensate: none
"""
TAKES = """
id: takes
path: /On_placed
labels: {id: "${ input.id }"}
steps: [{name: one, set: 1}]
"""


async def test_a_record_starts_a_run_and_once() -> None:
    async with door(EMITS, TAKES) as at:
        await at.ask("/emits", {"id": "x"})
        [row] = (await at.journals.list(Filter(saga="takes"))).rows
        assert row.labels == {"id": "x"}
        await at.records.take("placed", None, b'{"id":"y"}', [("ce-id", b"twice")])
        await at.records.take("placed", None, b'{"id":"y"}', [("ce-id", b"twice")])
        assert len((await at.journals.list(Filter(saga="takes"))).rows) == 2


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"{bad", [], "not JSON"),
        (b'"\xff"', [], "not JSON"),
        (b"{}", [("saga-path", b"/nope")], "no active saga"),
        (b"{}", [("saga-version", b"9")], "version 9"),
        (b'{"id": ["list"]}', [], "fit"),
        (b'"' + b"x" * 100_000 + b'"', [], "100002 bytes, and 100000 are taken"),
    ],
)
async def test_a_record_that_no_saga_takes_is_kept_with_its_reason(
    value: bytes, headers: list[tuple[str, bytes]], reason: str
) -> None:
    async with door(TAKES) as at:
        await at.records.take("placed", b"k", value, headers)
        [refused] = at.records.refused
        assert reason in refused.reason
        assert (refused.key, refused.value) == ("k", value)
        assert await count(at) == 0


async def test_a_record_of_a_sender_that_names_a_path_goes_there() -> None:
    async with door(TAKES, saga()) as at:
        await at.records.take("placed", None, b"{}", [("saga-path", b"/a")])
        [row] = (await at.journals.list(Filter())).rows
        assert row.saga == "a"


async def test_a_failing_follow_up_changes_nothing() -> None:
    fails = saga("onFail: after")
    after = "id: after\nsteps: [{raise: {type: again}}]\n"
    async with door(fails, after, answers={"POST /one": said(409)}) as at:
        reply = await at.ask(given={"n": 1})
        assert reply.status == 502
        while not (rows := (await at.journals.list(Filter(saga="after"))).rows):
            await asyncio.sleep(0)
        view = await at.ended(rows[0].id, "failed")
        assert view["input"]["input"] == {"n": 1}
        assert view["input"]["run"]["id"] == reply.headers["x-saga-run"]
        assert (await at.show(reply))["status"] == "failed"
