"""What a runner takes and refuses over HTTP, and how each refusal is told."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.processes import Answer, Server, eventually, order, run

pytestmark = pytest.mark.process

JSON = {"Content-Type": "application/json"}

NOTE = """
path: /note
methods: [POST]
steps: [{name: note, set: 1}]
"""


def problem(answer: Answer, status: int, code: str) -> None:
    """The answer is a problem document of this kind."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"] == f"/docs/problems/{code}"
    assert document["title"]


# ---------------------------------------------------------------------- who answers


def test_an_unknown_path_is_a_404(shop: Server) -> None:
    problem(shop.post("/orders/palce", {}), 404, "no-saga")


@pytest.mark.parametrize("path", ["/orders/place/", "//orders/place", "/Orders/place", "/orders%2Fplace", "/"])
def test_paths_are_exact(shop: Server, path: str) -> None:
    problem(shop.post(path, order("exact-1")), 404, "no-saga")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_verb_is_a_405_that_says_which_it_takes(shop: Server, method: str) -> None:
    answer = shop.ask(method, "/orders/place")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


def test_head_is_a_405_where_steps_have_effects(shop: Server) -> None:
    answer = shop.ask("HEAD", "/orders/place")
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "POST", b"")


def test_a_version_that_is_not_there_is_a_404(shop: Server) -> None:
    problem(shop.post("/orders/place", order("v-1"), X_Saga_Version="1"), 404, "no-saga")


def test_the_version_that_is_asked_for_answers(shop: Server) -> None:
    answer = shop.post("/orders/place", order("v-2"), X_Saga_Version="2")
    assert (answer.status, answer.headers["x-saga-version"]) == (200, "2")


def test_a_version_that_is_no_number_is_a_400(shop: Server) -> None:
    problem(shop.post("/orders/place", order("v-3"), X_Saga_Version="two"), 400, "bad-request")


def test_the_flow_of_a_stream_is_never_served_over_http(shop: Server) -> None:
    problem(shop.post("/On_placed", order("on-1")), 404, "no-saga")


@pytest.mark.parametrize("path", ["/api", "/api/x", "/console", "/docs", "/openapi.json", "/asyncapi.json", "/metrics"])
def test_reserved_paths_belong_to_the_runner(shop: Server, path: str) -> None:
    problem(shop.ask("GET", path), 404, "not-found")


# ---------------------------------------------------------------------- inputs


@pytest.mark.parametrize(
    "body",
    [
        b"{bad",
        b"{'a':1}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":01}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":1}{"b":2}',
        b"\xef\xbb\xbf{}",
        b"   ",
        b'{"a":"\n"}',
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 100_000,
    ],
)
def test_what_is_not_json_is_a_400(shop: Server, body: bytes) -> None:
    problem(shop.ask("POST", "/examples/switch", raw=body, headers=JSON), 400, "bad-request")


def test_nesting_of_64_is_read(shop: Server) -> None:
    deep = b'{"total":1,"x":' + b"[" * 63 + b"]" * 63 + b"}"
    assert shop.ask("POST", "/examples/switch", raw=deep, headers=JSON).status == 200


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense"])
def test_other_types_are_a_415(shop: Server, media: str) -> None:
    answer = shop.ask("POST", "/examples/switch", raw=b"x", headers={"Content-Type": media})
    problem(answer, 415, "unsupported-media-type")


def test_an_encoded_body_is_a_415(shop: Server) -> None:
    answer = shop.ask("POST", "/examples/switch", raw=b"{}", headers={**JSON, "Content-Encoding": "gzip"})
    problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "application/vnd.order+json", "Application/JSON"])
def test_any_kind_of_json_is_read(shop: Server, media: str) -> None:
    answer = shop.ask("POST", "/examples/switch", raw=b'{"total":1}', headers={"Content-Type": media})
    assert answer.status == 200


def test_a_body_over_the_limit_is_a_413(shop: Server) -> None:
    body = b" " * (1_048_576 + 1)
    problem(shop.ask("POST", "/orders/place", raw=body, headers=JSON), 413, "body-too-large")


def test_a_body_at_the_limit_is_read(shop: Server) -> None:
    body = b'{"total":1}'.ljust(1_048_576)
    assert shop.ask("POST", "/examples/switch", raw=body, headers=JSON).status == 200


