"""Schemas of input and output: self-contained, checked, and from below one folder only."""

import json
from pathlib import Path

import jsonschema
import pytest

from registry.base.values import Json
from runner.definitions.load import Loaded
from tests.runner.definitions.sagas import loaded


def loading(folder: Path, schema: str) -> Loaded:
    (folder / "definitions").mkdir(exist_ok=True)
    text = f"id: a\npath: /a\nschema: {{input: {schema}}}\nsteps: [{{name: one, set: 1}}]\n"
    return loaded(text, root=folder, file=str(folder / "definitions" / "a.yaml"))


def schema_of(folder: Path, schema: str) -> Json:
    result = loading(folder, schema)
    assert result.findings == (), result.findings
    saga = result.catalog.get("a")
    assert saga is not None
    return saga.schema.input


def code_of(folder: Path, schema: str) -> str:
    [finding] = loading(folder, schema).findings
    return finding.code


def write(path: Path, value: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def fits(schema: Json, value: Json) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def test_a_reference_to_a_whole_file_becomes_that_file(tmp_path: Path) -> None:
    write(
        tmp_path / "schemas/order.json",
        {"type": "object", "properties": {"l": {"$ref": "#/$defs/L"}}, "$defs": {"L": {"type": "integer"}}},
    )
    schema = schema_of(tmp_path, "{$ref: ../schemas/order.json}")
    assert fits(schema, {"l": 1})
    assert not fits(schema, {"l": "x"})


def test_a_pointer_into_a_file_brings_along_what_it_refers_to(tmp_path: Path) -> None:
    write(
        tmp_path / "schemas/shared.json",
        {
            "$id": "https://x.example/shared.json",
            "$defs": {"Order": {"properties": {"l": {"$ref": "#/$defs/L"}}}, "L": {"$ref": "deep/n.json"}},
        },
    )
    write(tmp_path / "schemas/deep/n.json", {"type": "integer"})
    schema = schema_of(tmp_path, "{type: object, properties: {o: {$ref: ../schemas/shared.json#/$defs/Order}}}")
    assert fits(schema, {"o": {"l": 1}})
    assert not fits(schema, {"o": {"l": "x"}})
    assert "shared.json" not in json.dumps(schema)


def test_files_that_refer_to_each_other_end(tmp_path: Path) -> None:
    write(tmp_path / "schemas/a.json", {"properties": {"b": {"$ref": "b.json"}}})
    write(tmp_path / "schemas/b.json", {"properties": {"a": {"$ref": "a.json"}, "n": {"type": "integer"}}})
    schema = schema_of(tmp_path, "{$ref: ../schemas/a.json}")
    assert fits(schema, {"b": {"a": {"b": {"n": 1}}}})
    assert not fits(schema, {"b": {"a": {"b": {"n": "x"}}}})


def test_a_definition_of_the_same_name_keeps_its_place(tmp_path: Path) -> None:
    write(tmp_path / "schemas/order.json", {"type": "integer"})
    schema = schema_of(
        tmp_path,
        "{properties: {a: {$ref: '#/$defs/order'}, b: {$ref: ../schemas/order.json}}, $defs: {order: {type: string}}}",
    )
    assert fits(schema, {"a": "x", "b": 1})
    assert not fits(schema, {"a": 1})
    assert not fits(schema, {"b": "x"})


def test_an_anchor_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "schemas/order.json", {"$defs": {"L": {"$anchor": "line", "type": "integer"}}})
    schema = schema_of(tmp_path, "{properties: {l: {$ref: ../schemas/order.json#line}}}")
    assert not fits(schema, {"l": "x"})
    assert code_of(tmp_path, "{properties: {l: {$ref: ../schemas/order.json#lines}}}") == "SG230"


def test_data_that_looks_like_a_reference_is_left_alone(tmp_path: Path) -> None:
    schema = schema_of(tmp_path, "{const: {$ref: https://x.example/}, examples: [{$ref: nowhere.json}]}")
    assert schema == {"const": {"$ref": "https://x.example/"}, "examples": [{"$ref": "nowhere.json"}]}


def test_an_older_draft_is_taken_by_its_name(tmp_path: Path) -> None:
    draft4 = "'http://json-schema.org/draft-04/schema#'"
    assert schema_of(tmp_path, f"{{$schema: {draft4}, maximum: 5, exclusiveMaximum: true}}")["maximum"] == 5
    assert code_of(tmp_path, "{maximum: 5, exclusiveMaximum: true}") == "SG229"
    assert code_of(tmp_path, "{$schema: 'https://x.example/schema'}") == "SG229"


@pytest.mark.parametrize("schema", ["true", "{}", "{$ref: '#/$defs/a', $defs: {a: {type: integer}}}"])
def test_schemas_without_files_stay_as_they_are(tmp_path: Path, schema: str) -> None:
    schema_of(tmp_path, schema)


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("https://x.example/a.json", "SG230"),
        ("//x.example/a.json", "SG230"),
        ("urn:x:y", "SG230"),
        ("file:///etc/hostname", "SG230"),
        ("../../a.json", "SG230"),
        ("../schemas/none.json", "SG230"),
        ("../schemas", "SG230"),
        ("../schemas/broken.json", "SG229"),
        ("../schemas/wrong.json", "SG229"),
        ("../schemas/right.json#/$defs/none", "SG230"),
    ],
)
def test_references_that_lead_nowhere_are_errors_at_the_reference(tmp_path: Path, reference: str, code: str) -> None:
    write(tmp_path / "schemas/right.json", {"type": "integer"})
    write(tmp_path / "schemas/wrong.json", {"type": "strange"})
    (tmp_path / "schemas/broken.json").write_text("{")
    for schema in (f"{{$ref: '{reference}'}}", f"{{properties: {{a: {{$ref: '{reference}'}}}}}}"):
        assert code_of(tmp_path, schema) == code


def test_a_link_out_of_the_folder_is_no_way_around(tmp_path: Path) -> None:
    write(tmp_path / "outside.json", {})
    inside = tmp_path / "inside"
    (inside / "schemas").mkdir(parents=True)
    (inside / "schemas/link.json").symlink_to(tmp_path / "outside.json")
    assert code_of(inside, "{$ref: ../schemas/link.json}") == "SG230"


def test_an_oversized_schema_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "schemas/big.json", {"description": "x" * 1_048_576})
    assert code_of(tmp_path, "{$ref: ../schemas/big.json}") == "SG229"


@pytest.mark.parametrize(
    ("schema", "right"),
    [
        ("{type: integer, examples: [1, x]}", True),
        ("{type: integer, examples: [x, 1]}", False),
        ("{type: integer, default: x}", False),
        ("{type: string, enum: [a]}", True),
        ("{type: integer, const: a}", False),
        ("{type: integer}", True),
        ("true", True),
    ],
)
def test_the_sample_that_a_mock_replies_with_fits_its_own_schema(schema: str, right: bool) -> None:
    result = loaded(f"id: a\npath: /a\nschema: {{mock: true, output: {schema}}}\n")
    assert [finding.code for finding in result.findings] == ([] if right else ["SG229"])
    assert loaded(f"id: a\npath: /a\nschema: {{output: {schema}}}\nsteps: [{{name: x, set: 1}}]\n").findings == ()
