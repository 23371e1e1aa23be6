"""The bundle of a run: all that it depends on, and nothing that changes behind its back."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from registry.base.values import digest
from runner.definitions.bundle import BundleUnreadable, bundle, open_bundle, program
from runner.definitions.load import Loaded
from runner.saga.definition import Saga, Step
from runner.saga.expression import Expression
from runner.saga.template import Template, TextTemplate
from runner.steps.fork import Fork
from tests.runner.definitions.sagas import loaded

FAMILY = """
    id: parent
    path: /p
    methods: [POST]
    onFail: alarm
    reply: {headers: {x-sku: "${ input.sku }"}}
    labels: {sku: "${ input.sku }"}
    extraPayload: {z: 1, a: {y: [1, 2.5, null, true]}}
    steps:
      - name: both
        fork: {branches: {z: {set: "${ vars.channel }"}, a: {set: 2}}}
      - name: sell
        call: {service: stock, path: "/sku/${ input.sku }", query: {q: ["${ input.q }"]}, body: {z: "${ input }", a: 1}}
        retry: standard
        when: input.sku && event.headers.x
        compensate: {call: {service: stock, method: DELETE, path: "/sku/${ steps.sell.key }"}}
        catch:
          - {errors: [409], when: error.body.gone, steps: {raise: {type: gone, status: 410}}}
      - name: inner
        run: {saga: child, input: {n: 1}}
      - name: loop
        for: {each: i, in: [1, 2], steps: {set: "${ i }"}}
      - name: pause
        wait: 5s
    output: {sold: "${ steps.sell.output }"}
    ---
    id: child
    version: 4
    schema: {validated: true, input: {type: object, properties: {n: {type: integer}}}}
    steps: [{name: one, set: "${ input.n }"}]
    ---
    id: alarm
    steps: [{name: one, emit: {stream: placed, body: "${ input.error }"}, compensate: none}]
    ---
    id: stranger
    path: /s
    steps: [{name: one, set: 1}]
    """


def opened(result: Loaded, name: str = "parent", known: dict[str, Any] | None = None) -> tuple[Saga, dict[str, Any]]:
    saga = result.catalog.get(name)
    assert saga is not None
    return saga, json.loads(bundle(result.catalog, saga, known or {})[1])


def shape_of(value: Any) -> Any:
    """A noun as plain data: compiled expressions as their text or value, marks left out."""
    if isinstance(value, Expression):
        return ("expression", value.text)
    if isinstance(value, Template):
        return ("template", value.constant, value.value, sorted(value.reads.steps), sorted(value.reads.roots))
    if isinstance(value, TextTemplate):
        return ("text", value.constant, sorted(value.reads.steps), sorted(value.reads.roots))
    if isinstance(value, dict):
        return [(key, shape_of(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [shape_of(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return (
            type(value).__name__,
            [(f, shape_of(getattr(value, f))) for f in value.__dataclass_fields__ if f != "mark"],
        )
    return value


def test_a_saga_comes_out_of_its_bundle_as_it_went_in() -> None:
    result = loaded(FAMILY)
    for saga in result.catalog:
        opened_again = program(result.catalog, saga, {})
        assert shape_of(opened_again.saga) == shape_of(saga)


def test_a_redirect_comes_out_as_one_saga() -> None:
    result = loaded(
        "{id: e, path: /e, redirectTo: t, roles: [a]}\n---\nid: t\nroles: [b]\nsteps: [{name: one, set: 1}]\n"
    )
    saga = result.catalog.get("e")
    assert saga is not None
    assert shape_of(program(result.catalog, saga, {}).saga) == shape_of(saga)


def test_the_bytes_are_named_by_their_digest_and_are_always_the_same() -> None:
    first, second = (loaded(FAMILY) for _ in range(2))
    saga = first.catalog.get("parent")
    again = second.catalog.get("parent")
    assert saga is not None
    assert again is not None
    name, data = bundle(first.catalog, saga, {"channel": "web"})
    assert (name, data) == bundle(second.catalog, again, {"channel": "web"})
    assert name == digest(data) == open_bundle(data).digest


def test_a_bundle_holds_what_is_run_and_what_runs_on_failure_and_nobody_else() -> None:
    _, content = opened(loaded(FAMILY))
    assert set(content["sagas"]) == {"parent@1", "child@4", "alarm@1"}
    assert content["links"] == {"alarm": "alarm@1", "child": "child@4"}


def test_a_program_links_references_as_they_are_written() -> None:
    result = loaded(FAMILY)
    saga = result.catalog.get("parent")
    assert saga is not None
    links = program(result.catalog, saga, {}).links
    assert {word: target.ref for word, target in links.items()} == {"child": "child@4", "alarm": "alarm@1"}
    assert links["child"].schema.validated


def test_a_bundle_holds_the_variables_that_are_read_and_no_others() -> None:
    _, content = opened(loaded(FAMILY), known={"channel": "web", "unread": 1})
    assert content["vars"] == {"channel": "web"}
    result = loaded("id: parent\npath: /p\nsteps: [{name: one, set: '${ to_json(vars) }'}]\n")
    _, content = opened(result, known={"channel": "web", "unread": 1})
    assert content["vars"] == {"channel": "web", "unread": 1}


def test_a_bundle_says_which_parts_of_the_context_are_read() -> None:
    result = loaded(FAMILY)
    saga = result.catalog.get("parent")
    assert saga is not None
    assert program(result.catalog, saga, {}).reads == {"event.headers", "vars.channel"}


def test_named_retries_and_default_timeouts_are_written_out() -> None:
    _, content = opened(loaded(FAMILY))
    document = content["sagas"]["parent@1"]["document"]
    assert document["steps"][1]["retry"] == {"attempts": 4, "delay": "300ms"}
    assert "timeout" not in document  # it waits
    assert content["sagas"]["child@4"]["document"].get("timeout") is None
    _, content = opened(loaded(FAMILY), "stranger")
    assert content["sagas"]["stranger@1"]["document"]["timeout"] == "30000ms"


def test_schemas_are_held_inside(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text('{"type": "object", "required": ["id"]}')
    text = "id: parent\npath: /p\nschema: {input: {$ref: order.json}}\nsteps: [{name: one, set: 1}]\n"
    result = loaded(text, root=tmp_path, file=str(tmp_path / "a.yaml"))
    saga, content = opened(result)
    (tmp_path / "order.json").unlink()
    assert content["sagas"]["parent@1"]["document"]["schema"]["input"] == {"type": "object", "required": ["id"]}
    assert program(result.catalog, saga, {}).saga.schema == saga.schema


def test_branches_keep_their_order_through_the_bytes() -> None:
    result = loaded(FAMILY)
    saga = result.catalog.get("parent")
    assert saga is not None
    first: Step = program(result.catalog, saga, {}).saga.steps[0]
    assert isinstance(first.verb, Fork)
    assert list(first.verb.branches) == ["z", "a"]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"{}", b"not json", b'{"format": 1, "functions": 1}', b"\xff",
     b'{"format": 1, "functions": 1, "sagas": {"a@1": {"document": {"steps": 5}, "executed": ["a", 1]}}}'],
)  # fmt: skip
def test_bytes_that_are_no_bundle_are_refused(data: bytes) -> None:
    with pytest.raises(BundleUnreadable):
        open_bundle(data)


@pytest.mark.parametrize("key", ["format", "functions"])
def test_a_bundle_of_another_version_is_refused_with_a_sentence(key: str) -> None:
    _, content = opened(loaded(FAMILY))
    content[key] = 99
    with pytest.raises(BundleUnreadable, match="99"):
        open_bundle(msgspec.json.encode(content))


def test_a_saga_of_another_catalog_has_no_bundle() -> None:
    saga = loaded(FAMILY).catalog.get("parent")
    assert saga is not None
    with pytest.raises(KeyError):
        bundle(loaded("id: x\npath: /x\nsteps: [{name: one, set: 1}]\n").catalog, saga, {})