def test_no_body_is_an_empty_input(shop: Server) -> None:
    answer = shop.ask("POST", "/orders/place")
    assert shop.run(answer.headers["x-saga-run"])["input"] == {}


def test_a_form_is_read_like_a_query(shop: Server) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = shop.ask("POST", "/examples/approval", raw=b"orderId=a+b&tag=1&tag=2&tag=3&empty=", headers=form)
    assert shop.run(answer.headers["x-saga-run"])["input"] == {
        "orderId": "a b", "tag": ["1", "2", "3"], "empty": ""
    }  # fmt: skip


@pytest.mark.parametrize("form", [b"a=%ff", b"a=\xff"])
def test_a_form_that_is_no_text_is_a_400(shop: Server, form: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    problem(shop.ask("POST", "/examples/switch", raw=form, headers=headers), 400, "bad-request")


# ---------------------------------------------------------------------- replies


def test_a_reply_has_the_status_and_headers_of_its_saga(shop: Server) -> None:
    answer = shop.post("/orders/once", order("reply-1"))
    assert (answer.status, answer.headers["location"]) == (201, "/orders/reply-1")


def test_respond_async_is_answered_at_once_with_a_place_to_ask(shop: Server) -> None:
    answer = shop.post("/orders/place", order("async-1"), Prefer="respond-async")
    assert answer.status == 202
    run = answer.headers["x-saga-run"]
    assert answer.headers["location"] == f"/api/v1/runs/{run}"
    assert shop.run_when(run, "completed")["output"]["orderId"] == "async-1"


def test_wait_gives_the_result_where_it_is_ready_in_time(shop: Server) -> None:
    answer = shop.post("/orders/place", order("wait-1"), Prefer="wait=20")
    assert answer.status == 200


def test_wait_gives_the_place_to_ask_where_it_is_not(shop: Server) -> None:
    answer = shop.post("/examples/wait", {"delay": "2h"}, Prefer="wait=0")
    assert answer.status == 202
    run = answer.headers["location"].rpartition("/")[2]
    waiting = shop.run_when(run, "waiting")
    assert waiting["steps"][0]["waitingFor"]
    assert shop.ask("POST", f"/api/v1/runs/{run}/cancel").status == 202
    assert shop.run_when(run, "cancelled")["endedAt"]


def test_an_accepted_saga_is_answered_202_whatever_is_preferred(shop: Server) -> None:
    answer = shop.post("/examples/approval", order("accepted-1"), Prefer="wait=20")
    assert answer.status == 202
    assert answer.headers["location"].endswith(answer.headers["x-saga-run"])


# ---------------------------------------------------------------------- Idempotency-Key


def test_the_same_key_gets_the_same_run_and_reply(shop: Server) -> None:
    first = shop.post("/orders/place", order("key-1"), Idempotency_Key="key-1")
    again = shop.post("/orders/place", order("key-1"), Idempotency_Key="key-1")
    assert first.status == again.status == 200
    assert first.body == again.body
    assert first.headers["x-saga-run"] == again.headers["x-saga-run"]
    assert len(shop.requests("payment", first.headers["x-saga-run"])) == 1


def test_a_key_is_the_same_quoted_or_bare(shop: Server) -> None:
    quoted = shop.post("/orders/place", order("key-2"), Idempotency_Key='"key-2"')
    bare = shop.post("/orders/place", order("key-2"), Idempotency_Key="key-2")
    assert quoted.headers["x-saga-run"] == bare.headers["x-saga-run"]


def test_the_same_payload_in_other_words_is_the_same(shop: Server) -> None:
    one = shop.ask("POST", "/orders/place", raw=b'{"a":1,"b":2}', headers={**JSON, "Idempotency-Key": "key-3"})
    two = shop.ask("POST", "/orders/place", raw=b'{"b": 2, "a": 1}', headers={**JSON, "Idempotency-Key": "key-3"})
    assert one.headers["x-saga-run"] == two.headers["x-saga-run"]


def test_a_failed_run_is_repeated_as_it_was(shop: Server) -> None:
    first = shop.post("/orders/place", order("key-4", city="nowhere"), Idempotency_Key="key-4")
    again = shop.post("/orders/place", order("key-4", city="nowhere"), Idempotency_Key="key-4")
    assert first.status == again.status == 409
    assert first.json == again.json
    assert first.headers["x-saga-run"] == again.headers["x-saga-run"]


def test_another_payload_under_a_key_is_a_422(shop: Server) -> None:
    shop.post("/orders/place", order("key-5"), Idempotency_Key="key-5")
    problem(shop.post("/orders/place", order("other"), Idempotency_Key="key-5"), 422, "idempotency-key-reused")


def test_a_key_on_another_path_is_another_key(shop: Server) -> None:
    one = shop.post("/orders/place", order("key-6"), Idempotency_Key="key-6")
    two = shop.post("/orders/once", order("key-6"), Idempotency_Key="key-6")
    assert one.headers["x-saga-run"] != two.headers["x-saga-run"]


@pytest.mark.parametrize("key", ["", '""', "x" * 256])
def test_a_key_that_is_none_is_a_400(shop: Server, key: str) -> None:
    problem(shop.post("/orders/place", order("key-7"), Idempotency_Key=key), 400, "bad-request")


def test_a_key_in_use_is_a_409_unless_one_asks_for_less_or_waits(shop: Server) -> None:
    body = order("key-8", delay="1s")
    first = shop.post("/orders/place-with-wait", body, Idempotency_Key="key-8", Prefer="respond-async")
    assert first.status == 202
    location = first.headers["location"]
    busy = shop.post("/orders/place-with-wait", body, Idempotency_Key="key-8")
    assert busy.status == 409
    assert busy.json["code"] == "run-in-progress"
    assert busy.headers["location"] == location
    assert int(busy.headers["retry-after"]) >= 1
    again = shop.post("/orders/place-with-wait", body, Idempotency_Key="key-8", Prefer="respond-async")
    assert (again.status, again.headers["location"]) == (202, location)
    attached = shop.post("/orders/place-with-wait", body, Idempotency_Key="key-8", Prefer="wait=20")
    assert attached.status == 200
    assert attached.headers["x-saga-run"] == location.rpartition("/")[2]
    ended = shop.post("/orders/place-with-wait", body, Idempotency_Key="key-8", Prefer="respond-async")
    assert (ended.status, ended.body) == (200, attached.body)


def test_the_sagas_own_key_names_the_trigger(shop: Server) -> None:
    first = shop.post("/orders/once", order("own-1"))
    again = shop.post("/orders/once", order("own-1"), Idempotency_Key="something else")
    assert first.status == again.status == 201
    assert first.headers["x-saga-run"] == again.headers["x-saga-run"]
    problem(shop.post("/orders/once", order("own-1", city="Rome")), 422, "idempotency-key-reused")


def test_many_at_once_under_one_key_make_one_run(shop: Server) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(
                lambda _: shop.post("/orders/place", order("herd-1"), Idempotency_Key="herd-1", Prefer="wait=20"),
                range(12),
            )
        )
    assert {answer.status for answer in answers} == {200}
    [run] = {answer.headers["x-saga-run"] for answer in answers}
    assert [len(shop.requests(name, run)) for name in shop.services] == [1, 1, 1]


