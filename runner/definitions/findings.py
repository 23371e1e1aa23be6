"""What is wrong with a definition, and how it is told: to people, to programs, and on a pull request.

A code, once given out, keeps its meaning for ever; `docs/reference/findings.md` has a row for each.
"""

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from runner.definitions.node import LIST, MAPPING, NULL, TEXT, Node, Source, spot

ERROR: Final = "error"
WARNING: Final = "warning"

#: Every code with the rule that it stands for. SG0 reading, SG1 shape, SG2 references and saga sense, SG3
#: expressions (all errors); SG4 saga sense and SG5 safety (warnings).
CODES: Final[dict[str, str]] = {
    "SG001": "The text is not YAML.",
    "SG002": "A key stands once in a mapping.",
    "SG003": "`<<` does not merge here.",
    "SG004": "Tags have no meaning here.",
    "SG005": "A document has at most 10 000 nodes, aliases expanded.",
    "SG006": "A document has at most 1 MiB.",
    "SG007": "A document nests at most 64 deep.",
    "SG008": "A file is UTF-8 text without control characters.",
    "SG009": "A key is text.",
    "SG010": "An alias names an anchor that stands before it.",
    "SG011": "A number fits into 64 bits.",
    "SG012": "A file or folder that is named can be read.",
    "SG101": "Only known keys stand in a mapping.",
    "SG102": "A value is of the kind that its key takes.",
    "SG103": "A required key is there.",
    "SG104": "A text is one of the words, or of the form, that its key takes.",
    "SG105": "A number is within its range.",
    "SG106": "A duration has a unit.",
    "SG107": "A step has a verb.",
    "SG108": "A step has one verb only.",
    "SG109": "A step key stands on the verbs that take it.",
    "SG110": "A list or mapping that must say something is not empty.",
    "SG111": "Keys stand together, or apart, as their rule says.",
    "SG112": "A list or mapping has no more entries than its key takes.",
    "SG113": "A path starts with `/` and has plain segments.",
    "SG114": "A path is not one of the runner's own.",
    "SG115": "A step has a name.",
    "SG201": "A step name stands once in a saga.",
    "SG202": "Id and version together are unique.",
    "SG203": "A saga that is named exists.",
    "SG204": "A saga that is named has an active version allowed on this runner.",
    "SG205": "Redirects end.",
    "SG206": "Sagas run by sagas end, 20 deep at most.",
    "SG207": "A stream that is named is in the settings.",
    "SG208": "A state that is named is in the settings.",
    "SG209": "A retry policy that is named is in the settings.",
    "SG210": "An error kind is built in or raised within reach.",
    "SG211": "A saga that is named stands in a file without errors.",
    "SG212": "A variable that is named is in the settings.",
    "SG220": "With `autoFail: false` every step that reaches outside has a `catch`.",
    "SG221": "One pivot at most, on a top-level `call`, `emit` or `run`, without `compensate`.",
    "SG222": "After the pivot nothing is undone or raised.",
    "SG223": "An undo neither waits, listens, returns, runs a saga nor holds the pivot.",
    "SG224": "`return` does not stand in a fork, a parallel `for` or an undo.",
    "SG225": "With `durable: false` a saga only reads.",
    "SG226": "A raised type is not the name of a built-in kind.",
    "SG227": "A saga that holds a pivot is run by a pivot.",
    "SG228": "A cache without a `key` does not stand in a saga that reads `event`.",
    "SG229": "A schema is valid JSON Schema.",
    "SG230": "A schema's `$ref` stays below the settings file's folder.",
    "SG231": "A constant `wait` is not longer than the saga's `timeout`.",
    "SG232": "A raw `url` stands only where the settings allow it.",
    "SG233": "A cron text and its time zone are valid.",
    "SG234": "A `for` name does not shadow the context.",
    "SG301": "An expression is well formed.",
    "SG302": "An expression reads known names.",
    "SG303": "An expression names a step of its saga.",
    "SG304": "An expression does not read a sibling branch.",
    "SG305": "An expression does not read into a `for` from outside.",
    "SG306": "An expression does not read what cannot have run yet.",
    "SG307": "An expression calls known functions with as many arguments as they take.",
    "SG308": "An expression keeps within its limits.",
    "SG309": "Expressions stand where they are evaluated.",
    "SG310": "A path in a filter or projection says what it starts from.",
    "SG401": "A step with effects before the pivot says how it is undone.",
    "SG402": "An undo uses only what is known before its step ran.",
    "SG403": "An HTTP saga with effects says its methods.",
    "SG404": "Something reaches the saga.",
    "SG405": "A timer says on which runners.",
    "SG406": "No two sagas are equally good for one request.",
    "SG407": "A redirect leads to an active saga.",
    "SG408": "What the target of a redirect decides does not stand on the entry.",
    "SG409": "`cron` or `period`, not both.",
    "SG410": "`minimumNumberOfCalls` is not over `slidingWindowSize`.",
    "SG411": "A service that is named is in the settings.",
    "SG412": "A cache key holds what of the caller the saga reads.",
    "SG413": "`/On_<stream>` is a stream that the saga is allowed on.",
    "SG414": "`roles` need `auth` in the settings.",
    "SG415": "`${ }` stands where it is evaluated.",
    "SG416": "No text is cut short by ` #`.",
    "SG501": "No secret stands in a definition.",
    "SG502": "A raw `url` is https.",
}


