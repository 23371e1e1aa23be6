"""The shapes of the management API, named as its JSON names them."""

from typing import Annotated, Any, Literal, TypeAlias

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

RunId = Annotated[str, Path(description="Id of the run.", pattern=r"^[A-Za-z0-9._-]{1,128}$")]

RunStatus: TypeAlias = Literal[
    "running", "waiting", "compensating", "completed", "compensated", "failed", "parked", "cancelled"
]
SagaStatus: TypeAlias = Literal["active", "draft", "inactive"]


class SagaSummary(BaseModel):
    """One definition as lists show it."""

    id: str
    name: str
    domain: str
    status: str
    description: str
    path: str | None
    version: int
    methods: list[str]


class SagaList(BaseModel):
    sagas: list[SagaSummary]
    next: str | None = None


class SagaDetail(SagaSummary):
    streams: list[str]
    runners: list[str]
    roles: list[str]
    executed: str
    timeout: int | None = Field(description="Milliseconds; null: no limit.")
    steps: list[str]


class Fault(BaseModel):
    kind: str
    status: int | None = None
    detail: str = ""
    step: str = ""
    title: str | None = None


class RunSummary(BaseModel):
    """One run as lists show it."""

    id: str
    saga: str
    version: int
    status: str
    reason: str | None
    labels: dict[str, str]
    startedAt: str
    endedAt: str | None


class RunList(BaseModel):
    runs: list[RunSummary]
    next: str | None


class Leftover(BaseModel):
    step: str
    outcome: str


class UndoError(BaseModel):
    step: str
    kind: str
    status: int | None = None
    detail: str = ""


class Undo(BaseModel):
    status: str
    attempts: int
    startedAt: str
    endedAt: str | None
    durationMs: int | None
    error: Fault | None


class Step(BaseModel):
    """One step that has begun, with its undo."""

    name: str
    path: str
    kind: str
    target: str | None
    status: str
    caught: bool
    unknown: bool
    attempts: int
    direction: str
    key: str
    startedAt: str
    endedAt: str | None
    durationMs: int | None
    output: Any = None
    error: Fault | None
    undo: Undo | None
    waitingFor: str | None


class RunDetail(RunSummary):
    """A whole run."""

    input: Any = None
    output: Any = None
    error: Fault | None
    leftovers: list[Leftover]
    undoErrors: list[UndoError]
    steps: list[Step]


class Reason(BaseModel):
    """Why an operator acts. A member that is not known is refused: it was meant to say something."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=1000)


class Accepted(BaseModel):
    run: str
    status: str


class Again(Reason):
    """Try what is parked again."""

    step: str | None = Field(default=None, max_length=1000, description="Path of one parked step; absent: all.")
    render: bool = Field(default=False, description="Render the request anew, instead of sending the same bytes.")


class Skipping(Reason):
    """Go on without a parked step."""

    step: str | None = Field(default=None, max_length=1000, description="Path of the step, where several are parked.")
    output: Any = Field(default=None, description="Stands for the step's output, where something reads it.")


class Resolution(Reason):
    """What a person found out about a step whose outcome is unknown."""

    done: bool = Field(description="Whether the step has had its effect.")
    step: str | None = Field(default=None, max_length=1000, description="Path of the step, where several are parked.")
    output: Any = Field(default=None, description="Its output, where something reads it.")
