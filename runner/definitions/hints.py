"""How to mend a value that does not fit its shape."""

import re
from functools import cache
from typing import Final

from runner.definitions.node import FLAG, LIST, MAPPING, NULL, TEXT, Node
from runner.saga.shape import Word

DURATION: Final = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)")


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A shape's pattern."""
    return re.compile(pattern)


def written(node: Node) -> str:
    """A scalar as its author probably wrote it."""
    if node.kind == FLAG:
        return "true" if node.value else "false"
    return str(node.value)[:80]


def range_hint(low: int | None, high: int | None) -> str:
    """The range of a number."""
    if low is not None and high is not None:
        return f"it must be from {low} to {high}"
    return f"it must be {low} or more" if low is not None else f"it must be {high} or less"


def number_hint(node: Node) -> str:
    """Where a number is expected."""
    if node.kind == TEXT and node.style and node.value.lstrip("-").isdigit():
        return "remove the quotation marks"
    if node.kind == TEXT and "${" in node.value:
        return "expressions are not evaluated here"
    return ""


def quote_hint(node: Node) -> str:
    """Where YAML read braces or brackets that were meant as text."""
    if node.kind == MAPPING and node.value and all(pair[1].kind == NULL for pair in node.value.values()):
        return 'quote it: YAML reads braces as a mapping; an expression in text is "${ ... }"'
    if node.kind == LIST:
        return "quote it: YAML reads [ as the beginning of a list"
    return ""


def word_hint(shape: Word, value: str) -> str:
    """The same word in the form that its key takes, else that form."""
    pattern = compiled(shape.pattern or "")
    for proposal in (
        value.lower(),
        value.replace(" ", "-").lower(),
        value.replace("-", "_"),
        value.replace(" ", "_"),
    ):
        if pattern.fullmatch(proposal):
            return f"did you mean `{proposal}`?"
    return f"it must be of the form {shape.pattern}"


def duration_hint(value: str) -> str:
    """The same duration in the form that is read."""
    folded = value.lower().replace(" ", "")
    if DURATION.fullmatch(folded):
        return f"write `{folded}`"
    for word, unit in (
        ("milliseconds", "ms"),
        ("seconds", "s"),
        ("sec", "s"),
        ("minutes", "m"),
        ("min", "m"),
        ("hours", "h"),
        ("days", "d"),
    ):
        for ending in (word, word.removesuffix("s")):
            if folded.endswith(ending) and DURATION.fullmatch(folded.removesuffix(ending) + unit):
                return f"write `{folded.removesuffix(ending)}{unit}`"
    return "write a whole number and its unit: 250ms, 30s, 5m, 2h or 7d"
