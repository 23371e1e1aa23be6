"""From a message to a run: what is refused before anything is recorded, and what the run starts with."""

import msgspec

from registry.base.clock import iso
from registry.base.problem import Problem
from registry.base.values import Json, canonical, merged
from runner.engine.identify import fingerprint, keyed_run_id, new_run_id
from runner.ports import NewRun
from runner.saga.definition import Program, Saga, TriggerKey
from runner.saga.evaluation import ExpressionFailed
from runner.saga.functions_number import number_text
from runner.saga.journal import Started
from runner.saga.message import Message
from runner.saga.scope import Scope
from runner.saga.tree import Frame

#: `event.stream` of a run that an `onFail` started.
ON_FAIL = "onFail"
#: Characters of a label's value.
LONGEST_LABEL = 256


class Refusal(Exception):
    """The message starts no run; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is ready to be recorded."""

    new: NewRun
    started: Started
    #: Whether a key names the trigger, so that the run may exist already.
    keyed: bool


def with_extra(saga: Saga, given: Json) -> Json:
    """The input with the saga's static payload merged in. Raises Refusal (422)."""
    if saga.extra_payload is None:
        return given
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise Refusal(
            Problem(
                status=422,
                code="input-invalid",
                title="The input does not fit the saga",
                detail="This saga adds a static payload to its input, so the input must be a JSON object.",
                errors=({"pointer": "", "detail": "must be an object"},),
            )
        )
    return merged(given, saga.extra_payload)


def take_in(program: Program, message: Message, given: Json, now: int) -> Intake:
    """What a message starts (`given`: its input after the extra payload). Raises Refusal (422)."""
    saga = program.saga
    # Most sagas read nothing of the event but its id.
    whole = saga.idempotency_key is not None or saga.labels or program.reads_event
    event: dict[str, Json] = _event(message, message.key) if whole else {"id": message.key}
    key, compare = f"sent:{message.key}" if message.key else None, True
    if saga.idempotency_key is not None:
        key, compare = _named_key(saga.idempotency_key, _scope(program, given, event, run="", now=now), key)
    run = new_run_id(now) if key is None else keyed_run_id(message.subject, message.path, key)
    event["id"] = event["id"] or run
    labels = _labels(saga, _scope(program, given, event, run=run, now=now)) if saga.labels else {}
    started = Started(
        t=now,
        bundle=program.digest,
        saga=saga.ref,
        input=given,
        event=_kept(event, program.reads) if whole else event,
        labels=labels,
        deadline=None if saga.timeout is None else now + saga.timeout,
    )
    print_ = fingerprint([message.path, message.method, message.input]) if key is not None and compare else ""
    new = NewRun(
        id=run,
        fingerprint=print_,
        saga=saga.id,
        version=saga.version,
        bundle=program.digest,
        labels=labels,
        started_at=now,
        records=(),
    )
    return Intake(new=new, started=started, keyed=key is not None)


def follow_up(
    program: Program, *, run: str, ended: dict[str, Json], given: Json, error: Json, now: int
) -> tuple[NewRun, Started]:
    """The run that `onFail` names: started once per run, whatever happens in between."""
    saga = program.saga
    id = keyed_run_id("onFail", run)  # noqa: A001 - the word of the language
    body = with_extra(saga, {"input": given, "error": error, "run": {"id": run, **ended}})
    event: dict[str, Json] = {"id": id, "stream": ON_FAIL, "time": iso(now / 1000), "roles": []}
    scope = _scope(program, body, event, run=id, now=now)
    try:
        labels = _labels(saga, scope)
    except Refusal:
        labels = {}
    started = Started(
        t=now,
        bundle=program.digest,
        saga=saga.ref,
        input=body,
        event=_kept(event, program.reads) | {"stream": ON_FAIL},
        labels=labels,
        deadline=None if saga.timeout is None else now + saga.timeout,
    )
    new = NewRun(
        id=id,
        fingerprint="",
        saga=saga.id,
        version=saga.version,
        bundle=program.digest,
        labels=labels,
        started_at=now,
        records=(),
    )
    return new, started


def _event(message: Message, id: str) -> dict[str, Json]:  # noqa: A002 - the word of the language
    return {
        "id": id,
        "stream": message.stream,
        "path": message.path,
        "method": message.method or None,
        "headers": message.headers,
        "time": iso(message.time / 1000),
        "subject": message.subject or None,
        "roles": list(message.roles),
        "claims": message.claims,
    }


def _kept(event: dict[str, Json], reads: frozenset[str]) -> dict[str, Json]:
    """What of the event the saga reads: the journal holds no more."""
    if "event" in reads:
        return event
    return {name: value for name, value in event.items() if name == "id" or f"event.{name}" in reads}


def _scope(program: Program, given: Json, event: dict[str, Json], *, run: str, now: int) -> Scope:
    frame = Frame(
        saga=program.saga,
        run=run,
        input=given,
        events=event,
        vars=program.vars,
        started_at=now,
        owner=None,
        depth=0,
    )
    return Scope(frame)


def _named_key(rule: TriggerKey, scope: Scope, sent: str | None) -> tuple[str | None, bool]:
    """The key that the saga's own expression names, and whether repeats are compared; null means the sender's."""
    try:
        value = rule.key(scope)
    except ExpressionFailed as failed:
        raise _unprocessable("idempotencyKey", failed.detail) from failed
    if value is None:
        return sent, True
    return f"saga:{value if isinstance(value, str) else canonical(value).decode()}", rule.compare


def _labels(saga: Saga, scope: Scope) -> dict[str, str]:
    labels: dict[str, str] = {}
    for name, template in saga.labels.items():
        try:
            value = template(scope)
        except ExpressionFailed as failed:
            raise _unprocessable(f"labels.{name}", failed.detail) from failed
        if value is None:
            continue
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, int | float):
            text = number_text(value)
        elif isinstance(value, str):
            text = value
        else:
            raise _unprocessable(f"labels.{name}", "a label must come out as text, a number or a flag")
        if len(text) > LONGEST_LABEL:
            raise _unprocessable(f"labels.{name}", f"a label has at most {LONGEST_LABEL} characters")
        labels[name] = text
    return labels


def _unprocessable(where: str, detail: str) -> Refusal:
    return Refusal(
        Problem(
            status=422,
            code="input-invalid",
            title="The input does not fit the saga",
            detail=f"`{where}` of the saga could not be computed from this input: {detail}",
            errors=({"pointer": "", "detail": detail},),
        )
    )
