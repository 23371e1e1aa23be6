"""The management API: FastAPI with typed models, in front of what the engine offers to people."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Body, FastAPI, Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from registry.base.clock import Clock, iso
from registry.base.problem import Problem
from registry.base.values import Json
from runner.engine.dispatch import Dispatcher
from runner.engine.operate import Operator, signal_of
from runner.ports import Filter, StoreError, StoreUnavailable, TooManySignals
from runner.saga.definition import Saga

RUN_ID = r"^[A-Za-z0-9._-]{1,128}$"

RunId = Annotated[str, Path(description="Id of the run.", pattern=RUN_ID)]


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
    """Why an operator acts."""

    reason: str = Field(default="", max_length=1000)


class Accepted(BaseModel):
    run: str
    status: str


class Refusal(Exception):
    """The answer is a problem document."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


def management(
    *, dispatcher: Dispatcher, operator: Operator, clock: Clock, version: str, ready: Callable[[], str]
) -> FastAPI:
    """The application. `ready` gives a sentence why the runner is not ready, empty where it is."""
    app = FastAPI(
        title="Saga Runner",
        version=version,
        summary="Runs, definitions and health of one runner.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={code: {"description": "A problem document (RFC 9457)."} for code in (422, 503)},
    )

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> JSONResponse:
        return _problem(refusal.problem)

    @app.exception_handler(HTTPException)
    async def missed(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "refused")
        headers = dict(error.headers or {})
        return _problem(
            Problem(
                status=error.status_code,
                code=code,
                title=str(error.detail),
                detail=f"{request.method} {request.url.path} is not part of the management API.",
                headers=headers,
            )
        )

    app.exception_handler(404)(missed)
    app.exception_handler(405)(missed)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        if any(item["type"] == "json_invalid" for item in error.errors()):
            return _problem(
                Problem(
                    status=400,
                    code="bad-request",
                    title="The request cannot be read",
                    detail="The body is not JSON.",
                )
            )
        errors = tuple(
            {"pointer": "/" + "/".join(str(part) for part in item["loc"]), "detail": str(item["msg"])}
            for item in error.errors()
        )
        return _problem(Problem(status=422, code="request-invalid", title="The request does not fit", errors=errors))

    @app.exception_handler(Exception)
    async def broken(_: Request, __: Exception) -> JSONResponse:
        # The error itself goes on to the server's log, never to the caller.
        return _problem(Problem(status=500, code="internal", title="The runner failed", detail="Its log says how."))

    @app.exception_handler(StoreError)
    async def away(_: Request, error: StoreError) -> JSONResponse:
        if isinstance(error, TooManySignals):
            return _problem(Problem(status=429, code="too-many-signals", title="The run has too many unread signals"))
        detail = "Try again in a moment." if isinstance(error, StoreUnavailable) else str(error)
        return _problem(
            Problem(
                status=503,
                code="store-away",
                title="The journal does not answer",
                detail=detail,
                headers={"retry-after": "1"},
            )
        )

    @app.get("/api/v1/sagas", tags=["sagas"])
    async def list_sagas(
        domain: Annotated[str | None, Query()] = None, status: Annotated[str | None, Query()] = None
    ) -> SagaList:
        """Definitions in service."""
        return SagaList(
            sagas=[
                SagaSummary(**_saga(saga))
                for saga in dispatcher.catalog
                if domain in (None, saga.domain) and status in (None, saga.status)
            ]
        )

    @app.get("/api/v1/sagas/{saga}", tags=["sagas"])
    async def show_saga(saga: Annotated[str, Path(description="`id` or `id@version`.")]) -> SagaDetail:
        """One definition: the highest active version, or the one that is named."""
        found = dispatcher.catalog.find(saga)
        if found is None:
            raise Refusal(_unknown("saga", saga))
        return SagaDetail(
            **_saga(found),
            streams=list(found.streams),
            runners=list(found.runners),
            roles=list(found.roles),
            executed="{}@{}".format(*found.executed),
            timeout=found.timeout,
            steps=[step.name or step.place for step in found.steps],
        )

    @app.get("/api/v1/runs", tags=["runs"])
    async def list_runs(
        saga: Annotated[str | None, Query()] = None,
        status: Annotated[str | None, Query()] = None,
        label: Annotated[str | None, Query(description="`name:value`")] = None,
        since: Annotated[datetime | None, Query(description="Started at or after this ISO time.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
    ) -> RunList:
        """Runs, newest first."""
        name, colon, value = (label or "").partition(":")
        if label is not None and not (name and colon):
            raise Refusal(_unfit("/query/label", "write it as `name:value`"))
        moment = None if since is None else since if since.tzinfo else since.replace(tzinfo=UTC)
        wanted = Filter(
            saga=saga,
            status=status,
            label=(name, value) if label else None,
            since=None if moment is None else int(moment.timestamp() * 1000),
            limit=limit,
            cursor=cursor,
        )
        try:
            runs, more = await operator.runs(wanted)
        except ValueError as error:  # what the store says of a cursor that it never gave
            raise Refusal(_unfit("/query/cursor", str(error))) from None
        return RunList(runs=[RunSummary(**run) for run in runs], next=more)

    @app.get("/api/v1/runs/{run}", tags=["runs"])
    async def show_run(run: RunId) -> RunDetail:
        """One run with its steps, attempts, undo, and what it waits for."""
        view = await operator.show(run)
        if view is None:
            raise Refusal(_unknown("run", run))
        return RunDetail(**view)

    @app.post("/api/v1/runs/{run}/cancel", status_code=202, tags=["runs"])
    async def cancel_run(run: RunId, body: Annotated[Reason | None, Body()] = None) -> Accepted:
        """Stop a run and undo what it did."""
        answer = await operator.cancel(run, subject="", reason=body.reason if body else "")
        _check(answer, run)
        return Accepted(run=run, status="cancelling")

    @app.post("/api/v1/runs/{run}/signals/{name}", status_code=202, tags=["runs"])
    async def signal_run(
        run: RunId,
        name: Annotated[str, Path(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,127}$")],
        body: Annotated[Any, Body()] = None,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Accepted:
        """Send a run the signal that one of its steps listens for; kept where it comes too early."""
        given: Json = body
        signal = signal_of(name, given, id=f"key:{idempotency_key}" if idempotency_key else "", subject="", roles=())
        _check(await operator.signal(run, signal), run)
        return Accepted(run=run, status="signalled")

    @app.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        """The process runs."""
        return {"status": "live"}

    @app.get("/health/ready", tags=["health"])
    @app.get("/ready", tags=["health"])
    async def readiness() -> JSONResponse:
        """The runner takes requests; 503 with the reason where it does not."""
        why = ready()
        body = {"status": "not ready" if why else "ready", "timestamp": iso(clock.now())}
        if why:
            body["reason"] = why
        return JSONResponse(body, status_code=503 if why else 200)

    @app.get("/health", tags=["health"])
    async def health() -> dict[str, str]:
        """What probes of older set-ups ask for."""
        return {
            "status": "unhealthy" if ready() else "healthy",
            "version": version,
            "timestamp": iso(clock.now()),
        }

    return app


def _saga(saga: Saga) -> dict[str, Any]:
    return {
        "id": saga.id,
        "name": saga.name or saga.id,
        "domain": saga.domain,
        "status": saga.status,
        "description": saga.description,
        "path": saga.path,
        "version": saga.version,
        "methods": list(saga.methods),
    }


def _check(answer: str, run: str) -> None:
    if answer == "unknown":
        raise Refusal(_unknown("run", run))
    if answer == "ended":
        raise Refusal(
            Problem(status=409, code="run-ended", title="The run has ended", detail=f"{run} has its end already.")
        )
    if answer == "late":
        raise Refusal(
            Problem(
                status=409,
                code="cannot-cancel",
                title="The run cannot be cancelled any more",
                detail=f"{run} is past its pivot, or is being undone already.",
            )
        )


def _unfit(pointer: str, detail: str) -> Problem:
    return Problem(
        status=422,
        code="request-invalid",
        title="The request does not fit",
        errors=({"pointer": pointer, "detail": detail},),
    )


def _unknown(what: str, name: str) -> Problem:
    return Problem(
        status=404, code=f"no-{what}", title=f"There is no such {what}", detail=f"No {what} is called {name}."
    )


def _problem(problem: Problem) -> JSONResponse:
    return JSONResponse(
        problem.body(),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )
