"""Forms and GraphQL over real processes: forms that callers send, forms that a `call` sends, and GraphQL responses."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.acceptance.test_http import problem
from tests.acceptance.work import with_backend
from tests.support.backend import Backend, Heard, backend
from tests.support.processes import Server, run

pytestmark = pytest.mark.process

FORM = "application/x-www-form-urlencoded"

ECHO = """
path: /echo
methods: [POST, GET]
steps: [{name: all, set: "${ input }"}]
output: "${ steps.all.output }"
"""

SENDS = """
path: /send
methods: [POST]
steps:
  - name: pay
    call:
      service: backend
      path: /pay
      headers: {Content-Type: application/x-www-form-urlencoded}
      body: "${ input.form }"
    compensate: none
output: "${ steps.pay.output }"
"""

ASKS = """
path: /ask
methods: [POST]
steps:
  - name: book
    call:
      service: backend
      path: /graphql
      graphql:
        query: "mutation Book($n: Int) { book(n: $n) { id } }"
        operationName: Book
        variables: {n: "${ input.n }"}
    compensate: {call: {service: backend, path: /undo, body: {}}}
output: "${ steps.book.output }"
"""


class World:
    """A runner, and the service that it asks, which says `said` to GraphQL."""

    def __init__(self, server: Server, service: Backend, said: dict[str, Any]) -> None:
        self.server = server
        self.service = service
        self._said = said

    def says(self, status: int, body: Any) -> None:
        self._said["answer"] = (status, body)
        self.service.heard.clear()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    said: dict[str, Any] = {"answer": (200, {})}

    def rule(heard: Heard) -> tuple[int, Any]:
        answer: tuple[int, Any] = said["answer"]
        return answer if heard.path != "/undo" else (200, {})

    definitions = {"echo.yaml": ECHO, "sends.yaml": SENDS, "asks.yaml": ASKS}
    with (
        backend(rule) as service,
        run(tmp_path_factory.mktemp("bodies"), definitions, with_backend(service.url)) as server,
    ):
        yield World(server, service, said)


# ---------------------------------------------------------------------- forms that come in


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"a=1&b=two", {"a": "1", "b": "two"}),
        (b"tag=x&tag=y&tag=x", {"tag": ["x", "y", "x"]}),
        (b"city=New+York&street=5%20th%2C%26%3D%2B%25", {"city": "New York", "street": "5 th,&=+%"}),
        (b"name=caf%C3%A9&%C3%A9=1", {"name": "caf\u00e9", "\u00e9": "1"}),
        (b"empty=&bare", {"empty": "", "bare": ""}),
        (b"a[b]=1&a.b=2&a;b=3", {"a[b]": "1", "a.b": "2", "a;b": "3"}),
        (b"&&a=1&", {"a": "1"}),
    ],
)
def test_a_form_and_a_query_are_read_alike(world: World, sent: bytes, read: dict[str, Any]) -> None:
    form = world.server.ask("POST", "/echo", raw=sent, headers={"Content-Type": FORM})
    query = world.server.ask("GET", f"/echo?{sent.decode()}")
    assert (form.status, form.json) == (query.status, query.json) == (200, read)


@pytest.mark.parametrize("kind", [f"{FORM}; charset=utf-8", f'{FORM};charset="UTF-8"', FORM.upper(), f" {FORM} ;x=y"])
def test_a_form_may_say_that_it_is_utf_8(world: World, kind: str) -> None:
    answer = world.server.ask("POST", "/echo", raw=b"a=caf%C3%A9", headers={"Content-Type": kind})
    assert (answer.status, answer.json) == (200, {"a": "caf\u00e9"})


@pytest.mark.parametrize(
    "kind", [f"{FORM}; charset=iso-8859-1", "multipart/form-data; boundary=x", "text/plain", f"{FORM}x", ""]
)
def test_other_types_and_charsets_are_a_415_that_says_what_is_taken(world: World, kind: str) -> None:
    answer = world.server.ask("POST", "/echo", raw=b"a=1", headers={"Content-Type": kind})
    problem(answer, 415, "unsupported-media-type")
    assert FORM in answer.json["detail"]


@pytest.mark.parametrize(
    "sent", [b"a=%", b"a=100%&b=1", b"a=%4", b"a=%zz", b"%=1", b"a=%ff", b"a=caf\xc3\xa9", b"a=%C3"]
)
def test_what_is_encoded_badly_is_a_400(world: World, sent: bytes) -> None:
    problem(world.server.ask("POST", "/echo", raw=sent, headers={"Content-Type": FORM}), 400, "bad-request")


def test_a_query_that_is_encoded_badly_is_a_400(world: World) -> None:
    problem(world.server.ask("GET", "/echo?a=%zz"), 400, "bad-request")


def test_a_form_of_too_many_fields_is_a_400(world: World) -> None:
    sent = b"&".join(b"f%d=1" % at for at in range(1_001))
    problem(world.server.ask("POST", "/echo", raw=sent, headers={"Content-Type": FORM}), 400, "bad-request")


def test_an_empty_form_is_an_empty_input(world: World) -> None:
    answer = world.server.ask("POST", "/echo", raw=b"", headers={"Content-Type": FORM})
    assert (answer.status, answer.json) == (200, {})


# ---------------------------------------------------------------------- forms that go out


def test_a_call_sends_a_mapping_as_a_form(world: World) -> None:
    world.says(200, {"paid": True})
    given = {"amount": 4.5, "n": 3, "ok": True, "to": "A & B=c+\u00e9", "tag": ["x", 1], "none": None, "empty": ""}
    answer = world.server.post("/send", {"form": given})
    assert (answer.status, answer.json) == (200, {"paid": True})
    [heard] = world.service.heard
    assert heard.headers["content-type"] == FORM
    assert parse_qsl(heard.body.decode("ascii"), keep_blank_values=True, strict_parsing=True) == [
        ("amount", "4.5"), ("n", "3"), ("ok", "true"), ("to", "A & B=c+\u00e9"), ("tag", "x"), ("tag", "1"),
        ("empty", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["text", 7, [1], {"a": {"b": 1}}, {"a": [[1]]}])
def test_what_is_no_form_is_an_expression_error_and_nothing_is_sent(world: World, form: Any) -> None:
    world.says(200, {})
    problem_of = world.server.post("/send", {"form": form})
    assert (problem_of.status, problem_of.json["code"]) == (500, "expression")
    assert world.service.heard == []


# ---------------------------------------------------------------------- GraphQL


def outcome(world: World) -> tuple[int, str, bool, list[str]]:
    """Status, how the run ended, whether the step's outcome is unknown, and what the service was asked."""
    answer = world.server.post("/ask", {"n": 3})
    ended = world.server.run(answer.headers["x-saga-run"])
    return answer.status, ended["status"], ended["steps"][0]["unknown"], [heard.path for heard in world.service.heard]


