"""The management API: FastAPI with typed models, in front of what the engine offers to people."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Body, FastAPI, Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from registry.base.clock import Clock, iso
from registry.base.problem import Problem
from registry.base.values import Json
from runner.adapters.web.actions import actions
from runner.adapters.web.events import events
from runner.adapters.web.models import (
    Accepted,
    Reason,
    RunDetail,
    RunId,
    RunList,
    RunStatus,
    RunSummary,
    SagaDetail,
    SagaList,
    SagaStatus,
    SagaSummary,
)
from runner.adapters.web.refusal import Refusal, check, problem_response, unfit, unknown
from runner.engine.dispatch import Dispatcher
from runner.engine.operate import Operator, signal_of
from runner.engine.watch import Watchers
from runner.ports import Filter, StoreError, StoreUnavailable, TooManySignals
from runner.saga.definition import Saga

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def management(
    *,
    dispatcher: Dispatcher,
    operator: Operator,
    watchers: Watchers,
    clock: Clock,
    version: str,
    ready: Callable[[], Awaitable[str]],
    missing: Callable[[], list[str]],
) -> FastAPI:
    """The application.

    `ready` gives a sentence why the runner is not ready, empty where it is; `missing` the names of called services that
    nobody could reach now.
    """
    app = FastAPI(
        title="Saga Runner",
        version=version,
        summary="Runs, definitions and health of one runner.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={code: {"description": "A problem document (RFC 9457)."} for code in (404, 422, 503)},
    )

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> JSONResponse:
        return problem_response(refusal.problem, request)

    @app.exception_handler(HTTPException)
    async def missed(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "refused")
        headers = dict(error.headers or {})
        return problem_response(
            Problem(
                status=error.status_code,
                code=code,
                title=str(error.detail),
                detail=f"{request.method} {request.url.path} is not part of the management API.",
                headers=headers,
            ),
            request,
        )

    app.exception_handler(404)(missed)
    app.exception_handler(405)(missed)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        if any(item["type"] == "json_invalid" for item in error.errors()):
            return problem_response(
                Problem(
                    status=400,
                    code="bad-request",
                    title="The request cannot be read",
                    detail="The body is not JSON.",
                ),
                request,
            )
        errors = tuple(
            {"pointer": "/" + "/".join(str(part) for part in item["loc"]), "detail": str(item["msg"])}
            for item in error.errors()
        )
        return problem_response(
            Problem(
                status=422,
                code="request-invalid",
                title="The request does not fit",
                detail="What is wrong stands in `errors`, and where.",
                errors=errors,
            ),
            request,
        )

    @app.exception_handler(Exception)
    async def broken(request: Request, __: Exception) -> JSONResponse:
        # The error itself goes on to the server's log, never to the caller.
        return problem_response(
            Problem(status=500, code="internal", title="The runner failed", detail="Its log says how."), request
        )

    @app.exception_handler(StoreError)
    async def away(request: Request, error: StoreError) -> JSONResponse:
        if isinstance(error, TooManySignals):
            return problem_response(
                Problem(
                    status=429,
                    code="too-many-signals",
                    title="The run has too many unread signals",
                    detail=str(error),
                ),
                request,
            )
        detail = "Try again in a moment." if isinstance(error, StoreUnavailable) else str(error)
        return problem_response(
            Problem(
                status=503,
                code="store-away",
                title="The journal does not answer",
                detail=detail,
                headers={"retry-after": "1"},
            ),
            request,
        )

    @app.get("/api/v1/sagas", tags=["sagas"])
    async def list_sagas(
        domain: Annotated[str | None, Query()] = None, status: Annotated[SagaStatus | None, Query()] = None
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
            raise Refusal(unknown("saga", saga))
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
        request: Request,
        saga: Annotated[str | None, Query()] = None,
        status: Annotated[RunStatus | None, Query()] = None,
        label: Annotated[str | None, Query(description="`name:value`")] = None,
        since: Annotated[datetime | None, Query(description="Started at or after this ISO time.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
    ) -> RunList:
        """Runs, newest first."""
        asked = [name for name, _ in request.query_params.multi_items()]
        for twice in {name for name in asked if asked.count(name) > 1}:  # one of them would go unheard
            raise Refusal(unfit(f"/query/{twice}", "say it once"))
        name, colon, value = (label or "").partition(":")
        if label is not None and not (name and colon):
            raise Refusal(unfit("/query/label", "write it as `name:value`"))
        # Rounded up: a run that started within the same millisecond, but before, is not asked for.
        moment = None if since is None else since if since.tzinfo else since.replace(tzinfo=UTC)
        wanted = Filter(
            saga=saga,
            status=status,
            label=(name, value) if label else None,
            since=None if moment is None else -((_EPOCH - moment) // _MILLISECOND),
            limit=limit,
            cursor=cursor,
        )
        try:
            runs, more = await operator.runs(wanted)
        except ValueError as error:  # what the store says of a cursor that it never gave
            raise Refusal(unfit("/query/cursor", str(error))) from None
        return RunList(runs=[RunSummary(**run) for run in runs], next=more)

    @app.get("/api/v1/runs/{run}", tags=["runs"])
    async def show_run(run: RunId) -> RunDetail:
        """One run with its steps, attempts, undo, and what it waits for."""
        view = await operator.show(run)
        if view is None:
            raise Refusal(unknown("run", run))
        return RunDetail(**view)

    @app.post("/api/v1/runs/{run}/cancel", status_code=202, tags=["runs"])
    async def cancel_run(run: RunId, body: Annotated[Reason | None, Body()] = None) -> Accepted:
        """Stop a run and undo what it did."""
        answer = await operator.cancel(run, subject="", reason=body.reason if body else "")
        check(answer, run)
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
        check(await operator.signal(run, signal), run)
        return Accepted(run=run, status="signalled")

    app.include_router(actions(operator))
    app.include_router(events(watchers))

    @app.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        """The process runs."""
        return {"status": "live"}

    async def readiness(**more: Json) -> JSONResponse:
        why = await ready()
        body = {"status": "not ready" if why else "ready", "timestamp": iso(clock.now()), **more}
        if why:
            body["reason"] = why
        return JSONResponse(body, status_code=503 if why else 200)

    @app.get("/ready", tags=["health"])
    async def is_ready() -> JSONResponse:
        """The runner takes requests; 503 with the reason where it does not."""
        return await readiness()

    @app.get("/health/ready", tags=["health"])
    async def is_ready_in_detail() -> JSONResponse:
        """As `/ready`, with the services that sagas call and that have neither a live instance nor a fallback."""
        return await readiness(missingServices=missing())

    @app.get("/health", tags=["health"])
    async def health() -> dict[str, str]:
        """What probes of older set-ups ask for."""
        return {
            "status": "unhealthy" if await ready() else "healthy",
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
