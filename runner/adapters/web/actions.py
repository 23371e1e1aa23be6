"""What an operator does about a parked run: retry, skip, resolve, resume."""

from typing import Annotated

from fastapi import APIRouter, Body

from registry.base.problem import Problem
from registry.base.values import Json
from runner.adapters.web.models import Accepted, Again, Reason, Resolution, RunId, Skipping
from runner.adapters.web.refusal import Refusal, check
from runner.engine.operate import Operator


def actions(operator: Operator) -> APIRouter:
    """The routes. Each answers 202 once the action is in the run's inbox, 409 with the reason where it cannot be."""
    router = APIRouter(
        prefix="/api/v1/runs/{run}",
        tags=["runs"],
        responses={code: {"description": "A problem document (RFC 9457)."} for code in (400, 404, 409, 413, 415, 429)},
    )

    async def act(run: str, action: str, body: Reason) -> Accepted:
        given: dict[str, Json] = body.model_dump(exclude_unset=True, exclude={"reason"})
        answer, why = await operator.act(run, action, given, subject="", reason=body.reason)
        if answer == "late":
            raise Refusal(
                Problem(status=409, code="cannot-act", title=f"The run cannot be {_done(action)}", detail=why)
            )
        check(answer, run)
        return Accepted(run=run, status=_done(action))

    @router.post("/retry", status_code=202)
    async def retry_run(run: RunId, body: Annotated[Again | None, Body()] = None) -> Accepted:
        """Try what is parked again: the same bytes, counters at zero; `render` renders anew."""
        return await act(run, "retry", body or Again())

    @router.post("/skip", status_code=202)
    async def skip_run(run: RunId, body: Annotated[Skipping | None, Body()] = None) -> Accepted:
        """Go on without the parked step: an undo leaves its step as a leftover, a step past the pivot is skipped."""
        return await act(run, "skip", body or Skipping())

    @router.post("/resolve", status_code=202)
    async def resolve_run(run: RunId, body: Annotated[Resolution, Body()]) -> Accepted:
        """Settle a step whose outcome is unknown: it was done, or it was not."""
        return await act(run, "resolve", body)

    @router.post("/resume", status_code=202)
    async def resume_run(run: RunId, body: Annotated[Reason | None, Body()] = None) -> Accepted:
        """Let a run be taken up again that its runner left alone."""
        return await act(run, "resume", body or Reason())

    return router


def _done(action: str) -> str:
    return {"retry": "retried", "skip": "skipped", "resolve": "resolved", "resume": "resumed"}[action]