#: Characters of a line that a terminal is shown.
_WINDOW: Final = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, where, and how to mend it. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str = ""
    #: The line and, where there is one, the line before: (number, text).
    snippet: tuple[tuple[int, str], ...] = ()
    #: How many characters the caret covers.
    width: int = 1

    @property
    def severity(self) -> str:
        """`error` or `warning`; the code decides."""
        return WARNING if self.code[2] in "45" else ERROR

    def plain(self) -> dict[str, str | int]:
        """The finding as JSON says it."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
        }


class Findings:
    """Gathers findings; the same one twice is one."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, int, str, str], Finding] = {}

    def add(self, code: str, node: Node, message: str, hint: str = "", *, offset: int | None = None) -> None:
        """Something about `node`, or about character `offset` of its text."""
        line, column = (node.line, node.column) if offset is None else spot(node, offset)
        width = 1 if offset is not None else _width(node)
        self.add_at(code, node.source, line, column, message, hint, width=width)

    def add_at(
        self,
        code: str,
        source: Source,
        line: int,
        column: int,
        message: str,
        hint: str = "",
        *,
        width: int = 1,
    ) -> None:
        """Something about a place in a file."""
        first = max(1, line - 1)
        snippet = tuple((n, source.lines[n - 1]) for n in range(first, line + 1) if 0 < n <= len(source.lines))
        room = len(source.lines[line - 1]) - column + 1 if 0 < line <= len(source.lines) else 1
        finding = Finding(
            file=source.file,
            line=line,
            column=column,
            code=code,
            message=message,
            hint=hint,
            snippet=snippet,
            width=max(1, min(width, room)),
        )
        self._found.setdefault((finding.file, line, column, code, message), finding)

    def sorted(self) -> tuple[Finding, ...]:
        """By file, place and code."""
        return tuple(sorted(self._found.values(), key=lambda f: (f.file, f.line, f.column, f.code, f.message)))

    def broken(self) -> frozenset[str]:
        """The files that hold an error."""
        return frozenset(f.file for f in self._found.values() if f.severity == ERROR)

    def __len__(self) -> int:
        return len(self._found)


def _width(node: Node) -> int:
    if node.kind in (MAPPING, LIST, NULL):
        return 1
    if node.kind != TEXT:
        return len(str(node.value))
    return len(node.value) + (2 if node.style in ("'", '"') else 0) if node.style not in ("|", ">") else 1


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or nothing.

    By spelling, without regard to case and separators.
    """
    folded: dict[str, str] = {}
    for candidate in sorted(known):
        folded.setdefault(_fold(candidate), candidate)
    wanted = _fold(word)
    if wanted in folded:
        return folded[wanted]
    close = difflib.get_close_matches(wanted, list(folded), n=1, cutoff=0.65)
    return folded[close[0]] if close else ""


def _fold(word: str) -> str:
    return "".join(sign for sign in word.lower() if sign.isalnum())


def meant(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """`did you mean ...?`, or `otherwise`."""
    found = nearest(word, known)
    return f"did you mean `{found}`?" if found else otherwise


def listed(words: Iterable[str]) -> str:
    """`a, b or c`, each in backticks."""
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1] if quoted else "nothing"


def as_text(findings: Sequence[Finding]) -> str:
    """For a terminal: each finding with its line and a caret, as compilers do."""
    return "\n".join(_block(finding) for finding in findings)


def _block(finding: Finding) -> str:
    gutter = len(str(finding.line))
    out = [
        f"{finding.severity}[{finding.code}]: {finding.message}",
        f"{' ' * gutter}--> {finding.file}:{finding.line}:{finding.column}",
    ]
    # A line may be a mebibyte long; what is shown of it holds the caret.
    start = max(0, finding.column - _WINDOW // 2) if finding.column > _WINDOW else 0
    for number, text in finding.snippet:
        out.append(f"{number:>{gutter}} | {_visible(text[start : start + _WINDOW])}".rstrip())
        if number == finding.line:
            lead = "".join("\t" if sign == "\t" else " " for sign in text[start : finding.column - 1])
            caret = "^" * min(finding.width, max(1, _WINDOW - len(lead)))
            out.append(f"{' ' * gutter} | {lead}{caret}")
    if finding.hint:
        out.append(f"{' ' * gutter} = help: {finding.hint}")
    return "\n".join(out) + "\n"


def _visible(text: str) -> str:
    return "".join(sign if sign.isprintable() or sign == "\t" else "\N{REPLACEMENT CHARACTER}" for sign in text)


def as_json(findings: Sequence[Finding], sagas: int) -> str:
    """`{"findings": [{file, line, column, code, severity, message, hint}], "sagas": n}`."""
    return json.dumps({"findings": [f.plain() for f in findings], "sagas": sagas}, indent=2, ensure_ascii=False) + "\n"


def as_github(findings: Sequence[Finding]) -> str:
    """Workflow commands that GitHub shows beside the line."""
    return "".join(
        f"::{f.severity} file={_property(f.file)},line={f.line},col={f.column},title={f.code}::"
        f"{_data(f.message + (f' ({f.hint})' if f.hint else ''))}\n"
        for f in findings
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
