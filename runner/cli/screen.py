"""Where output goes: lines of styled spans, in colour on a terminal and as the same words elsewhere."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO, TypeAlias

import click

from registry.base.values import Json

if TYPE_CHECKING:
    from rich.console import Console

#: Text and its style (a colour's name, `bold`, `dim`, or nothing).
Span: TypeAlias = tuple[str, str]
Line: TypeAlias = tuple[Span, ...]

#: How each status is shown: colour, glyph and word, so that none of the three is needed alone.
LOOKS: dict[str, Span] = {
    "completed": ("✓", "green"),
    "compensated": ("↺", "yellow"),
    "compensating": ("↺", "yellow"),
    "failed": ("✕", "red"),
    "parked": ("‼", "bold red"),
    "cancelled": ("⊘", "magenta"),
    "running": ("●", "cyan"),
    "waiting": ("⋯", "cyan"),
    "skipped": ("-", "dim"),
    "pending": ("·", "dim"),
}
UNDO: Span = ("↺", "yellow")


def look(status: str) -> Span:
    """Glyph and colour of a run's or step's status."""
    return LOOKS.get(status, ("?", ""))


class Screen:
    """One stream of text: stdout, or stderr where `talk`."""

    def __init__(self, *, talk: bool = False, file: TextIO | None = None, terminal: bool | None = None) -> None:
        self._file = file or (sys.stderr if talk else sys.stdout)
        self.terminal = self._file.isatty() if terminal is None else terminal
        self._console: Console | None = None

    def lines(self, lines: Sequence[Line]) -> None:
        """Write lines, in colour on a terminal unless NO_COLOR is set."""
        for line in map(_printable, lines):
            if self.terminal:
                self._write_styled(line)
            else:
                click.echo("".join(text for text, _ in line).rstrip(), file=self._file)

    def _write_styled(self, line: Line) -> None:
        from rich.console import Console
        from rich.text import Text

        if self._console is None:
            # Rich itself asks NO_COLOR and TERM.
            self._console = Console(file=self._file, force_terminal=True, highlight=False)
        self._console.print(Text.assemble(*line), soft_wrap=True)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Span]]) -> None:
        """Columns as wide as their widest cell; the last is not padded."""
        widths = [max(len(head), *(len(row[at][0]) for row in rows), 0) for at, head in enumerate(heads)]
        spans: list[Sequence[Span]] = [[(head, "bold") for head in heads], *rows]
        self.lines(
            [
                tuple((text.ljust(width + 2), style) for (text, style), width in zip(row, widths, strict=True))
                for row in spans
            ]
        )


def _printable(line: Line) -> Line:
    """The line without control characters: services write some of its words, and terminals obey escapes."""
    return tuple(
        ("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text), style)
        for text, style in line
    )


def print_json(value: Json) -> None:
    """Data on stdout, for people and programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