# ---------------------------------------------------------------------- the management API


def test_sagas_are_listed_and_filtered_and_shown(shop: Server) -> None:
    listed = shop.ask("GET", "/api/v1/sagas?domain=orders&status=active").json["sagas"]
    assert {one["domain"] for one in listed} == {"orders"}
    [place] = [one for one in listed if one["id"] == "place-order"]
    assert {"id", "name", "domain", "status", "description", "path", "version"} <= place.keys()
    assert (place["path"], place["version"]) == ("/orders/place", 2)
    assert shop.ask("GET", "/api/v1/sagas/place-order").json["id"] == "place-order"
    assert shop.ask("GET", "/api/v1/sagas?status=draft").json["sagas"] == []


def test_runs_are_paged_by_a_cursor_without_gaps_or_repeats(shop: Server) -> None:
    wanted = [shop.post("/examples/emit", order(f"page-{number}")).headers["x-saga-run"] for number in range(5)]
    seen, cursor = [], ""
    while True:
        page = shop.ask("GET", f"/api/v1/runs?saga=emit&limit=2{cursor}").json
        assert page.keys() == {"runs", "next"}
        assert len(page["runs"]) <= 2
        seen += [run["id"] for run in page["runs"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen[:5] == wanted[::-1], "newest first"
    assert len(seen) == len(set(seen))


def test_a_page_has_100_runs_and_at_most_1000_and_later_runs_do_not_move_the_next(tmp_path: Path) -> None:
    with run(tmp_path, {"note.yaml": NOTE}) as server:
        wanted = [server.post("/note", {}).headers["x-saga-run"] for _ in range(103)][::-1]
        first = server.ask("GET", "/api/v1/runs").json
        assert [one["id"] for one in first["runs"]] == wanted[:100]
        later = [server.post("/note", {}).headers["x-saga-run"] for _ in range(3)]
        second = server.ask("GET", f"/api/v1/runs?cursor={first['next']}").json
        assert [one["id"] for one in second["runs"]] == wanted[100:]
        assert second["next"] is None
        again = server.ask("GET", f"/api/v1/runs?cursor={first['next']}&limit=2").json
        assert [one["id"] for one in again["runs"]] == wanted[100:102]
        everything = server.ask("GET", "/api/v1/runs?limit=1000").json
        assert [one["id"] for one in everything["runs"]] == [*later[::-1], *wanted]
        assert everything["next"] is None
        started = everything["runs"][50]["startedAt"]
        since = server.ask("GET", f"/api/v1/runs?since={started}&limit=1000").json["runs"]
        assert [one["id"] for one in since] == [one["id"] for one in everything["runs"] if one["startedAt"] >= started]
        just_behind = started.replace("000Z", "001Z")
        behind = server.ask("GET", f"/api/v1/runs?since={just_behind}&limit=1000").json["runs"]
        assert [one["id"] for one in behind] == [one["id"] for one in everything["runs"] if one["startedAt"] > started]


def test_runs_are_found_by_saga_status_label_and_time(shop: Server) -> None:
    shop.post("/orders/place", order("found-1", customer="broke"))
    [found] = shop.runs("?saga=place-order&status=compensated&label=orderId:found-1")
    assert found["labels"] == {"orderId": "found-1"}
    assert shop.runs("?label=orderId:found-1&status=completed") == []
    assert shop.runs(f"?label=orderId:found-1&since={found['startedAt']}") == [found]
    assert shop.runs("?since=2999-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=1001", "limit=x", "label=x", "label=:x", "since=x"),
        *("status=done", "status=", "cursor="),
        *(
            "label=a:b&label=c:d",
            "status=failed&saga=emit&status=parked",
            "cursor=x",
            "cursor=9e9.1",
            "cursor=1.99999999999999999999999",
        ),
    ],
)
def test_a_list_that_cannot_be_meant_is_a_422_that_points_there(shop: Server, query: str) -> None:
    answer = shop.ask("GET", f"/api/v1/runs?{query}")
    problem(answer, 422, "request-invalid")
    assert answer.json["errors"][0]["pointer"] == f"/query/{query.partition('=')[0]}"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/runs/nope", 404, "no-run"),
        ("POST", "/api/v1/runs/nope/cancel", 404, "no-run"),
        ("POST", "/api/v1/runs/nope/signals/approval", 404, "no-run"),
        ("GET", "/api/v1/sagas/nope", 404, "no-saga"),
        ("GET", "/api/v1/sagas/nope@x", 404, "no-saga"),
        ("GET", "/api/v1/nope", 404, "not-found"),
        ("GET", "/api/v1/runs/", 404, "not-found"),
        ("DELETE", "/api/v1/runs", 405, "method-not-allowed"),
        ("GET", "/api/v1/runs/%F0%9F%98%80", 422, "request-invalid"),
    ],
)
def test_every_refusal_of_the_management_api_is_a_problem(
    shop: Server, method: str, path: str, status: int, code: str
) -> None:
    problem(shop.ask(method, path), status, code)