def test_graphql_sends_its_document_and_gives_its_data(world: World) -> None:
    world.says(200, {"data": {"book": {"id": "b-1"}}, "errors": None})
    answer = world.server.post("/ask", {"n": 3})
    assert (answer.status, answer.json) == (200, {"book": {"id": "b-1"}})
    [heard] = world.service.heard
    assert (heard.method, heard.headers["content-type"]) == ("POST", "application/json")
    assert heard.body == (
        b'{"query":"mutation Book($n: Int) { book(n: $n) { id } }","variables":{"n":3},"operationName":"Book"}'
    )


def test_graphql_errors_beside_data_leave_the_outcome_unknown_so_it_is_undone(world: World) -> None:
    world.says(200, {"data": {"book": None}, "errors": [{"message": "half done"}]})
    assert outcome(world) == (502, "compensated", True, ["/graphql", "/undo"])


@pytest.mark.parametrize(
    "said", [{"errors": [{"message": "no"}]}, {"data": None, "errors": [{"message": "no"}]}, {"errors": ["no"]}]
)
def test_graphql_errors_without_data_are_a_refusal_so_nothing_is_undone(world: World, said: Any) -> None:
    world.says(200, said)
    assert outcome(world) == (502, "failed", False, ["/graphql"])


@pytest.mark.parametrize(
    "said", [{}, [], "data", None, 7, {"errors": []}, {"errors": "no"}, {"errors": {}}, {"data": {}, "errors": "no"}]
)
def test_what_is_no_graphql_response_is_unexpected_and_undone(world: World, said: Any) -> None:
    world.says(200, said)
    assert outcome(world) == (502, "compensated", True, ["/graphql", "/undo"])


@pytest.mark.parametrize(("status", "ended", "unknown"), [(400, "failed", False), (503, "compensated", True)])
def test_a_graphql_service_that_fails_is_judged_by_its_status(
    world: World, status: int, ended: str, unknown: bool
) -> None:
    world.says(status, {"errors": [{"message": "no"}]})
    asked = ["/graphql", "/undo"] if unknown else ["/graphql"]
    assert outcome(world) == (502, ended, unknown, asked)
