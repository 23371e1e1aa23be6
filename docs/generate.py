"""Writes the parts of the reference that the code knows best: keys, functions, settings, commands, events, codes.

    python docs/generate.py [--check]

A part stands in its page between `<!-- generated: NAME -->` and `<!-- /generated -->`; the rest of the page is
written by hand. `--check` writes nothing and exits with 1 where a page is not current.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

import click

from runner.adapters.web import manual
from runner.cli import COMMANDS
from runner.cli import main as saga
from runner.definitions.findings import CODES
from runner.definitions.header import HEADER
from runner.saga.functions import FUNCTIONS
from runner.saga.happening import NAMES
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
from runner.settings.auth import Jwt
from runner.settings.containers import key_of
from runner.settings.secret import Secret
from runner.settings.streams import HttpStream, InProcessStream, KafkaSecurity, KafkaStream, MemoryState, RedisState
from runner.settings.tree import (
    RETRY,
    DocsSettings,
    HttpSettings,
    JournalSettings,
    RedisSettings,
    RegistrySettings,
    RunnerSettings,
    ServiceSettings,
    TelemetrySettings,
    TimerSettings,
)
from runner.steps import ALLOWED, KINDS, STEP_KEYS

REFERENCE: Final = Path(__file__).parent / "reference"
_PART: Final = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


# ---------------------------------------------------------------------- definitions


def _told(shape: Shape) -> str:
    """What may stand at a place, in words."""
    match shape:
        case Flag():
            return "true or false"
        case Whole(low=low, high=high):
            bounds = f" from {low}" if low is not None else ""
            return f"whole number{bounds}{f' to {high}' if high is not None else ''}"
        case Percent():
            return "number over 0, up to 100"
        case Number(above=above):
            return "number" if above is None else f"number over {above:g}"
        case Word(choices=choices) if choices:
            return ", ".join(f"`{choice}`" for choice in choices)
        case Word(told=told):
            return told or "text"
        case Duration(bare=bare, filled=filled):
            return "duration" + (", or milliseconds" if bare else "") + (", or one `${ }`" if filled else "")
        case Bare():
            return "expression"
        case Filled():
            return "any value, with `${ }`"
        case FilledText():
            return "text, with `${ }`"
        case Literal(mapping=mapping):
            return "mapping, taken as written" if mapping else "any value, taken as written"
        case Kinds():
            return "list of error kinds"
        case Steps():
            return "step or list of steps"
        case Many(of=of):
            return "list" if isinstance(of, Record) else f"list of {_told(of)}"
        case Table(of=of):
            return f"mapping of names to {_told(of)}"
        case Either(of=several):
            return " or ".join(dict.fromkeys(_told(one) for one in several))
    return "mapping"


def _rows(entries: Mapping[str, Entry], prefix: str = "") -> Iterator[str]:
    for name, entry in entries.items():
        default = "required" if entry.required else entry.default
        yield _row(f"`{prefix}{name}`", _told(entry.shape), default, entry.doc)
        yield from _rows(_inside(entry.shape), f"{prefix}{name}.")


def _inside(shape: Shape) -> Mapping[str, Entry]:
    """The keys of the mappings that a shape takes."""
    match shape:
        case Record(keys=keys):
            return keys
        case Either(of=several):
            return {name: entry for one in several for name, entry in _inside(one).items()}
        case Many(of=of):
            return _inside(of)
    return {}


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


_HEAD: Final = ("| key | what stands there | default | meaning |", "|---|---|---|---|")


def _header() -> Iterator[str]:
    yield from _HEAD
    yield from _rows(HEADER.keys)


def _steps() -> Iterator[str]:
    yield "| key | stands on | what stands there | default | meaning |"
    yield "|---|---|---|---|---|"
    for row, name in _step_rows():
        allowed = ALLOWED.get(name)
        on = "every step" if allowed is None else ", ".join(f"`{kind}`" for kind in KINDS if kind in allowed)
        cells = row.strip("| ").split(" | ")
        yield "| " + " | ".join((cells[0], on, *cells[1:])) + " |"


def _step_rows() -> Iterator[tuple[str, str]]:
    for name, entry in STEP_KEYS.items():
        for row in _rows({name: entry}):
            yield row, name


def _verbs() -> Iterator[str]:
    for word, kind in KINDS.items():
        shape = kind.SHAPE
        entries = _inside(shape)
        doc = shape.doc if isinstance(shape, Record) else getattr(kind, "DOC", "")
        yield from (f"### `{word}`", "", doc, "")
        if entries:
            yield from (*_HEAD, *_rows(entries), "")


def _functions() -> Iterator[str]:
    yield "| function | what it gives |"
    yield "|---|---|"
    for function in FUNCTIONS.values():
        yield _row(f"`{function.signature}`", function.doc)


# ---------------------------------------------------------------------- settings

#: Section -> its noun; the names in angle brackets are the author's.
SECTIONS: Final[Mapping[str, type[Any]]] = {
    "runner": RunnerSettings,
    "journal": JournalSettings,
    "redis": RedisSettings,
    "registry": RegistrySettings,
    "services.<name>": ServiceSettings,
    "streams.<alias>` with `type: http": HttpStream,
    "streams.<alias>` with `type: inprocess": InProcessStream,
    "streams.<alias>` with `type: kafka": KafkaStream,
    "streams.<alias>.security": KafkaSecurity,
    "states.<alias>` with `type: memory": MemoryState,
    "states.<alias>` with `type: redis": RedisState,
    "auth.jwt": Jwt,
    "timers": TimerSettings,
    "http": HttpSettings,
    "telemetry": TelemetrySettings,
    "docs": DocsSettings,
}


def _settings() -> Iterator[str]:
    for section, noun in SECTIONS.items():
        yield from (f"### `{section}`", "", "| key | default | meaning |", "|---|---|---|")
        notes = _notes(noun)
        for place in fields(noun):
            key = key_of(place.name)
            yield _row(f"`{key}`", _default(place), notes.get(place.name, ""))
        yield ""
    yield from ("### `retries.<name>`", "", f"The keys of a step's `retry`: {', '.join(f'`{k}`' for k in RETRY.keys)}.")


def _default(place: Any) -> str:
    value = place.default if place.default_factory is MISSING else place.default_factory()
    if value is MISSING:
        return "required" if place.name != "url" else "`sqlite:.saga/journal.db`"
    if value is None:
        return "absent"
    if isinstance(value, Secret):
        return f"`{value.reveal()}`"
    if is_dataclass(value):
        return "see below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if place.name.endswith("_s"):
        return f"`{_span(value)}`"
    if isinstance(value, Mapping | tuple):
        return "`[" + ", ".join(map(str, value)) + "]`" if isinstance(value, tuple) else "`{}`"
    return f"`{value}`" if value != "" else '`""`'


def _span(seconds: float) -> str:
    return f"{seconds / 86_400:g}d" if seconds >= 86_400 else f"{seconds:g}s"


def _notes(noun: type[Any]) -> dict[str, str]:
    """The `#:` sentences above the fields of a noun."""
    text = inspect.getsource(noun)
    lines = text.splitlines()
    [tree] = ast.parse(text).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            note: list[str] = []
            at = node.lineno - 2
            while at >= 0 and lines[at].strip().startswith("#:"):
                note.insert(0, lines[at].strip()[2:].strip())
                at -= 1
            found[node.target.id] = " ".join(note).replace("None", "absent")
    return found


# ---------------------------------------------------------------------- commands


def _commands() -> Iterator[str]:
    context = click.Context(saga, info_name="saga")
    for name in COMMANDS:
        command = saga.get_command(context, name)
        assert command is not None
        yield from _command(command, f"saga {name}")


def _command(command: click.Command, name: str) -> Iterator[str]:
    shell = saga.context_settings
    context = click.Context(command, info_name=name, max_content_width=100, terminal_width=100, **shell)
    yield from (f"### `{name}`", "", "```text", command.get_help(context), "```", "")
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            inner = command.get_command(context, below)
            assert inner is not None
            yield from _command(inner, f"{name} {below}")


# ---------------------------------------------------------------------- events


def _events() -> Iterator[str]:
    yield from ("| event | what it says |", "|---|---|")
    yield from (_row(f"`{name}`", told) for name, told in NAMES.items())


# ---------------------------------------------------------------------- codes


def _problems() -> Iterator[str]:
    for chapter in manual.chapters(manual.PROBLEMS):
        yield from (f"## {chapter.title}", "", *([chapter.intro, ""] if chapter.intro else []))
        yield from _sections(chapter)


def _findings() -> Iterator[str]:
    for chapter in manual.chapters(manual.FINDINGS):
        yield from (f"## {chapter.title}", "", chapter.intro, "")
        yield from ("| Code | Severity | The rule |", "| --- | --- | --- |")
        yield from (_row(f"`{page.code}`", manual.severity(page.code), CODES[page.code]) for page in chapter.pages)
        yield ""
        yield from _sections(chapter)


def _sections(chapter: manual.Chapter) -> Iterator[str]:
    for page in chapter.pages:
        yield from (f"### {page.code}", "", page.lead, "", page.body, "")


# ---------------------------------------------------------------------- pages

PARTS: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "header": _header,
    "steps": _steps,
    "verbs": _verbs,
    "functions": _functions,
    "settings": _settings,
    "commands": _commands,
    "events": _events,
    "problems": _problems,
    "findings": _findings,
}


def current(text: str) -> str:
    """A page with its generated parts as the code has them now. Raises KeyError for a part that nobody makes."""
    return _PART.sub(lambda found: found[1] + "\n".join(PARTS[found[2]]()).strip() + "\n" + found[3], text)


def main() -> int:
    """The exit code."""
    check = "--check" in sys.argv[1:]
    stale = [page for page in sorted(REFERENCE.glob("*.md")) if current(page.read_text()) != page.read_text()]
    for page in stale:
        sys.stdout.write(f"{page.name} {'is not current; run: python docs/generate.py' if check else 'written'}\n")
        if not check:
            page.write_text(current(page.read_text()))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
