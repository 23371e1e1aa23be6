"""What an answer means: the outcome table, row by row, for calls with effects and for reads."""

import json
from typing import Any

import pytest

from runner.saga.exchange import Answer, Exchange, Lost
from runner.saga.journal import Done, Refused, Unknown
from runner.steps.answer import judged
from runner.steps.call import Call
from tests.support.builders import folded, made, saga

NOW = 1_700_000_000_000


def judge(came: Exchange, *, method: str = "POST", **keys: Any) -> Done | Refused | Unknown:
    """The record of an attempt that came to this."""
    call = {"service": "one", "method": method, "path": "/a", **keys}
    if method == "POST" and "graphql" not in keys:
        call["body"] = {}
    step: dict[str, Any] = {"name": "a", "call": call}
    state = folded(made(saga(step, {"name": "s", "set": "${ steps.a.response.headers.x_kind }"})))
    spot = state.live["a"]
    verb = spot.step.verb
    assert isinstance(verb, Call)
    return judged(verb, spot, came, NOW, 1)


def answer(status: int, body: Any = None, *, media: str = "application/json", **headers: str) -> Answer:
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers={"content-type": media, **named}, body=raw)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_2xx_is_done(status: int, method: str) -> None:
    assert isinstance(judge(answer(status), method=method), Done)


@pytest.mark.parametrize("status", [*range(400, 408), *range(409, 425), 426, 429, 451, 499])
def test_4xx_is_not_done(status: int) -> None:
    record = judge(answer(status))
    assert isinstance(record, Refused)
    assert (record.fault.kind, record.fault.status) == (str(status), status)


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_408_425_and_5xx_are_unknown(status: int, method: str) -> None:
    record = judge(answer(status), method=method)
    assert isinstance(record, Unknown)
    assert record.fault.kind == str(status)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305])
def test_a_redirect_of_an_effect_is_unknown(status: int) -> None:
    record = judge(answer(status))
    assert isinstance(record, Unknown)
    assert record.fault.kind == "redirect"


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_says_again_is_not_done(status: int) -> None:
    record = judge(answer(status))
    assert isinstance(record, Refused)
    assert record.fault.kind == "redirect"


def test_a_read_that_leads_away_is_not_done_and_an_unchanged_one_is() -> None:
    away = judge(Lost(kind="redirect", detail="d", sent=True, status=302), method="GET")
    assert isinstance(away, Refused)
    unchanged = judge(answer(304), method="GET")
    assert isinstance(unchanged, Done)
    assert unchanged.output is None


@pytest.mark.parametrize("kind", ["unreachable", "timeout", "unexpected"])
@pytest.mark.parametrize("sent", [True, False])
def test_what_was_lost_is_unknown_once_anything_was_sent(kind: str, sent: bool) -> None:
    assert isinstance(judge(Lost(kind=kind, detail="d", sent=sent)), Unknown if sent else Refused)


@pytest.mark.parametrize("body", [b"{", b"\xff", b'"\\ud800"', b"[" * 100_000, b"1e999"])
def test_json_that_is_none_is_unexpected(body: bytes) -> None:
    record = judge(answer(200, body))
    assert isinstance(record, Unknown)
    assert record.fault.kind == "unexpected"


@pytest.mark.parametrize(
    ("media", "body", "output"),
    [
        ("application/json", b'{"a":1}', {"a": 1}),
        ("application/problem+json; charset=utf-8", b"[1]", [1]),
        ("TEXT/plain", "é".encode(), "é"),
        ("application/octet-stream", b"abc", "YWJj"),
        ("", b"abc", "YWJj"),
        ("application/json", b"", None),
    ],
)
def test_a_body_is_read_by_its_type(media: str, body: bytes, output: Any) -> None:
    record = judge(answer(200, body, media=media))
    assert isinstance(record, Done)
    assert record.output == output


def test_expect_is_asked_of_2xx_and_sees_output_and_response() -> None:
    expect = "output.ready && response.status == 202 && response.headers.x_kind == 'blue'"
    assert isinstance(judge(answer(202, {"ready": True}, x_kind="blue"), expect=expect), Done)
    assert isinstance(judge(answer(200, {"ready": True}, x_kind="blue"), expect=expect), Unknown)
    assert isinstance(judge(answer(409, {"ready": True}, x_kind="blue"), expect=expect), Refused)


def test_an_expect_that_cannot_be_computed_is_an_unknown_expression() -> None:
    record = judge(answer(200, {"n": "x"}), expect="output.n > 1")
    assert isinstance(record, Unknown)
    assert record.fault.kind == "expression"


def test_graphql_errors_are_not_done_without_data_and_unknown_with() -> None:
    query = {"query": "{ a }"}
    errors = [{"message": "no"}]
    assert isinstance(judge(answer(200, {"errors": errors}), graphql=query), Refused)
    assert isinstance(judge(answer(200, {"errors": errors, "data": None}), graphql=query), Refused)
    assert isinstance(judge(answer(200, {"errors": errors, "data": {"a": 1}}), graphql=query), Unknown)
    good = judge(answer(200, {"data": {"a": 1}}), graphql=query)
    assert isinstance(good, Done)
    assert good.output == {"a": 1}
    odd = judge(answer(200, [1]), graphql=query)
    assert isinstance(odd, Unknown)
    assert odd.fault.kind == "unexpected"


@pytest.mark.parametrize(
    ("said", "milliseconds"),
    [
        ("20", 20_000),
        (" 7 ", 7_000),
        ("0", 0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60_000),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 -9999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str, milliseconds: int | None) -> None:
    record = judge(answer(503, retry_after=said))
    assert isinstance(record, Unknown)
    assert record.after == milliseconds


def test_headers_are_kept_only_where_the_saga_reads_them() -> None:
    kept = judge(answer(200, 1, x_kind="blue"))
    assert isinstance(kept, Done)
    assert kept.headers["x_kind"] == "blue"


def test_a_large_error_body_stays_out_of_the_journal() -> None:
    record = judge(answer(409, "x" * 70_000))
    assert isinstance(record, Refused)
    assert record.fault.body is None
