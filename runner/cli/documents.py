"""What a runner's API answers, as far as the command line reads it. Members that are not read may come and go."""

from datetime import datetime
from typing import Annotated, Any, TypeAlias

import msgspec

Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


class _Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A JSON object."""


class Saga(_Document, frozen=True, kw_only=True):
    """One definition in service."""

    id: str
    version: int
    status: str
    name: str | None = None
    domain: str | None = None
    path: str | None = None
    methods: tuple[str, ...] = ()


class Sagas(_Document, frozen=True, kw_only=True):
    sagas: tuple[Saga, ...]
    next: str | None = None


class Failure(_Document, frozen=True, kw_only=True):
    """Why something failed."""

    kind: str
    status: int | None = None
    detail: str = ""
    step: str = ""
    title: str | None = None


class Undo(_Document, frozen=True, kw_only=True):
    """How a step was undone."""

    status: str
    attempts: int = 0
    started_at: Moment | None = None
    ended_at: Moment | None = None
    error: Failure | None = None


class Step(_Document, frozen=True, kw_only=True):
    """One step of a run."""

    path: str
    status: str
    name: str = ""
    kind: str = ""
    target: str | None = None
    attempts: int = 0
    direction: str = "forward"
    started_at: Moment | None = None
    ended_at: Moment | None = None
    error: Failure | None = None
    undo: Undo | None = None
    waiting_for: str | None = None


class RunLine(_Document, frozen=True, kw_only=True):
    """A run as lists have it."""

    id: str
    saga: str
    version: int
    status: str
    started_at: Moment
    ended_at: Moment | None = None
    reason: str | None = None
    labels: dict[str, str] = {}


class Runs(_Document, frozen=True, kw_only=True):
    runs: tuple[RunLine, ...]
    next: str | None = None


class Leftover(_Document, frozen=True, kw_only=True):
    """An effect that is still there, or may be."""

    step: str
    outcome: str


class Run(RunLine, frozen=True, kw_only=True):
    """A whole run."""

    steps: tuple[Step, ...]
    output: Any = None
    error: Failure | None = None
    leftovers: tuple[Leftover, ...] = ()
    #: Failures of undos.
    undo_errors: tuple[Failure, ...] = ()


class Accepted(_Document, frozen=True, kw_only=True):
    """What is answered to an action."""

    run: str
    status: str


class Health(_Document, frozen=True, kw_only=True):
    status: str
    version: str


class Readiness(_Document, frozen=True, kw_only=True):
    status: str
    reason: str = ""
