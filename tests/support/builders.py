"""Sagas, steps and spots for tests of the heart, with defaults for all that a test does not speak of."""

from typing import Any

import yaml

from runner.definitions.bundle import program
from runner.definitions.load import load_texts
from runner.definitions.world import World
from runner.saga.advance import RunState, advance
from runner.saga.definition import Program
from runner.saga.fault import Fault
from runner.saga.journal import Begun, Done, Record, Refused, Started, Unknown
from runner.saga.tree import Spot

RUN = "run1"


def made(*sagas: dict[str, Any], **variables: Any) -> Program:
    """The program of the first saga; each is a document as YAML would give it."""
    texts = [(f"{at}.yaml", yaml.safe_dump(saga, sort_keys=False).encode()) for at, saga in enumerate(sagas)]
    loaded = load_texts(texts, World(runner="tests", vars=variables))
    assert not loaded.errors, [finding.message for finding in loaded.findings if finding.severity == "error"]
    return program(loaded.catalog, next(iter(loaded.catalog)), variables)


def saga(*steps: dict[str, Any], **header: Any) -> dict[str, Any]:
    """A document of these steps."""
    return {"id": "main", "path": "/main", **header, "steps": list(steps)}


def call(name: str, **keys: Any) -> dict[str, Any]:
    """A step that posts to a service; nothing undoes it unless the test says what does."""
    return {
        "name": name,
        "call": {"service": "one", "path": f"/{name}", "body": {}},
        "compensate": "none",
        **keys,
    }


def undone(name: str, **keys: Any) -> dict[str, Any]:
    """A step that posts to a service and has an undo."""
    return call(
        name,
        compensate={"call": {"service": "one", "method": "DELETE", "path": f"/{name}"}} | keys.pop("undo", {}),
        **keys,
    )


# `way`: the direction, `f` forward, `c` inside a catch, `u` inside an undo.


def started(program: Program, *, t: int = 0, deadline: int | None = None) -> Started:
    """The first record of a run."""
    return Started(t=t, bundle=program.digest, saga=program.saga.ref, input={}, event={"id": RUN}, deadline=deadline)


def begun(path: str, *, t: int = 0, attempt: int = 1, way: str = "f") -> Begun:
    return Begun(t=t, path=path, dir=way, attempt=attempt, digest="d")


def done(path: str, *, t: int = 0, attempt: int = 1, way: str = "f", output: Any = None) -> Done:
    return Done(t=t, path=path, dir=way, attempt=attempt, output=output)


def fault(kind: str) -> Fault:
    """A fault of this kind, with the status that it names."""
    return Fault(kind=kind, status=int(kind) if kind.isdigit() else 0)


def refused(path: str, kind: str, *, t: int = 0, attempt: int = 1, way: str = "f") -> Refused:
    return Refused(t=t, path=path, dir=way, attempt=attempt, fault=fault(kind))


def unknown(path: str, kind: str, *, t: int = 0, attempt: int = 1, way: str = "f", crash: bool = False) -> Unknown:
    return Unknown(t=t, path=path, dir=way, attempt=attempt, fault=fault(kind), crash=crash)


def folded(program: Program, *records: Record) -> RunState:
    """The state after `S` and these records."""
    return advance(program, RUN, [started(program), *records])


def open_spot(program: Program, path: str, *records: Record) -> Spot:
    """The spot at `path`, open after these records."""
    return folded(program, *records).live[path]
