"""`call`: one HTTP request to a service, and what its answer means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self
from urllib.parse import quote, urlencode

import msgspec

from registry.base.values import Json
from runner.saga.definition import Saga, walk
from runner.saga.evaluation import ExpressionFailed
from runner.saga.exchange import Exchange, Request
from runner.saga.expression import Expression
from runner.saga.journal import Done, Refused, Unknown
from runner.saga.shape import Bare, Entry, Filled, FilledText, Record, Table, Word
from runner.saga.state import State
from runner.saga.template import Template, TextTemplate, text, texts
from runner.saga.tree import Spot
from runner.steps.answer import judged
from runner.steps.leaf import Leaf

_encode = msgspec.json.Encoder().encode

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def called(sagas: Iterable[Saga]) -> frozenset[str]:
    """Names of all services that the sagas call, without a version."""
    calls = (step.verb for saga in sagas for step in walk(saga.steps))
    return frozenset(verb.service.partition("@")[0] for verb in calls if isinstance(verb, Call) and verb.service)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQL:
    """`graphql` instead of a body."""

    query: str
    variables: Template | None = None
    operation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Leaf):
    """A request to a service found by name, or to a raw URL where the settings allow it."""

    service: str = ""
    url: TextTemplate | None = None
    path: TextTemplate | None = None
    method: str = "POST"
    query: Mapping[str, Template] = field(default_factory=dict)
    headers: Mapping[str, Template] = field(default_factory=dict)
    body: Template | None = None
    expect: Expression | None = None
    graphql: GraphQL | None = None

    KEY: ClassVar[str] = "call"
    SHAPE: ClassVar[Record] = Record(
        doc="One HTTP request to a service.",
        keys={
            "service": Entry(
                shape=Word(pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(@[A-Za-z0-9._-]+)?", told="a service name"),
                doc="Name of the service in the registry; `stock@2` asks for a version.",
            ),
            "url": Entry(
                shape=FilledText(path=True),
                doc="Absolute URL instead of a service; only where the settings say `http.rawUrls: true`.",
            ),
            "path": Entry(
                shape=FilledText(path=True),
                doc="URL path; each filled value is percent-encoded as one segment.",
                default="/",
            ),
            "method": Entry(
                shape=Word(choices=VERBS, upper=True),
                doc="HTTP verb; POST where `body` or `graphql` stands, else it must be said.",
            ),
            "query": Entry(shape=Table(of=Filled()), doc="Query parameters; null ones are left out, lists repeat."),
            "headers": Entry(shape=Table(of=Filled()), doc="Request headers; null ones are left out."),
            "body": Entry(shape=Filled(), doc="Sent as JSON, or as its `Content-Type` header says."),
            "expect": Entry(
                shape=Bare(sees=("output", "response")),
                doc="Asked on 2xx only; falsy ends the attempt as `unexpected`.",
            ),
            "graphql": Entry(
                shape=Record(
                    doc="A GraphQL operation.",
                    keys={
                        "query": Entry(shape=Word(told="free text"), doc="The document.", required=True),
                        "variables": Entry(shape=Filled(), doc="Its variables."),
                        "operationName": Entry(shape=Word(), doc="Which operation of the document."),
                    },
                ),
                doc="A GraphQL request instead of a body; the output is `data`.",
            ),
        },
    )

    @classmethod
    def build(cls, v: Mapping[str, Any]) -> Self:
        graphql = v.get("graphql")
        return cls(
            service=v.get("service", ""),
            url=v.get("url"),
            path=v.get("path"),
            method=v.get("method", "POST"),
            query=v.get("query", {}),
            headers=v.get("headers", {}),
            body=v.get("body"),
            expect=v.get("expect"),
            graphql=GraphQL(
                query=graphql["query"],
                variables=graphql.get("variables"),
                operation=graphql.get("operationName"),
            )
            if graphql is not None
            else None,
        )

    @property
    def effects(self) -> bool:
        return self.method not in ("GET", "HEAD")

    def begin(self, run: State, spot: Spot) -> None:
        run.ask(spot)

    def render(self, run: State, spot: Spot, now: int) -> Request:
        """The request as it leaves. Raises ExpressionFailed."""
        scope = spot.scope
        headers: tuple[tuple[str, str], ...] = ()
        if self.headers:
            headers = tuple(
                (name.lower(), _header(value, name)) for name, values in texts(self.headers, scope) for value in values
            )
        target = "" if self.url is not None else ("/" if self.path is None else self.path(scope)) or "/"
        url = "" if self.url is None else self.url(scope)
        if self.query:
            query = "&".join(
                f"{quote(name, safe='')}={quote(value, safe='')}"
                for name, values in texts(self.query, scope)
                for value in values
            )
            if query:
                joint = "&" if "?" in (url or target) else "?"
                url, target = (f"{url}{joint}{query}", "") if url else ("", f"{target}{joint}{query}")
        return Request(
            service=self.service,
            url=url,
            method=self.method,
            target=target,
            headers=headers,
            body=self._body(spot, headers),
            key=run.key(spot),
        )

    def judge(self, run: State, spot: Spot, came: Exchange, now: int, attempt: int) -> Done | Refused | Unknown:
        """What became of the attempt, as a record."""
        return judged(self, spot, came, now, attempt)

    def _body(self, spot: Spot, headers: tuple[tuple[str, str], ...]) -> bytes | None:
        if self.graphql is not None:
            wish: dict[str, Json] = {"query": self.graphql.query}
            if self.graphql.variables is not None:
                wish["variables"] = self.graphql.variables(spot.scope)
            if self.graphql.operation is not None:
                wish["operationName"] = self.graphql.operation
            return _encode(wish)
        if self.body is None:
            return None
        value = self.body(spot.scope)
        if not headers:
            return _encode(value)
        kind = next((v for name, v in headers if name == "content-type"), "application/json")
        media = kind.partition(";")[0].strip().lower()
        if media == "application/json" or media.endswith("+json"):
            return _encode(value)
        if media == "application/x-www-form-urlencoded":
            return _form(value)
        if not isinstance(value, str):
            raise ExpressionFailed(f"a body of type {media} must come out as text")
        return value.encode()


def _header(value: str, name: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ExpressionFailed(f"the header `{name}` would hold a control character")
    return value


def _form(value: Json) -> bytes:
    if not isinstance(value, dict):
        raise ExpressionFailed("a form body must come out as a mapping")
    pairs = [
        (name, text(item, name))
        for name, given in value.items()
        for item in (given if isinstance(given, list) else [given])
        if item is not None
    ]
    return urlencode(pairs).encode()
