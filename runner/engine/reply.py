"""What a caller is told: the end of a run, or where to ask for it, as HTTP has it."""

from typing import Final

import msgspec

from registry.base.problem import Problem
from registry.base.values import Json
from runner.engine.live import Verdict
from runner.engine.perform import traceparent
from runner.saga.definition import Program
from runner.saga.fault import Fault
from runner.saga.journal import Ended
from runner.saga.message import Reply

_encode = msgspec.json.Encoder().encode

#: HTTP status of the built-in kinds; a service's status and whatever is not here is 502.
STATUSES: Final = {
    "expression": 500,
    "validation": 500,
    "exhausted": 500,
    "timeout": 504,
    "circuitOpen": 503,
    "serviceNotFound": 503,
    "cancelled": 409,
}
TITLES: Final = {
    500: "The saga cannot be computed",
    502: "A service failed",
    503: "A service is not to be had now",
    504: "The saga took too long",
    409: "The run was cancelled",
}


def run_url(run: str) -> str:
    """Where a run can be asked for."""
    return f"/api/v1/runs/{run}"


def of_verdict(verdict: Verdict, run: str) -> Reply:
    """The reply to the one who waits for a run that has ended or parked."""
    ended = verdict.ended
    if ended is None:
        if verdict.pivot_sent or verdict.fault is None:
            return accepted(run, verdict.program, verdict.status)
        return _failed(verdict.program, run, verdict.fault, verdict.status)
    if ended.status == "completed":
        return _completed(verdict.program, run, ended)
    assert ended.error is not None
    return _failed(verdict.program, run, ended.error, ended.status)


def accepted(run: str, program: Program | None, status: str) -> Reply:
    """202: the run exists and goes on; here is where to ask."""
    headers = {"location": run_url(run), "content-type": "application/json", "cache-control": "no-store"}
    if program is not None:
        headers |= _common(program, run)
    return Reply(status=202, headers=headers, body=_encode({"run": run, "status": status, "href": run_url(run)}))


def of_problem(problem: Problem, extra: dict[str, str] | None = None) -> Reply:
    """A problem document (RFC 9457)."""
    headers = {"content-type": "application/problem+json", "cache-control": "no-store", **problem.headers}
    return Reply(status=problem.status, headers=headers | (extra or {}), body=_encode(problem.body()))


def _completed(program: Program, run: str, ended: Ended) -> Reply:
    status = program.saga.reply.status
    headers = _common(program, run)
    for name, value in ended.headers.items():
        headers[name.lower()] = value
    if status in (204, 304):
        return Reply(status=status, headers=headers, body=b"")
    headers.setdefault("content-type", "application/json")
    return Reply(status=status, headers=headers, body=_encode(ended.output))


def _failed(program: Program, run: str, fault: Fault, outcome: str) -> Reply:
    status = status_of(fault)
    extra: dict[str, Json] = {
        "outcome": outcome,
        "step": fault.step,
        "error": {"kind": fault.kind, "status": fault.status or None},
        "run": run,
    }
    if fault.raised:
        absolute = "://" in fault.kind
        problem = Problem(
            status=status,
            code=fault.kind,
            type=fault.kind if absolute else "",
            title=fault.title or fault.kind,
            detail=fault.detail or _sentence(fault, outcome),
            instance=run_url(run),
            errors=tuple(fault.errors) if isinstance(fault.errors, list) else (),
            extra=extra,
            headers={name.lower(): value for name, value in fault.headers.items()},
        )
    else:
        problem = Problem(
            status=status,
            code=_code(fault),
            title=TITLES.get(status, "The saga failed"),
            detail=_sentence(fault, outcome),
            instance=run_url(run),
            extra=extra,
        )
    return of_problem(problem, _common(program, run))


def status_of(fault: Fault) -> int:
    """The HTTP status that a caller gets for a fault."""
    return fault.status if fault.raised else STATUSES.get(fault.kind, 502)


def _code(fault: Fault) -> str:
    return "service-answered" if fault.kind.isdigit() else fault.kind


def _sentence(fault: Fault, outcome: str) -> str:
    """What failed, without anything internal."""
    what = f"with {fault.kind}" if not fault.kind.isdigit() else f"because its service answered {fault.kind}"
    told = {
        "compensated": "What had been done is undone.",
        "failed": "Nothing had to be undone, or not all could be; the run lists what is left.",
        "cancelled": "What had been done is undone.",
        "parked": "An operator has to look at it.",
        "compensating": "What had been done is being undone.",
    }
    return f"{fault.step or 'The saga'} failed {what}. {told.get(outcome, '')}".strip()


def _common(program: Program, run: str) -> dict[str, str]:
    return {
        "x-saga-run": run,
        "x-saga-version": str(program.saga.version),
        "traceparent": traceparent(run),
        "cache-control": "no-store",
    }
