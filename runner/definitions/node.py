"""A document as nodes that know where they were written, and JSON values as nodes that know it of nothing."""

import re
from typing import Any, Final

import msgspec

from registry.base.values import Json

MAPPING: Final = "mapping"
LIST: Final = "list"
TEXT: Final = "text"
NUMBER: Final = "number"
FLAG: Final = "flag"
NULL: Final = "null"

#: Line breaks as YAML has them.
LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class Source(msgspec.Struct, frozen=True, gc=False):
    """The file that nodes were read from."""

    file: str
    lines: tuple[str, ...] = ()


NOWHERE: Final = Source("")


class Node(msgspec.Struct, gc=False):
    """One YAML value. Lines and columns count from 1; 0 where it was not read from a file.

    `value` by `kind`: mapping: dict of key text to (key node, value node); list: list of nodes; text: str;
    number: int or float; flag: bool; null: None.
    """

    kind: str
    value: Any
    line: int = 0
    column: int = 0
    #: How a text is written: `''` plain, or one of `'`, `"`, `|`, `>`.
    style: str = ""
    source: Source = NOWHERE

    def get(self, key: str) -> "Node | None":
        """The value under `key` of a mapping; None where it is absent, or where this is no mapping."""
        if self.kind != MAPPING:
            return None
        pair = self.value.get(key)
        return None if pair is None else pair[1]

    def key(self, key: str) -> "Node":
        """The node of the key itself, or this node where the key is absent."""
        pair = self.value.get(key) if self.kind == MAPPING else None
        return self if pair is None else pair[0]


def plain(node: Node) -> Json:
    """The JSON value that a node says, keys in the order in which they were written."""
    kind = node.kind
    if kind == MAPPING:
        return {key: plain(pair[1]) for key, pair in node.value.items()}
    if kind == LIST:
        return [plain(item) for item in node.value]
    return node.value


def node_of(value: Json, at: Node | None = None) -> Node:
    """The node that says a JSON value, each part at the place of `at`; without it, at none."""
    line, column, source = (0, 0, NOWHERE) if at is None else (at.line, at.column, at.source)
    if isinstance(value, dict):
        pairs = {key: (Node(TEXT, key, line, column, "", source), node_of(item, at)) for key, item in value.items()}
        return Node(MAPPING, pairs, line, column, "", source)
    if isinstance(value, list | tuple):
        return Node(LIST, [node_of(item, at) for item in value], line, column, "", source)
    return Node(scalar_kind(value), value, line, column, "", source)


def scalar_kind(value: Json) -> str:
    """The kind of a value that is neither mapping nor list."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return FLAG
    return TEXT if isinstance(value, str) else NUMBER


def told(node: Node) -> str:
    """What stands there, for a message: `the text "yes"`, `a list`."""
    if node.kind in (MAPPING, LIST):
        return f"a {node.kind}"
    if node.kind == NULL:
        return "nothing"
    if node.kind == TEXT:
        shown = node.value if len(node.value) <= 40 else node.value[:37] + "..."
        return f"the text `{shown}`"
    return f"`{str(node.value).lower() if node.kind == FLAG else node.value}`"


def spot(node: Node, offset: int) -> tuple[int, int]:
    """Line and column of character `offset` of a text, by walking its source beside its value.

    White space is skipped on both sides and escapes are passed over, so quoted, folded and literal texts come
    out right but for a character that is itself written as an escape (`\\x41`): there the spot is the text's
    end.
    """
    lines, row, at = node.source.lines, node.line - 1, node.column - 1
    if not 0 <= row < len(lines):
        return node.line, node.column
    if node.style in ("|", ">"):
        row, at = row + 1, 0
    elif node.style:
        at += 1
    line = lines[row] if row < len(lines) else ""
    for sign in node.value[:offset]:
        if sign.isspace():
            continue
        while (found := line.find(sign, at)) < 0:
            row, at = row + 1, 0
            if row >= len(lines):
                return node.line, node.column
            line = lines[row]
        at = found + 1
    rest = node.value[offset : offset + 1]
    while rest and not rest.isspace() and (found := line.find(rest, at)) < 0:
        row, at = row + 1, 0
        if row >= len(lines):
            return node.line, node.column
        line = lines[row]
    if rest and not rest.isspace():
        at = line.find(rest, at)
    return row + 1, at + 1
