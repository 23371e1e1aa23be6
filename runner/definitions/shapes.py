"""Reads nodes by shapes: the values that a place takes, and a finding for each that it does not.

Expressions are not compiled here: they become holes, because what they may name depends on the whole saga.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from runner.definitions.draft import Hole, Site
from runner.definitions.findings import Findings, listed, meant
from runner.definitions.hints import (
    DURATION,
    compiled,
    duration_hint,
    number_hint,
    quote_hint,
    range_hint,
    word_hint,
    written,
)
from runner.definitions.node import FLAG, LIST, MAPPING, NULL, NUMBER, TEXT, Node, plain, told
from runner.definitions.words import elsewhere
from runner.saga.shape import (
    Bare,
    Duration,
    Either,
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

_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
#: A hundred years; more is a slip, and would not fit into a date.
_LONGEST: Final = 36_500 * 86_400_000
#: What follows a plain text that was cut short: comments mostly have a space after their sign.
_CUT: Final = re.compile(r"[ \t]+(#[A-Za-z0-9$][^ ]{0,20})")
_STATUS: Final = re.compile(r"[1-5][0-9][0-9]")
#: Longer texts are no words.
_LONGEST_WORD: Final = 16_384

#: `told` of text for people: `${ }` in it is prose, not a slip.
PROSE: Final = "free text"

_KIND_WORDS: Final = {
    MAPPING: "a mapping",
    LIST: "a list",
    TEXT: "text",
    NUMBER: "a number",
    FLAG: "true or false",
}

#: Which YAML kinds a shape takes.
_TAKES: Final[dict[type, frozenset[str]]] = {
    Flag: frozenset({FLAG}),
    Whole: frozenset({NUMBER}),
    Percent: frozenset({NUMBER}),
    Number: frozenset({NUMBER}),
    Word: frozenset({TEXT}),
    Duration: frozenset({TEXT, NUMBER}),
    Bare: frozenset({TEXT, NUMBER, FLAG}),
    FilledText: frozenset({TEXT}),
    Kinds: frozenset({LIST}),
    Steps: frozenset({LIST, MAPPING}),
    Many: frozenset({LIST}),
    Table: frozenset({MAPPING}),
    Record: frozenset({MAPPING}),
}
_ANY: Final = frozenset({MAPPING, LIST, TEXT, NUMBER, FLAG, NULL})


def takes(shape: Shape) -> frozenset[str]:
    """The YAML kinds that fit a shape."""
    if isinstance(shape, Either):
        return frozenset().union(*(takes(one) for one in shape.of))
    if isinstance(shape, Literal):
        return frozenset({MAPPING}) if shape.mapping else _ANY
    return _TAKES.get(type(shape), _ANY)


class ShapeReader:
    """Reads values into boxes (`box[key] = value`); a value with a finding is left out of its box.

    `site` is where expressions look from, `holes` gathers them; `steps` is called for a list of steps, with
    the node, the box and key for the result, and `label`, the segment that the list adds to paths.
    """

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.holes: list[Hole] = []
        self.site: Site
        self.label: str | None = None
        self.steps: Callable[[Node, Any, Any], None]

    def read(self, shape: Shape, node: Node, box: Any, key: Any) -> None:
        """Reads `node` by `shape` into `box[key]`."""
        _READERS[type(shape)](self, shape, node, box, key)

    def record(self, shape: Record, node: Node, box: dict[str, Any], what: str) -> None:
        """Reads the keys of a mapping into `box`; `what` names the mapping in messages."""
        if node.kind != MAPPING:
            self._wrong_kind(node, "a mapping", quote_hint(node))
            return
        keys = shape.keys
        for name, (key_node, value) in node.value.items():
            entry = keys.get(name)
            if entry is None:
                self.unknown(key_node, keys, what)
            elif value.kind == NULL and NULL not in takes(entry.shape):
                if not entry.nullable:
                    self.findings.add("SG102", key_node, f"`{name}` has no value", "give it one, or remove it")
            else:
                _READERS[type(entry.shape)](self, entry.shape, value, box, name)
        for name, entry in keys.items():
            if entry.required and name not in node.value:
                self.findings.add("SG103", node, f"{what} needs `{name}`", entry.doc)

    def unknown(self, key: Node, known: Any, what: str) -> None:
        """The finding for a key that is not known there."""
        name = key.value
        hint = elsewhere(name, known) or meant(name, known, f"{what} takes {listed(sorted(known))}")
        self.findings.add("SG101", key, f"unknown key `{name[:80]}`", hint)

    # -- one function per shape -------------------------------------------------------------------

    def _flag(self, _: Flag, node: Node, box: Any, key: Any) -> None:
        if node.kind == FLAG:
            box[key] = node.value
            return
        hint = "write true or false"
        if node.kind == TEXT and (word := _FLAG_WORDS.get(node.value.lower())):
            hint = f"write {word}: only `true` and `false` are flags, other words are text"
        self._wrong_kind(node, "true or false", hint)

    def _whole(self, shape: Whole, node: Node, box: Any, key: Any) -> None:
        value = node.value
        if node.kind != NUMBER or not isinstance(value, int):
            self._wrong_kind(node, "a whole number", number_hint(node))
        elif (shape.low is not None and value < shape.low) or (shape.high is not None and value > shape.high):
            self.findings.add("SG105", node, f"{value} is out of range", range_hint(shape.low, shape.high))
        else:
            box[key] = value

    def _percent(self, _: Percent, node: Node, box: Any, key: Any) -> None:
        if node.kind != NUMBER:
            self._wrong_kind(node, "a number", number_hint(node))
        elif not 0 < node.value <= 100:
            self.findings.add("SG105", node, f"{node.value} is out of range", "a percentage over 0 and up to 100")
        else:
            box[key] = float(node.value)

    def _number(self, shape: Number, node: Node, box: Any, key: Any) -> None:
        if node.kind != NUMBER:
            self._wrong_kind(node, "a number", number_hint(node))
        elif shape.above is not None and not node.value > shape.above:
            self.findings.add("SG105", node, f"{node.value} is out of range", f"it must be over {shape.above:g}")
        else:
            box[key] = node.value

    def _word(self, shape: Word, node: Node, box: Any, key: Any) -> None:
        if node.kind != TEXT:
            hint = f'quote it: "{written(node)}"' if node.kind in (NUMBER, FLAG) else ""
            self._wrong_kind(node, shape.told or "text", hint)
            return
        value: str = node.value
        if "${" in value and shape.told != PROSE:
            wrong = "`${ }` is not evaluated here"
            self.findings.add("SG309", node, wrong, f"this takes {shape.told or 'literal text'}")
        elif shape.choices:
            value = value.upper() if shape.upper else value
            if value in shape.choices:
                box[key] = value
            else:
                hint = meant(node.value, shape.choices, f"it takes {listed(shape.choices)}")
                self.findings.add("SG104", node, f"`{node.value[:80]}` is not known here", hint)
        elif not value or len(value) > _LONGEST_WORD:
            wrong = "an empty text says nothing here" if not value else "the text is too long"
            self.findings.add("SG104", node, wrong, "write a short text, or remove the key")
        elif shape.pattern is not None and not compiled(shape.pattern).fullmatch(value):
            form = shape.told or f"text of the form {shape.pattern}"
            self.findings.add("SG104", node, f"`{value[:80]}` is not {form}", word_hint(shape, value))
        else:
            if shape.told == PROSE:
                self._whole_text(node)
            box[key] = value

    def _duration(self, shape: Duration, node: Node, box: Any, key: Any) -> None:
        value = node.value
        if node.kind == NUMBER and isinstance(value, int):
            if shape.bare:
                self._milliseconds(value, node, box, key)
            else:
                hint = f"write `{value}ms` or `{value}s`"
                self.findings.add("SG106", node, f"the duration {value} has no unit", hint)
        elif node.kind == TEXT and (match := DURATION.fullmatch(value)):
            self._milliseconds(int(match[1]) * _UNITS[match[2]], node, box, key)
        elif shape.filled and node.kind == TEXT and value.strip().startswith("${"):
            self._hole(shape, node, box, key)
        elif node.kind in (TEXT, NUMBER):
            hint = duration_hint(str(value))
            self.findings.add("SG106", node, f"`{str(value)[:80]}` is not a duration", hint)
        else:
            self._wrong_kind(node, "a duration", "write it like 250ms, 30s, 5m, 2h or 7d")

    def _milliseconds(self, value: int, node: Node, box: Any, key: Any) -> None:
        if 0 <= value <= _LONGEST:
            box[key] = value
        else:
            self.findings.add("SG105", node, f"{written(node)} is out of range", "from 0 to 36500d")

    def _bare(self, shape: Bare, node: Node, box: Any, key: Any) -> None:
        if node.kind in (NUMBER, FLAG):
            # `when: true` and `key: 5` are expressions that YAML has read already.
            node = Node(TEXT, written(node), node.line, node.column, "", node.source)
        if node.kind != TEXT:
            self._wrong_kind(node, "an expression", quote_hint(node))
            return
        self._hole(shape, node, box, key)

    def _filled(self, shape: Filled, node: Node, box: Any, key: Any) -> None:
        self._whole_text(node)
        self._hole(shape, node, box, key)

    def _filled_text(self, shape: FilledText, node: Node, box: Any, key: Any) -> None:
        if node.kind != TEXT:
            hint = f'quote it: "{written(node)}"' if node.kind in (NUMBER, FLAG) else quote_hint(node)
            self._wrong_kind(node, "text", hint)
            return
        self._whole_text(node)
        self._hole(shape, node, box, key)

    def _whole_text(self, node: Node) -> None:
        """A warning where YAML took the end of a plain text for a comment that does not look like one."""
        if node.kind == TEXT and not node.style and 0 < node.line <= len(node.source.lines):
            rest = node.source.lines[node.line - 1][node.column - 1 + len(node.value) :]
            if match := _CUT.match(rest):
                wrong = f"the text ends before `{match[1]}`: YAML takes the rest for a comment"
                self.findings.add("SG416", node, wrong, "quote it, or put a space after the # of a comment")

    def _hole(self, shape: Shape, node: Node, box: Any, key: Any) -> None:
        self.holes.append(Hole(box, key, node, shape, self.site))

    def _literal(self, shape: Literal, node: Node, box: Any, key: Any) -> None:
        if shape.mapping and node.kind != MAPPING:
            self._wrong_kind(node, "a mapping", "write keys and values below it")
            return
        box[key] = plain(node)

    def _kinds(self, _: Kinds, node: Node, box: Any, key: Any) -> None:
        if node.kind != LIST:
            hint = f"write it as a list: [{written(node)}]" if node.kind in (TEXT, NUMBER) else ""
            self._wrong_kind(node, "a list of error kinds", hint)
            return
        if not node.value:
            self.findings.add("SG110", node, "an empty list of error kinds names none", "name one, or `any`")
            return
        kinds = []
        for item in node.value:
            if item.kind == NUMBER and isinstance(item.value, int) and _STATUS.fullmatch(str(item.value)):
                kinds.append(str(item.value))
            elif item.kind == TEXT:
                kinds.append(item.value)
            else:
                self._wrong_kind(item, "an error kind", "a word, a status like 409, or a class like 5xx")
        box[key] = tuple(kinds)

    def _steps(self, _: Steps, node: Node, box: Any, key: Any) -> None:
        self.steps(node, box, key)

    def _many(self, shape: Many, node: Node, box: Any, key: Any) -> None:
        if node.kind != LIST:
            hint = f"write it as a list: [{written(node)}]" if node.kind in (TEXT, NUMBER) else ""
            self._wrong_kind(node, "a list", hint)
            return
        if not node.value and not shape.empty:
            self.findings.add("SG110", node, "an empty list says nothing here", "remove the key, or fill the list")
            return
        items: list[Any] = [None] * len(node.value)
        reader = _READERS[type(shape.of)]
        for index, item in enumerate(node.value):
            self.label = str(index)
            if item.kind == NULL and NULL not in takes(shape.of):
                self._wrong_kind(item, "a value", "remove the empty item")
                continue
            reader(self, shape.of, item, items, index)
        box[key] = items

    def _table(self, shape: Table, node: Node, box: Any, key: Any) -> None:
        if node.kind != MAPPING:
            self._wrong_kind(node, "a mapping", "write keys and values below it")
            return
        if not node.value and not shape.empty:
            self.findings.add("SG110", node, "an empty mapping says nothing here", "remove the key, or fill it")
            return
        if shape.most is not None and len(node.value) > shape.most:
            wrong = f"{len(node.value)} entries are too many"
            self.findings.add("SG112", node, wrong, f"{shape.most} at most")
            return
        entries: dict[str, Any] = {}
        reader = _READERS[type(shape.of)]
        for name, (key_node, value) in node.value.items():
            if shape.key is not None and not compiled(shape.key).fullmatch(name):
                hint = f"it must be of the form {shape.key}"
                self.findings.add("SG104", key_node, f"`{name[:80]}` is not a name for an entry here", hint)
                continue
            self.label = name
            if value.kind == NULL and NULL not in takes(shape.of):
                self.findings.add("SG102", key_node, f"`{name}` has no value", "give it one, or remove it")
                continue
            reader(self, shape.of, value, entries, name)
        box[key] = entries

    def _either(self, shape: Either, node: Node, box: Any, key: Any) -> None:
        for one in shape.of:
            if node.kind in takes(one):
                _READERS[type(one)](self, one, node, box, key)
                return
        wanted = " or ".join(dict.fromkeys(_KIND_WORDS[kind] for one in shape.of for kind in _ordered(takes(one))))
        self._wrong_kind(node, wanted, "")

    def _record(self, shape: Record, node: Node, box: Any, key: Any) -> None:
        inner: dict[str, Any] = {}
        label = self.label
        self.record(shape, node, inner, f"`{key}`" if isinstance(key, str) else "an entry")
        self.label = label
        box[key] = inner

    def _wrong_kind(self, node: Node, wanted: str, hint: str) -> None:
        hint = hint or f"write {wanted}"
        self.findings.add("SG102", node, f"{wanted} is expected here, not {told(node)}", hint)


_READERS: Final[dict[type, Any]] = {
    Flag: ShapeReader._flag,
    Whole: ShapeReader._whole,
    Percent: ShapeReader._percent,
    Number: ShapeReader._number,
    Word: ShapeReader._word,
    Duration: ShapeReader._duration,
    Bare: ShapeReader._bare,
    Filled: ShapeReader._filled,
    FilledText: ShapeReader._filled_text,
    Literal: ShapeReader._literal,
    Kinds: ShapeReader._kinds,
    Steps: ShapeReader._steps,
    Many: ShapeReader._many,
    Table: ShapeReader._table,
    Either: ShapeReader._either,
    Record: ShapeReader._record,
}

_FLAG_WORDS: Final = {
    **dict.fromkeys(("true", "yes", "on", "y", "1"), "true"),
    **dict.fromkeys(("false", "no", "off", "n", "0"), "false"),
}


def _ordered(kinds: frozenset[str]) -> list[str]:
    return [kind for kind in _KIND_WORDS if kind in kinds]
