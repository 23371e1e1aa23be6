"""`saga check`: what it prints and how it exits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.definitions.findings import ERROR, as_github, as_json, as_text
from runner.definitions.load import Loaded, load
from runner.definitions.world import UNKNOWN, World

FORMATS = ("text", "json", "github")


def check_command(
    paths: Sequence[Path],
    world: World = UNKNOWN,
    root: Path = Path(),
    output: str = "text",
    strict: bool = False,
) -> tuple[str, int]:
    """What to print, and the exit code: 1 on an error, with `strict` on a warning, too; else 0.

    `output` is one of FORMATS. The text ends with a line break.
    """
    loaded = load(paths, world, root)
    failed = bool(loaded.errors) or (strict and bool(loaded.findings))
    return rendered(loaded, output), 1 if failed else 0


def rendered(loaded: Loaded, output: str) -> str:
    """The findings of a loading in one of FORMATS."""
    if output == "json":
        return as_json(loaded.findings, len(loaded.catalog))
    if output == "github":
        return as_github(loaded.findings)
    told = as_text(loaded.findings)
    notes = "".join(f"note: {sentence}\n" for sentence in (*loaded.not_yet, *_explained(loaded)))
    return "\n".join(part for part in (told, notes, _summary(loaded)) if part)


def _explained(loaded: Loaded) -> Iterator[str]:
    """Where there is more to read: about the first error, else about the first finding."""
    codes = [found.code for found in sorted(loaded.findings, key=lambda found: found.severity != ERROR)]
    if codes:
        yield f"what a code means, and an example: saga explain {codes[0]}"


def _summary(loaded: Loaded) -> str:
    errors = sum(finding.severity == ERROR for finding in loaded.findings)
    warnings = len(loaded.findings) - errors
    counts = [
        _count(len(loaded.catalog), "saga"),
        _count(errors, "error"),
        _count(warnings, "warning"),
    ]
    return ", ".join(counts) + "\n"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
