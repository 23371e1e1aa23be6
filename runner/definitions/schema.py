"""The JSON Schema of the language, for editors: emitted from the shapes that documents are read by."""

import json
from typing import Any, Final

from runner.definitions.header import HEADER
from runner.saga.shape import (
    Bare,
    Duration,
    Either,
    Entry,
    Filled,
    FilledText,
    Flag,
    Kinds,
    Literal,
    Many,
    Number,
    Percent,
    Record,
    Shape,
    Steps,
    Table,
    Whole,
    Word,
)
from runner.steps import ALLOWED, KINDS, STEP_KEYS

_DURATION: Final = r"^[0-9]+(ms|s|m|h|d)$"
_FILLED: Final = r"\$\{"


def render_schema() -> bytes:
    """`schemas/saga.schema.json` as it must be.

    Draft 2020-12, a description for every key, always the same bytes.
    """
    return (json.dumps(schema(), indent=2, ensure_ascii=False) + "\n").encode()


def schema() -> dict[str, Any]:
    """The schema of one document."""
    whole = _record(HEADER)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Saga",
        **whole,
        "$defs": {
            "steps": {
                "description": "A list of steps; one step may stand in its place.",
                "anyOf": [
                    {"$ref": "#/$defs/step"},
                    {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1},
                ],
            },
            "step": _step(),
            "duration": {
                "description": "A whole number and its unit, like 250ms, 30s, 5m, 2h or 7d.",
                "type": "string",
                "pattern": _DURATION,
            },
            "kinds": {
                "description": "Error kinds: built-in words, statuses, classes, raised types, or `any`.",
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 300, "maximum": 599}]},
            },
        },
    }


def _step() -> dict[str, Any]:
    """A step: the common keys, exactly one verb, and each key only on the verbs that take it."""
    properties = {name: _entry(entry) for name, entry in STEP_KEYS.items()}
    for word, kind in KINDS.items():
        doc = kind.SHAPE.doc if isinstance(kind.SHAPE, Record) else kind.DOC
        properties[word] = {"description": doc, **_shape(kind.SHAPE)}
    refused = [
        {"if": {"required": [word]}, "then": {"not": {"anyOf": [{"required": [key]} for key in keys]}}}
        for word in KINDS
        if (keys := [key for key, verbs in ALLOWED.items() if word not in verbs])
    ]
    return {
        "description": "One step: exactly one verb, and the keys that steps share.",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "oneOf": [{"required": [word]} for word in KINDS],
        "allOf": refused,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    doc = entry.doc + (f" Default: {entry.default}." if entry.default else "")
    shape = _shape(entry.shape)
    if entry.nullable:
        shape = {"anyOf": [shape, {"type": "null"}]}
    return {"description": doc, **{key: value for key, value in shape.items() if key != "description"}}


def _record(shape: Record) -> dict[str, Any]:
    required = [name for name, entry in shape.keys.items() if entry.required]
    return {
        **({"description": shape.doc} if shape.doc else {}),
        "type": "object",
        "properties": {name: _entry(entry) for name, entry in shape.keys.items()},
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def _shape(shape: Shape) -> dict[str, Any]:
    match shape:
        case Flag():
            return {"type": "boolean"}
        case Whole(low=low, high=high):
            return {"type": "integer", **_bounds(low, high)}
        case Percent():
            return {"type": "number", "exclusiveMinimum": 0, "maximum": 100}
        case Number(above=above):
            return {"type": "number", **({} if above is None else {"exclusiveMinimum": above})}
        case Word():
            return _word(shape)
        case Duration(bare=bare, filled=filled):
            if filled:
                return {"type": "string", "pattern": f"{_DURATION}|{_FILLED}"}
            text = {"$ref": "#/$defs/duration"}
            return {"anyOf": [text, {"type": "integer", "minimum": 0}]} if bare else text
        case Bare():
            return {"type": ["string", "number", "boolean"]}
        case FilledText():
            return {"type": "string"}
        case Filled():
            return {}
        case Literal(mapping=mapping):
            return {"type": "object"} if mapping else {}
        case Kinds():
            return {"$ref": "#/$defs/kinds"}
        case Steps():
            return {"$ref": "#/$defs/steps"}
        case Many(of=of, empty=empty):
            return {"type": "array", "items": _shape(of), **({} if empty else {"minItems": 1})}
        case Table():
            return _table(shape)
        case Either(of=of):
            return _shape(of[0]) if len(of) == 1 else {"anyOf": [_shape(one) for one in of]}
        case Record():
            return _record(shape)


def _word(shape: Word) -> dict[str, Any]:
    if not shape.choices:
        return {
            "type": "string",
            "minLength": 1,
            **({"pattern": f"^(?:{shape.pattern})$"} if shape.pattern else {}),
        }
    words = list(shape.choices)
    if shape.upper:
        words += [word.lower() for word in words]
    return {"enum": words}


def _table(shape: Table) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": _shape(shape.of),
        **({"propertyNames": {"pattern": f"^(?:{shape.key})$"}} if shape.key is not None else {}),
        **({"maxProperties": shape.most} if shape.most is not None else {}),
        **({} if shape.empty else {"minProperties": 1}),
    }


def _bounds(low: int | None, high: int | None) -> dict[str, int]:
    return {**({} if low is None else {"minimum": low}), **({} if high is None else {"maximum": high})}
