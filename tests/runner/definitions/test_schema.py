"""The JSON Schema for editors says what the parser says, and the committed one is the current one."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runner.definitions.findings import Findings
from runner.definitions.header import HEADER
from runner.definitions.load import load
from runner.definitions.node import plain
from runner.definitions.read import read
from runner.definitions.schema import render_schema
from runner.definitions.shapes import takes
from tests.runner.definitions.sagas import SETTINGS

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "schemas" / "saga.schema.json"
GOOD = Path(__file__).parent / "good"
#: Every definition of the repository that is meant to be right.
VALID = sorted(
    path
    for folder in (GOOD / "definitions", ROOT / "definitions")
    for path in folder.rglob("*")
    if path.suffix in (".yaml", ".yml")
)


def documents(path: Path) -> list[Any]:
    """As an editor reads them: YAML 1.2, where dates and words like `on` are text."""
    return [plain(document.root) for document in read(str(path), path.read_bytes(), Findings())]


def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(render_schema()))


def test_the_committed_schema_is_current() -> None:
    assert COMMITTED.read_bytes() == render_schema(), "write it anew: saga schema -o schemas/saga.schema.json"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(render_schema()))


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.name)
def test_every_definition_that_loads_fits_the_schema(path: Path) -> None:
    for document in documents(path):
        assert [f"{error.json_path}: {error.message}" for error in validator().iter_errors(document)] == []


def test_the_example_of_everything_and_the_whole_one_load_without_an_error() -> None:
    result = load([GOOD / "definitions"], SETTINGS, GOOD)
    assert [f.message for f in result.findings if f.severity == "error"] == []
    assert {saga.ref for saga in result.catalog} == {"everything@0", "alarm@1", "place-order@2"}


def test_the_whole_example_has_no_finding_at_all() -> None:
    result = load([GOOD / "definitions" / "place-order.yaml"], SETTINGS, GOOD)
    assert result.findings == ()


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"version": -1},
        {"timeout": 30},
        {"steps": []},
        {"steps": [{"name": "a"}]},
        {"steps": [{"name": "a", "set": 1, "wait": "5s"}]},
        {"steps": [{"name": "a", "set": 1, "retry": {"attempts": 2}}]},
        {"steps": [{"name": "a", "call": {"service": "s", "pth": "/"}}]},
        {"steps": [{"name": "a", "raise": {"title": "t"}}]},
        {"roles": []},
        {"circuitBreaker": {"failureRateThreshold": 0}},
    ],
    ids=str,
)
def test_what_the_parser_refuses_by_shape_the_schema_refuses_too(change: dict[str, Any]) -> None:
    document = {"id": "a", "path": "/a", "steps": [{"name": "one", "set": 1}], **change}
    assert list(validator().iter_errors(document))


def test_every_key_has_a_description() -> None:
    bare: list[str] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for name, one in value.get("properties", {}).items() if isinstance(value.get("properties"), dict) else ():
                if not one.get("description"):
                    bare.append(f"{path}/{name}")
            for key, item in value.items():
                walk(item, f"{path}/{key}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                walk(item, f"{path}/{index}")

    walk(json.loads(render_schema()), "")
    assert bare == []


def test_every_shape_says_which_kinds_it_takes() -> None:
    assert all(takes(entry.shape) for entry in HEADER.keys.values())
