"""How the management API says no: problem documents, the same for every route."""

from fastapi import Request
from fastapi.responses import JSONResponse

from registry.base.problem import Problem


class Refusal(Exception):
    """The answer is a problem document."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


def check(answer: str, run: str) -> None:
    if answer == "unknown":
        raise Refusal(unknown("run", run))
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


def unfit(pointer: str, detail: str) -> Problem:
    return Problem(
        status=422,
        code="request-invalid",
        title="The request does not fit",
        detail="What is wrong stands in `errors`, and where.",
        errors=({"pointer": pointer, "detail": detail},),
    )


def unknown(what: str, name: str) -> Problem:
    return Problem(
        status=404,
        code={"run": "no-run", "saga": "no-saga"}[what],
        title=f"There is no such {what}",
        detail=f"No {what} is called {name}.",
    )


def problem_response(problem: Problem, request: Request) -> JSONResponse:
    return JSONResponse(
        problem.at(request.url.path).body(),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )
