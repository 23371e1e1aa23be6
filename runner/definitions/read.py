"""YAML text to nodes with marks: the only place that knows YAML.

PyYAML's C parser gives events; the nodes are built here, so that documents are bounded while they are read
(aliases count each time they are used) and deep ones cannot overflow a stack. The resolvers are our own: only
`true false null ~` and nothing are special and numbers are JSON's, so `on`, `NO`, `010` and `12:30:00` stay
what the author wrote.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs do not re-export it
from yaml.error import MarkedYAMLError
from yaml.reader import ReaderError

from runner.definitions import traps
from runner.definitions.findings import Findings
from runner.definitions.node import FLAG, LINE_BREAK, LIST, MAPPING, NULL, NUMBER, TEXT, Node, Source

MAX_NODES: Final = 10_000
MAX_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 64
#: A file holds many documents, but it is read into memory as a whole.
MAX_FILE_BYTES: Final = 64 * MAX_BYTES

_SPECIAL: Final[dict[str, tuple[str, Any]]] = {
    "": (NULL, None),
    "~": (NULL, None),
    "null": (NULL, None),
    "true": (FLAG, True),
    "false": (FLAG, False),
}
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NUMBER_STARTS: Final = frozenset("-0123456789")
_DOCUMENT: Final = re.compile(r"^---(?=[ \t\r\n\x85\u2028\u2029]|\Z)", re.MULTILINE)
_NO_CONTENT: Final = re.compile(r"(?:[ \t]*(?:#.*|%.*|\.\.\.[ \t]*)?(?:\r\n|[\n\r]|\Z))*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document of a file; `part` counts from 0 within it."""

    source: Source
    root: Node
    part: int


class _Refused(Exception):
    """A rule of ours that a document breaks: the rest of it is not read."""

    def __init__(self, code: str, mark: Any, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.mark, self.message, self.hint = code, mark, message, hint


def read(file: str, data: bytes, findings: Findings) -> list[Document]:
    """The documents of one file.

    What cannot be read becomes a finding, and the documents after it are still read.
    """
    if len(data) > MAX_FILE_BYTES:
        findings.add_at("SG006", Source(file), 1, 1, f"the file has {len(data)} bytes", "split it over several files")
        return []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        breaks = list(LINE_BREAK.finditer(before))
        column = len(before) - (breaks[-1].end() if breaks else 0) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        findings.add_at("SG008", Source(file), len(breaks) + 1, column, message, "save the file as UTF-8")
        return []
    source = Source(file, tuple(LINE_BREAK.split(text)))
    documents: list[Document] = []
    for start, end in _parts(text):
        part = text[start:end]
        first_line = len(LINE_BREAK.findall(text, 0, start)) if start else 0
        if len(part) * 4 > MAX_BYTES and (size := len(part.encode())) > MAX_BYTES:
            message = f"the document has {size} bytes; at most {MAX_BYTES} are read"
            findings.add_at("SG006", source, first_line + 1, 1, message, "split it, or run parts of it as sagas")
            continue
        for root in _Builder(source, first_line, findings).roots(part):
            documents.append(Document(source=source, root=root, part=len(documents)))
    return documents


def _parts(text: str) -> list[tuple[int, int]]:
    """Where documents begin and end.

    `---` at a line's start always separates, so one bad document harms no other.
    """
    cuts = [0]
    for match in _DOCUMENT.finditer(text):
        # Comments and directives belong to the document that they stand above.
        if not _NO_CONTENT.match(text, cuts[-1], match.start()):
            cuts.append(match.start())
    return list(zip(cuts, [*cuts[1:], len(text)], strict=True))


class _Builder:
    """Builds the nodes of one part of a file from the parser's events."""

    def __init__(self, source: Source, first_line: int, findings: Findings) -> None:
        self._source = source
        self._first_line = first_line
        self._findings = findings
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._count = 0

    def roots(self, text: str) -> list[Node]:
        found: list[Node] = []
        try:
            parser = CParser(text)
            while True:
                event = parser.get_event()
                kind = event.__class__
                if kind is yaml.StreamEndEvent:
                    return found
                if kind is yaml.DocumentStartEvent:
                    self._anchors, self._count = {}, 0
                    root = self._document(parser)
                    if root.kind != NULL:
                        found.append(root)
        except _Refused as refused:
            self._add(refused.code, refused.mark.line, refused.mark.column, refused.message, refused.hint)
        except MarkedYAMLError as error:
            self._syntax(error)
        except ReaderError as error:
            self._unreadable(error, text)
        except UnicodeEncodeError as error:
            lines = LINE_BREAK.split(text[: error.start])
            self._add("SG008", len(lines) - 1, len(lines[-1]), "half a surrogate pair is no character", "remove it")
        return found

    def _document(self, parser: Any) -> Node:
        """The nodes of one document, without recursion: `open_` holds what is not yet closed."""
        source, first = self._source, self._first_line + 1
        root: Node | None = None
        open_: list[Node] = []
        # Per open collection: the count of nodes before it, the anchor's name, the key that waits for its
        # value.
        before: list[int] = []
        anchors: list[str | None] = []
        keys: list[Node | None] = []
        heights: list[int] = []
        while True:
            event = parser.get_event()
            kind = event.__class__
            if kind is yaml.ScalarEvent:
                node = self._scalar(event, source, first)
                size, height = 1, 0
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                mark = event.start_mark
                self._check_tag(event)
                if len(open_) >= MAX_DEPTH:
                    raise _Refused(
                        "SG007",
                        mark,
                        f"more than {MAX_DEPTH} levels deep",
                        "run the inner part as a saga of its own",
                    )
                self._grow(1, mark)
                mapping = kind is yaml.MappingStartEvent
                node = Node(
                    MAPPING if mapping else LIST,
                    {} if mapping else [],
                    mark.line + first,
                    mark.column + 1,
                    "",
                    source,
                )
                open_.append(node)
                before.append(self._count - 1)
                anchors.append(event.anchor)
                keys.append(None)
                heights.append(0)
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                node = open_.pop()
                size, height = self._count - before.pop(), heights.pop() + 1
                keys.pop()
                anchor = anchors.pop()
                if anchor is not None:
                    self._anchors[anchor] = (node, size, height)
            elif kind is yaml.AliasEvent:
                node, size, height = self._alias(event, len(open_))
            else:  # the document's end
                assert root is not None
                return root
            if kind is yaml.ScalarEvent and event.anchor is not None:
                self._anchors[event.anchor] = (node, size, height)
            if not open_:
                root = node
                continue
            if height >= heights[-1]:
                heights[-1] = height
            parent = open_[-1]
            if parent.kind == LIST:
                parent.value.append(node)
            elif keys[-1] is None:
                keys[-1] = self._key(node)
            else:
                self._entry(parent, keys[-1], node)
                keys[-1] = None

    def _scalar(self, event: Any, source: Source, first: int) -> Node:
        mark, value = event.start_mark, event.value
        line, column = mark.line + first, mark.column + 1
        if event.tag is not None:
            self._check_tag(event)
        self._count += 1
        if self._count > MAX_NODES:
            self._grow(0, mark)
        style = event.style
        if not event.implicit[0]:
            return Node(TEXT, value, line, column, style, source)
        special = _SPECIAL.get(value)
        if special is not None:
            return Node(special[0], special[1], line, column, "", source)
        if value[0] in _NUMBER_STARTS and (match := _NUMBER.fullmatch(value)):
            return Node(NUMBER, self._number(value, match, mark), line, column, "", source)
        return Node(TEXT, value, line, column, "", source)

    def _number(self, text: str, match: re.Match[str], mark: Any) -> int | float:
        whole = match[1] is None and match[2] is None
        if whole and len(text) <= 20:
            number = int(text)
            if -(2**63) <= number < 2**64:
                return number
        elif not whole and len(text) <= 400:
            fraction = float(text)
            if abs(fraction) != float("inf"):
                return fraction
        self._add(
            "SG011",
            mark.line,
            mark.column,
            f"the number {text[:40]} does not fit into 64 bits",
            "quote it: digits in a text are kept as they are",
        )
        return 0

    def _check_tag(self, event: Any) -> None:
        if event.tag is None:
            return
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        hint = "quote it: a plain text cannot begin with !"
        if tag.startswith("!!"):
            hint = "remove it: a value's kind is seen from how it is written"
        raise _Refused("SG004", event.start_mark, f"YAML reads `{tag[:60]}` as a tag, and tags are not taken", hint)

    def _grow(self, nodes: int, mark: Any) -> None:
        self._count += nodes
        if self._count > MAX_NODES:
            raise _Refused(
                "SG005",
                mark,
                f"the document has more than {MAX_NODES} nodes (aliases count each time)",
                "split it, or run parts of it as sagas",
            )

    def _alias(self, event: Any, depth: int) -> tuple[Node, int, int]:
        mark = event.start_mark
        found = self._anchors.get(event.anchor)
        if found is None:
            raise _Refused(
                "SG010",
                mark,
                f"no anchor `&{event.anchor}` stands before this alias",
                "quote it if it is a text that begins with *",
            )
        node, size, height = found
        if depth + height > MAX_DEPTH:
            raise _Refused(
                "SG007", mark, f"more than {MAX_DEPTH} levels deep", "run the inner part as a saga of its own"
            )
        self._grow(size, mark)
        # A copy, because each use of an anchor has its own place in the saga.
        return _copy(node), size, height

    def _key(self, node: Node) -> Node:
        if node.kind == TEXT or node.kind in (NUMBER, FLAG):
            if node.kind != TEXT:
                node.value = self._raw(node)
                node.kind = TEXT
            elif node.value == "<<" and not node.style:
                self._findings.add(
                    "SG003",
                    node,
                    "`<<` does not merge here",
                    "write the keys out, or use an alias for a whole value",
                )
            return node
        what = "nothing" if node.kind == NULL else f"a {node.kind}"
        hint = 'quote it: "${ ... }" where an expression was meant' if node.kind == MAPPING else "quote it"
        self._findings.add("SG009", node, f"a key is text, but {what} stands here", hint)
        return Node(TEXT, f"?{node.line}:{node.column}", node.line, node.column, "", node.source)

    def _raw(self, node: Node) -> str:
        if node.kind == FLAG:
            return "true" if node.value else "false"
        line = self._source.lines[node.line - 1]
        match = _NUMBER.match(line, node.column - 1)
        return match.group() if match else str(node.value)

    def _entry(self, parent: Node, key: Node, value: Node) -> None:
        name = key.value
        earlier = parent.value.get(name)
        if earlier is not None:
            self._findings.add(
                "SG002",
                key,
                f"the key `{name[:60]}` stands twice in this mapping",
                f"it is already in line {earlier[0].line}; keep one",
            )
            return
        parent.value[name] = (key, value)

    # -- what the parser could not take
    # ------------------------------------------------------------------------

    def _syntax(self, error: MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        row, column = (mark.line, mark.column) if mark is not None else (0, 0)
        told = " ".join(str(part) for part in (error.context, error.problem) if part)
        line = self._line(row)
        # The place where a flow collection or an alias went wrong is after the trap; the line it began in
        # holds it.
        began = self._line(error.context_mark.line) if error.context_mark is not None else line
        hint = traps.hint(told, line[column:], line if "${" in line else began if "flow" in told else line)
        self._add("SG001", row, column, f"this is not YAML: {told}", hint)

    def _unreadable(self, error: ReaderError, text: str) -> None:
        # The parser counts bytes; a character that may stand nowhere is where it stands first.
        position = max(text.find(chr(error.character)), 0) if isinstance(error.character, int) else 0
        lines = LINE_BREAK.split(text[:position])
        self._add(
            "SG008",
            len(lines) - 1,
            len(lines[-1]),
            f"{error.reason}",
            'write it as an escape in double quotes, like "\\u0007"',
        )

    def _line(self, row: int) -> str:
        lines = self._source.lines
        return lines[row + self._first_line] if 0 <= row + self._first_line < len(lines) else ""

    def _add(self, code: str, row: int, column: int, message: str, hint: str) -> None:
        self._findings.add_at(code, self._source, row + self._first_line + 1, column + 1, message, hint)


def _copy(node: Node) -> Node:
    value = node.value
    if node.kind == MAPPING:
        value = {k: (pair[0], _copy(pair[1])) for k, pair in value.items()}
    elif node.kind == LIST:
        value = [_copy(item) for item in value]
    return Node(node.kind, value, node.line, node.column, node.style, node.source)
