"""Reads the settings once: defaults, over them a file, then the environment, then the command line."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

from registry.base.values import Json
from runner.definitions.findings import Findings
from runner.definitions.read import read
from runner.settings.containers import section
from runner.settings.environment import fetched, from_node, variables
from runner.settings.given import DEFAULT, Given, given, merged, nested
from runner.settings.scalars import Report
from runner.settings.tree import Sections, Settings

#: Read where it is there, without being asked for.
DEFAULT_FILE: Final = "saga.yml"

_MAX_FILE_BYTES: Final = 1_048_576
_ROOT: Final = section(Sections)

#: Defaults that are read like anything else: they hold paths, or a section that is said replaces them.
_DEFAULTS: Final[Mapping[str, Json]] = {
    "definitions": ["definitions"],
    "journal": {"url": "sqlite:.saga/journal.db"},
    "streams": {"http": {"type": "http"}},
    "states": {"default": {"type": "memory"}},
}


class SettingsInvalid(Exception):
    """The settings cannot be used; `sentences` are all that is wrong, each with its place and its mending."""

    def __init__(self, sentences: tuple[str, ...]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


def load(
    *,
    environment: Mapping[str, str],
    config: str | None = None,
    overrides: Mapping[str, Json] | None = None,
    folder: Path | None = None,
    host_name: str = "",
) -> Settings:
    """The settings of this process. Raises `SettingsInvalid` with all errors at once.

    - `config`: the file to read; else the one that `SAGA_CONFIG` names, else `saga.yml` if it is there.
    - `overrides`: dotted key (`runner.port`) -> value, from the command line; None: not given.
    - `folder`: what the file's own path counts from, by default the current folder.
    - `host_name`: `shop-2` gives partition 2 where there are several partitions and none was said.
    """
    folder = (folder or Path.cwd()).absolute()
    named = config or environment.get("SAGA_CONFIG") or None
    path = folder / (named or DEFAULT_FILE)
    report = Report(path.parent if named or path.is_file() else folder)
    tree, found = _file(path, named, report)
    tree = merged(_defaults(tree), _spelled_out(tree))
    for layer in variables(environment, _ROOT, tree, report):
        tree = merged(tree, _spelled_out(layer))
    for key, value in (overrides or {}).items():
        if value is not None:
            tree = merged(tree, _spelled_out(nested(key.split("."), given(value, "command line"))))
    tree = _placed(fetched(tree, environment, report), host_name, report)
    sections = _ROOT.read(tree, "", report)
    if len(report):
        raise SettingsInvalid(report.sentences())
    return Settings(
        **{place.name: getattr(sections, place.name) for place in fields(Sections)},
        folder=report.folder,
        file=path if found else None,
        origins=dict(tree.leaves()),
    )


def _file(path: Path, named: str | None, report: Report) -> tuple[Given, bool]:
    """What the file says, and whether there is one."""
    shown = named or DEFAULT_FILE
    nothing = Given(value={}, origin=shown)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        if named:
            report.add(named, "there is no such settings file; mend --config or SAGA_CONFIG, or leave both out")
        return nothing, False
    except OSError as error:
        report.add(shown, f"the settings file cannot be read ({error.strerror}); mend its permissions or its path")
        return nothing, False
    if len(data) > _MAX_FILE_BYTES:
        report.add(shown, "the settings file has more than 1 MiB; shorten it")
        return nothing, True
    findings = Findings()
    documents = read(shown, data, findings)
    for finding in findings.sorted():
        hint = f"; {finding.hint}" if finding.hint else ""
        report.add(f"{finding.file}:{finding.line}:{finding.column}", f"{finding.message}{hint}")
    if len(documents) > 1:
        second = documents[1].root
        report.add(f"{shown}:{second.line}:{second.column}", "settings are one document; take the `---` out")
    said = from_node(documents[0].root) if documents else nothing
    if isinstance(said.value, dict):
        # `redis:` with nothing behind it is a section that was left out.
        said = replace(said, value={name: below for name, below in said.value.items() if below.value is not None})
    return said, True


def _defaults(said: Given) -> Given:
    """The defaults under what the file says: streams that are said replace the default ones."""
    there = said.value if isinstance(said.value, dict) else {}
    states = there["states"].value if "states" in there else None
    defaults = dict(_DEFAULTS)
    if "streams" in there:
        del defaults["streams"]
    if isinstance(states, dict) and "default" in states:
        del defaults["states"]
    return given(defaults, DEFAULT)


def _spelled_out(tree: Given) -> Given:
    """A service that is just its URL as the mapping that it stands for, so that layers can join."""
    services = tree.value.get("services") if isinstance(tree.value, dict) else None
    if services is None or not isinstance(services.value, dict):
        return tree
    assert isinstance(tree.value, dict)
    spelled = {
        name: replace(nested(("url",), replace(below, key_origin="")), key_origin=below.key_origin)
        if isinstance(below.value, str)
        else below
        for name, below in services.value.items()
    }
    return replace(tree, value={**tree.value, "services": replace(services, value=spelled)})


def _placed(tree: Given, host_name: str, report: Report) -> Given:
    """The tree with `runner.partition` said, where there are several and only the host's name tells which."""
    runner = tree.value.get("runner") if isinstance(tree.value, dict) else None
    if runner is None or not isinstance(runner.value, dict) or "partition" in runner.value:
        return tree
    partitions = runner.value.get("partitions")
    if partitions is None or not isinstance(partitions.value, int) or partitions.value <= 1:
        return tree
    ordinal = re.search(r"-([0-9]{1,9})\Z", host_name.partition(".")[0])
    if ordinal is None:
        report.add(
            partitions.origin,
            f"runner.partitions is {partitions.value}, and the host's name `{host_name}` does not end in a "
            "number that says which one this is; say runner.partition",
        )
        return tree
    return merged(tree, nested(("runner", "partition"), Given(value=int(ordinal[1]), origin=f"host name {host_name}")))