def test_a_body_that_is_no_json_is_a_400_for_the_management_api_too(shop: Server) -> None:
    for body in (b"{bad", b"NaN", b'"\xff"', b"[" * 65 + b"]" * 65, b"[" * 100_000):
        answer = shop.ask("POST", "/api/v1/runs/nope/signals/approval", raw=body, headers=JSON)
        problem(answer, 400, "bad-request")


def test_a_signal_has_the_same_limit_as_any_body(shop: Server) -> None:
    run = approval(shop, "large-1")
    body = b'"' + b"x" * 1_048_576 + b'"'
    answer = shop.ask("POST", f"/api/v1/runs/{run}/signals/approval", raw=body, headers=JSON)
    problem(answer, 413, "body-too-large")


def test_health_is_told_in_every_old_and_new_way(shop: Server) -> None:
    assert shop.ask("GET", "/health/live").status == 200
    assert shop.ask("GET", "/health/ready").status == 200
    assert shop.ask("GET", "/health").json.keys() == {"status", "version", "timestamp"}
    assert shop.ask("GET", "/ready").json.keys() == {"status", "timestamp"}


def test_the_management_api_describes_itself(shop: Server) -> None:
    document = shop.ask("GET", "/api/v1/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert "/api/v1/runs/{run}" in document["paths"]


# ---------------------------------------------------------------------- signals and cancel


def approval(shop: Server, name: str) -> str:
    """A run that listens for its approval."""
    run = shop.post("/examples/approval", order(name)).headers["x-saga-run"]
    shop.run_when(run, "waiting")
    return run


def test_a_signal_lets_a_run_go_on(shop: Server) -> None:
    run = approval(shop, "signal-1")
    assert "approval" in shop.run(run)["steps"][-1]["waitingFor"]
    assert shop.post(f"/api/v1/runs/{run}/signals/approval", {"approved": True}).status == 202
    done = shop.run_when(run, "completed")
    assert done["output"]["orderId"] == "signal-1"


def test_a_signal_that_says_no_undoes_the_run(shop: Server) -> None:
    run = approval(shop, "signal-2")
    said = {"approved": False, "reason": "Too dear"}
    assert shop.post(f"/api/v1/runs/{run}/signals/approval", said).status == 202
    done = shop.run_when(run, "compensated", "failed")
    assert done["status"] == "compensated"
    assert (done["error"]["kind"], done["error"]["detail"]) == ("not-approved", "Too dear")
    assert shop.effects(run)["stock"] == []


def test_a_signal_before_its_listen_is_kept(shop: Server) -> None:
    run = shop.post("/examples/approval", order("signal-3")).headers["x-saga-run"]
    assert shop.post(f"/api/v1/runs/{run}/signals/approval", {"approved": True}).status == 202
    assert shop.run_when(run, "completed")


def test_a_signal_to_a_run_that_has_ended_is_a_409(shop: Server) -> None:
    run = shop.post("/orders/place", order("signal-4")).headers["x-saga-run"]
    problem(shop.post(f"/api/v1/runs/{run}/signals/approval", {}), 409, "run-ended")


def test_a_cancelled_run_is_undone(shop: Server) -> None:
    run = approval(shop, "cancel-1")
    assert shop.post(f"/api/v1/runs/{run}/cancel", {"reason": "changed my mind"}).status == 202
    done = shop.run_when(run, "cancelled")
    assert done["steps"][0]["undo"]["status"] == "completed"
    assert shop.effects(run)["stock"] == []
    problem(shop.post(f"/api/v1/runs/{run}/cancel"), 409, "run-ended")


def test_a_waiting_caller_is_told_of_a_cancel(shop: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        caller = pool.submit(shop.post, "/examples/wait", {"delay": "1h"}, Idempotency_Key="cancel-2")
        run = eventually(lambda: [r["id"] for r in shop.runs("?saga=wait&status=waiting")])[0]
        assert shop.post(f"/api/v1/runs/{run}/cancel").status == 202
        answer = caller.result()
    assert answer.status == 409
    assert answer.json["outcome"] == "cancelled"


def test_nothing_internal_is_told_to_a_caller(shop: Server) -> None:
    answer = shop.post("/examples/on-fail", order("internal-1", customer="broke"))
    assert answer.status == 502
    assert "does not cover" not in json.dumps(answer.json), "the service's body is not the caller's business"
