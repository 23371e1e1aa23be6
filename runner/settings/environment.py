"""Settings as variables say them (`SAGA_RUNNER__PORT=8081`), and values that point elsewhere (`env:NAME`).

A variable is text. Its value is read as YAML, so numbers, flags, lists and mappings can be written; a key
that wants text takes the variable's text as it is. Upper case says nothing of camel case or hyphens, so names
are matched without regard to case and separators.
"""

import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from runner.definitions.findings import Findings, nearest
from runner.definitions.node import LIST, MAPPING, Node
from runner.definitions.read import read
from runner.settings.containers import Literal, Many, Optional, Section, Table, Variant
from runner.settings.given import Given, nested
from runner.settings.scalars import Reader, Report

#: Variables of other programs that are read, too; ours win over them.
_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "REDIS_URL": ("redis", "url"),
    "SAGA_SERVICE_URL": ("registry", "url"),
}
_PREFIX: Final = "SAGA_"
_MAX_FILE_BYTES: Final = 1_048_576


def machine_environment() -> dict[str, str]:
    """The variables of this process, as they are now."""
    return dict(os.environ)  # noqa: TID251 -- this is the one place where the environment becomes an argument


def machine_name() -> str:
    """The host's name, whose ordinal may say a partition."""
    return socket.gethostname()


def variables(environment: Mapping[str, str], root: Section, below: Given, report: Report) -> Iterator[Given]:
    """One tree for each variable that is a setting, in the order in which they are laid over each other.

    `below` is what the file says: names of services, streams and the like are matched with it.
    """
    for name, place in _KNOWN.items():
        if environment.get(name):  # set to nothing is how deployments leave it out
            yield nested(place, text(environment[name], f"environment {name}"))
    taken: dict[tuple[str, ...], str] = {}
    for name in sorted(environment):
        parts = name.removeprefix(_PREFIX).split("__")
        if not name.startswith(_PREFIX) or len(parts) < 2 or not all(parts):
            continue
        origin = f"environment {name}"
        keys = _path(parts, root, below)
        if keys is None:
            known = [_PREFIX + "__".join(path) for path in _names(root)]
            close = nearest(name, known)
            report.add(origin, f"there is no such setting; {f'did you mean {close}?' if close else 'take it out'}")
        elif keys in taken:
            report.add(origin, f"{taken[keys]} says {'.'.join(keys)}, too; keep one")
        else:
            taken[keys] = name
            yield nested(keys, text(environment[name], origin))


def _squeezed(name: str) -> str:
    return re.sub(r"[-_.]", "", name).lower()


def _path(parts: Sequence[str], reader: Reader, below: Given | None) -> tuple[str, ...] | None:
    """The keys that the parts of a variable's name lead to; None where there is no such place."""
    if isinstance(reader, Optional):
        return _path(parts, reader.of, below)
    if not parts:
        return ()
    there = below.value if below is not None and isinstance(below.value, dict) else {}
    inner: Reader
    match reader:
        case Section() | Variant():
            known = _keys(reader)
            found = next((k for k in known if _squeezed(k) == _squeezed(parts[0])), None)
            if found is None:
                return None
            key, inner = found, known[found]
        case Table():
            same = (k for k in there if _squeezed(k) == _squeezed(parts[0]))
            key = next(same, parts[0].lower().replace("_", "-" if reader.header else "_"))
            inner = reader.of
        case Literal():
            key, inner = parts[0].lower(), reader
        case Many() if parts[0].isdigit():
            key, inner = parts[0], reader.of
        case _:
            return None
    rest = _path(parts[1:], inner, there.get(key))
    return None if rest is None else (key, *rest)


def _keys(reader: Section | Variant) -> dict[str, Reader]:
    if isinstance(reader, Section):
        return {key: inner for key, (_, inner) in reader.keys.items()}
    return {"type": Many(of=Literal())} | {k: r for one in reader.of.values() for k, r in _keys(one).items()}


def _names(section: Section) -> Iterator[tuple[str, ...]]:
    """The paths that a variable may name, as far as they are fixed."""
    for key, reader in _keys(section).items():
        inner = reader.of if isinstance(reader, Optional) else reader
        if isinstance(inner, Section):
            yield from ((key.upper(), *rest) for rest in _names(inner))
        else:
            yield (key.upper(),)


def text(value: str, origin: str) -> Given:
    """A text from a source that knows nothing else, with what it says as YAML beside it."""
    if "\n" not in value:
        findings = Findings()
        documents = read(origin, value.encode(), findings)
        if not len(findings) and len(documents) <= 1:
            said = from_node(documents[0].root, origin) if documents else Given(value=None, origin=origin)
            return replace(said, raw=value)
    return Given(value=value, origin=origin, raw=value)


def from_node(node: Node, origin: str = "") -> Given:
    """What a YAML node says; without `origin` everything knows its own `file:line:column`."""
    at = origin or f"{node.source.file}:{node.line}:{node.column}"
    if node.kind == MAPPING:
        entries = {
            name: replace(from_node(value, origin), key_origin=from_node(key, origin).origin)
            for name, (key, value) in node.value.items()
        }
        return Given(value=entries, origin=at)
    if node.kind == LIST:
        return Given(value=[from_node(item, origin) for item in node.value], origin=at)
    return Given(value=node.value, origin=at)


def fetched(tree: Given, environment: Mapping[str, str], report: Report) -> Given:
    """The tree with each text `env:NAME` or `file:PATH` replaced by what it points to."""
    match tree.value:
        case dict() as entries:
            return replace(tree, value={k: fetched(v, environment, report) for k, v in entries.items()})
        case list() as items:
            return replace(tree, value=[fetched(item, environment, report) for item in items])
        case _:
            pass
    said = tree.raw if tree.raw is not None else tree.value
    if not isinstance(said, str):
        return tree
    kind, _, name = said.partition(":")
    origin = f"{tree.origin} ({said})"
    if kind == "env" and name:
        if name not in environment:
            report.add(tree.origin, f"the environment has no {name}; set it, or write the value itself")
            report.incomplete = True
            return replace(tree, lost=True)
        return replace(text(environment[name], origin), key_origin=tree.key_origin)
    if kind == "file" and name:
        content = _content(report.folder / name)
        if content is None:
            report.add(
                tree.origin,
                f"the file {name} is no text file that can be read (up to 1 MiB, UTF-8); mend the path",
            )
            report.incomplete = True
            return replace(tree, lost=True)
        return replace(text(content, origin), key_origin=tree.key_origin)
    return tree


def _content(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
        return None if len(data) > _MAX_FILE_BYTES else data.decode("utf-8").rstrip("\r\n")
    except (OSError, ValueError):
        return None
