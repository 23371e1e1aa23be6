"""Compiles the expressions of a saga into their places, once it is known which steps there are.

Compiled expressions are cached by their text and the context names around them: the same few stand in
thousands of definitions. Whether a step may be read from there is asked apart, per use.
"""

from functools import lru_cache
from typing import Any, Final

import msgspec

from runner.definitions import traps
from runner.definitions.draft import AT_START, Hole, SagaDraft
from runner.definitions.findings import Findings
from runner.definitions.node import LINE_BREAK, TEXT, Node, plain
from runner.definitions.sight import readable, roots_at
from runner.saga.evaluation import ExpressionInvalid
from runner.saga.expression import Expression, Names, Reads
from runner.saga.shape import Bare, FilledText
from runner.saga.template import Template, TextTemplate, compile_bare, compile_template, compile_text

#: The compiler's words for what is wrong.
_CODES: Final = {
    "unknown-name": "SG302",
    "unknown-step": "SG303",
    "unknown-function": "SG307",
    "arity": "SG307",
    "type": "SG307",
    "value": "SG307",
    "context-in-projection": "SG310",
    "too-long": "SG308",
    "too-deep": "SG308",
}
#: How to mend what the compiler has no better word for.
_MENDS: Final = {
    "SG301": "see what stands before the caret: an operator needs both its sides, a bracket its partner",
    "SG303": "name a step of this saga",
    "SG304": "read it after the `fork`, where both have ended",
    "SG305": "read the output of the `for`, a list of what each turn gave",
    "SG306": "move what reads it behind what is read, or read something that is known by then",
    "SG307": "the functions are listed in docs/reference/expressions.md",
    "SG308": "compute it in several steps, each with `set`",
}
_BARE, _TEXT, _PATH, _VALUE = range(4)

_encoder = msgspec.json.Encoder()


def fill(saga: SagaDraft, findings: Findings) -> None:
    """Compiles every hole of the saga and notes what is read."""
    for hole in saga.holes:
        _fill(saga, hole, findings)


def _fill(saga: SagaDraft, hole: Hole, findings: Findings) -> None:
    shape = hole.shape
    sees: tuple[str, ...] = ()
    how = _VALUE
    if isinstance(shape, Bare):
        how, sees = _BARE, shape.sees
    elif isinstance(shape, FilledText):
        how = _PATH if shape.path else _TEXT
    roots = roots_at(hole.site, sees)
    try:
        compiled: Any
        if hole.node.kind == TEXT:
            compiled = _compiled_text(how, hole.node.value, roots)
        else:
            compiled = _compiled_value(_encoder.encode(plain(hole.node)), roots)
        reads: Reads = compiled.reads
        if reads.steps:
            _check_steps(saga, hole, reads, how, roots)
    except ExpressionInvalid as error:
        _report(hole, error, findings, _CODES.get(error.code, "SG301"))
        return
    except _OutOfSight as error:
        _report(hole, error.invalid, findings, error.code)
        return
    hole.box[hole.key] = compiled
    hole.steps, hole.paths = reads.steps, reads.paths
    for step, field in reads.steps:
        saga.reads.setdefault(step, set()).add(field)
    if reads.paths:
        saga.paths.update(reads.paths)


class _OutOfSight(Exception):
    """An expression names a step that it cannot see from there."""

    def __init__(self, invalid: ExpressionInvalid, code: str) -> None:
        super().__init__(invalid.message)
        self.invalid, self.code = invalid, code


def _check_steps(saga: SagaDraft, hole: Hole, reads: Reads, how: int, roots: frozenset[str]) -> None:
    """Raises ExpressionInvalid or _OutOfSight for the first step that may not be read there."""
    verdicts: dict[str, tuple[str, str]] = {}
    for name, field in sorted(reads.steps):
        if name == "*":
            if hole.site.mode == AT_START:
                message = "no step has begun when this is computed"
                raise _OutOfSight(ExpressionInvalid(message, hint="read `input` or `event`"), "SG306")
            break
        target = saga.by_name.get(name)
        if target is None:
            break
        code, sentence = readable(hole.site, target, field)
        if code:
            verdicts[name] = (code, sentence)
    else:
        if not verdicts:
            return
    # Once more, this time with what is wrong with each step, so that the compiler says at which character it
    # is.
    known = {name: verdicts.get(name, ("", ""))[1] for name in saga.by_name}
    try:
        if hole.node.kind == TEXT:
            _compile(how, hole.node.value, Names(roots=roots, steps=known))
        else:
            compile_template(plain(hole.node), Names(roots=roots, steps=known))
    except ExpressionInvalid as error:
        for code, sentence in verdicts.values():
            if error.message == sentence:
                raise _OutOfSight(error, code) from None
        raise


def _report(hole: Hole, error: ExpressionInvalid, findings: Findings, code: str) -> None:
    node = hole.node
    for part in error.where:
        inner = node.value[part]
        node = inner[1] if isinstance(inner, tuple) else inner
    hint = error.hint or _MENDS.get(code, "")
    line = node.source.lines[node.line - 1] if 0 < node.line <= len(node.source.lines) else ""
    if node.kind == TEXT and not node.style and code in ("SG301", "SG302") and _cut(node, line):
        hint = "quote it: in plain text ` #` begins a comment"
    message = error.message
    text = node.value if node.kind == TEXT else ""
    shown = text if len(text) <= 60 and not LINE_BREAK.search(text) else ""
    if shown and code == "SG301":
        message = f"{message} (in `{shown}`)"
    findings.add(code, node, message, hint, offset=error.offset if node.kind == TEXT else None)


def _cut(node: Node, line: str) -> bool:
    at = line.find(node.value, node.column - 1)
    return at >= 0 and traps.cut_by_comment(line, at + len(node.value))


@lru_cache(maxsize=512)
def _names(roots: frozenset[str]) -> Names:
    return Names(roots=roots, steps=None)


@lru_cache(maxsize=65_536)
def _compiled_text(how: int, text: str, roots: frozenset[str]) -> Expression | Template | TextTemplate:
    return _compile(how, text, _names(roots))


@lru_cache(maxsize=65_536)
def _compiled_value(value: bytes, roots: frozenset[str]) -> Template:
    return compile_template(msgspec.json.decode(value), _names(roots))


def _compile(how: int, text: str, names: Names) -> Expression | Template | TextTemplate:
    if how == _BARE:
        return compile_bare(text, names)
    if how == _VALUE:
        return compile_template(text, names)
    return compile_text(text, names, segment_encode=how == _PATH)
