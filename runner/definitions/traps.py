"""Why YAML did not take a line, told as what the author probably meant.

Most syntax errors of definitions are expressions that YAML takes for something else; the mending is nearly
always the same: quote it.
"""

import re
from typing import Final

_QUOTE: Final = "quote it: "

#: In the order in which they are asked: a part of the loader's message, a pattern for the rest of the line
#: from the place on ("" is any), a pattern for the whole line, the hint.
_TRAPS: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("unknown escape", "", "", _QUOTE + "in '...' a backslash is itself ('\\d'), in \"...\" it is written \\\\"),
    ("cannot start any token", "`", "", _QUOTE + "a plain text cannot begin with a backtick"),
    ("cannot start any token", "@", "", _QUOTE + "a plain text cannot begin with @"),
    ("cannot start any token", "%", "", _QUOTE + "a plain text cannot begin with %"),
    ("cannot start any token", "\t", "", "indent with spaces; YAML takes no tabs there"),
    ("while scanning an alias", "", "", _QUOTE + "a plain text cannot begin with * (as in `cron: \"*/5 * * * *\"`)"),
    ("while scanning an anchor", "", "", _QUOTE + "a plain text cannot begin with &"),
    ("while scanning a tag", "", "", _QUOTE + "a plain text cannot begin with !"),
    ("while parsing a tag", "", "", _QUOTE + "a plain text cannot begin with !"),
    ("while parsing a node", "", r"!", _QUOTE + "a plain text cannot begin with !"),
    ("flow", "", r"\$\{", _QUOTE + 'inside {...} or [...] a `${ }` stands in quotes: "${ input.id }"'),
    ("flow mapping", "", r"\{.*\[", _QUOTE + "inside {...} a text with [ stands in quotes"),
    ("flow", "", "", "close it, and put a comma between entries; quote a text that holds one of , [ ] { }"),
    ("mapping values are not allowed", "", "", _QUOTE + "a plain text cannot hold `: ` (or mend the indentation)"),
    ("block scalar", "", r"[|>]", _QUOTE + "a plain text cannot begin with > or |"),
    ("quoted scalar", "", "", "close the quotation mark; a quote inside '...' is written ''"),
    ("document indicator", "", "", "a line that begins with --- or ... ends the document; indent it or quote it"),
    ("expected key", "", r"[:\-]\s+(['\"]).*\1\s*\S", _QUOTE + "as a whole, with the other quotation marks"),
    ("expected '-' indicator", "", "", "give each item of the list its own `- `, at one indentation"),
    ("expected key", "", "", "indent the keys of one mapping alike"),
)  # fmt: skip


def hint(message: str, rest: str, line: str) -> str:
    """How to mend a syntax error.

    `message` of the loader, `rest` of the line from the place on, the whole `line`.
    """
    for words, here, anywhere, mending in _TRAPS:
        if words in message and rest.startswith(here) and re.search(anywhere, line):
            return mending
    return "check the indentation and the quotation marks above this place"


def cut_by_comment(line: str, end: int) -> bool:
    """Whether a plain text that ends before index `end` of its line was cut off by ` #`."""
    return line[end:].lstrip(" \t").startswith("#")
