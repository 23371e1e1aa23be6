"""The nouns of a draft without findings."""

from typing import Any, Final

from runner.definitions.draft import Draft, SagaDraft, StepList
from runner.definitions.header import UNITS
from runner.definitions.node import Node
from runner.saga.definition import (
    Breaker,
    CacheRule,
    CatchEntry,
    Compensation,
    Mark,
    ReplyRule,
    Retry,
    Saga,
    SchemaRule,
    Step,
    StepCache,
    Timer,
    TriggerKey,
)
from runner.saga.expression import Expression
from runner.saga.template import compile_template
from runner.steps import KINDS

#: Timeouts of steps that say none.
STEP_TIMEOUTS: Final = {"call": 10_000, "emit": 30_000}
#: Of a whole run, where the saga's steps and path do not make it unlimited.
SAGA_TIMEOUT: Final = 30_000

_CONTINUE: Final = (CatchEntry(errors=("any",), output=compile_template(None)),)
_NO_READ: Final[frozenset[str]] = frozenset()
_EXPECTED: Final = (*Retry().errors, "unexpected")
#: Breaker keys and their fields.
_BREAKER: Final = {
    "minimumNumberOfCalls": "minimum_number_of_calls",
    "slidingWindowSize": "sliding_window_size",
    "failureRateThreshold": "failure_rate_threshold",
    "slowCallDurationThreshold": "slow_call_duration_threshold",
    "slowCallRateThreshold": "slow_call_rate_threshold",
    "waitDurationInOpenState": "wait_duration_in_open_state",
    "permittedNumberOfCallsInHalfOpenState": "permitted_number_of_calls_in_half_open_state",
    "noReplyTimeoutDuration": "no_reply_timeout_duration",
}


def build(draft: SagaDraft, *, timeout: int | None, input_schema: Any = None, output_schema: Any = None) -> Saga:
    """The saga of a draft that has no error.

    `timeout` is the run's, resolved; the schemas are self-contained.
    """
    box = draft.box
    if draft.main is not None:
        _steps(draft.main, draft.reads)
    cache, schema, key = box.get("cache"), box.get("schema", {}), box.get("idempotencyKey")
    reply = box.get("reply", {})
    methods = box.get("methods", ())
    return Saga(
        id=draft.id,
        version=draft.version,
        name=box.get("name", draft.id),
        domain=box.get("domain", "default"),
        status=box.get("status", "active"),
        description=box.get("description", ""),
        path=box.get("path"),
        streams=tuple(box.get("streams", ())),
        runners=tuple(box.get("runners", ())),
        roles=tuple(box.get("roles", ())),
        methods=tuple(dict.fromkeys(methods)),
        auto_fail=box.get("autoFail", True),
        redirect_to=box.get("redirectTo"),
        executed=draft.executed or (draft.id, draft.version),
        hop_roles=draft.hop_roles,
        extra_payload=box.get("extraPayload"),
        idempotency_key=_trigger_key(key),
        labels=box.get("labels", {}),
        on_fail=box.get("onFail"),
        respond=box.get("respond", "result"),
        reply=ReplyRule(status=reply.get("status", 200), headers=reply.get("headers", {})),
        timeout=timeout,
        durable=box.get("durable", True),
        cache=None
        if cache is None
        else CacheRule(
            state=cache.get("state", "default"),
            key=cache.get("key"),
            ttl=cache.get("ttl"),
            enabled=cache.get("enabled", True),
        ),
        breaker=_breaker(box.get("circuitBreaker")),
        timer=_timer(box.get("timer")),
        schema=SchemaRule(
            method=schema.get("method"),
            exclude=schema.get("exclude", False),
            mock=schema.get("mock", False),
            validated=schema.get("validated", False),
            input=input_schema,
            output=output_schema,
        ),
        deprecated=box.get("deprecated", False),
        compensation=_compensation(box.get("compensation", {})),
        steps=box.get("steps", ()),
        output=box.get("output"),
        mark=mark(draft.node),
    )


def retry_of(box: dict[str, Any], *, expect: bool = False) -> Retry:
    """A step's policy.

    What the block says over the defaults; `maxDuration` alone bounds it without a count.
    """
    default = Retry()
    return Retry(
        attempts=box.get("attempts", None if "maxDuration" in box else default.attempts),
        max_duration=box.get("maxDuration"),
        delay=box.get("delay", default.delay),
        backoff=box.get("backoff", default.backoff),
        max_delay=box.get("maxDelay", default.max_delay),
        jitter=box.get("jitter", default.jitter),
        errors=box.get("errors", _EXPECTED if expect else default.errors),
    )


def mark(node: Node) -> Mark | None:
    """Where a node was written; None where it was not read from a file."""
    return Mark(file=node.source.file, line=node.line, column=node.column) if node.line else None


def _steps(list_: StepList, reads: dict[str, set[str]]) -> None:
    steps = tuple(_step(draft, reads) for draft in list_.items)
    list_.box[list_.key] = steps


def _step(draft: Draft, reads: dict[str, set[str]]) -> Step:
    for list_ in draft.lists:
        _steps(list_, reads)
    box, kind = draft.box, draft.kind
    value = box[kind]
    verb = KINDS[kind].build(value)
    retry, cache = box.get("retry"), box.get("cache")
    catch = box.get("catch")
    seen = reads.get(draft.name) if draft.name else None
    return Step(
        verb=verb,
        name=draft.name,
        segment=draft.segment,
        place=draft.place,
        trail=draft.trail,
        when=box.get("when"),
        timeout=box.get("timeout", STEP_TIMEOUTS.get(kind)),
        idempotent=box.get("idempotent"),
        retry=None if retry is None else retry_of(retry, expect=kind == "call" and "expect" in value),
        catch=None if catch is None else _CONTINUE if catch == "continue" else tuple(map(_entry, draft.catches)),
        compensate=box.get("compensate"),
        pivot=box.get("pivot", False),
        cache=None
        if cache is None
        else StepCache(state=cache.get("state", "default"), key=cache.get("key"), ttl=cache.get("ttl")),
        read=_NO_READ if seen is None else frozenset(seen),
        mark=mark(draft.node),
    )


def _entry(box: dict[str, Any]) -> CatchEntry:
    return CatchEntry(errors=box["errors"], when=box.get("when"), steps=box.get("steps", ()), output=box.get("output"))


def _trigger_key(value: Any) -> TriggerKey | None:
    if value is None:
        return None
    if isinstance(value, Expression):
        return TriggerKey(key=value)
    return TriggerKey(key=value["key"], compare=value.get("compare", True))


def _breaker(box: dict[str, Any] | None) -> Breaker | None:
    return None if box is None else Breaker(**{_BREAKER[key]: value for key, value in box.items()})


def _timer(box: dict[str, Any] | None) -> Timer | None:
    if box is None:
        return None
    period = box.get("period")
    cron = box.get("cron")
    return Timer(
        period=None
        if period is None or cron is not None
        else max(1, round(period * UNITS[box.get("unit", "seconds")])),
        cron=cron,
        time_zone=box.get("timeZone"),
        initial_delay=box.get("initialDelay", 0),
        max_repeat=box.get("maxRepeat"),
    )


def _compensation(box: dict[str, Any]) -> Compensation:
    default = Compensation()
    retry, base = box.get("retry", {}), default.retry
    return Compensation(
        order=box.get("order", default.order),
        retry=Retry(
            attempts=retry.get("attempts", base.attempts),
            max_duration=retry.get("maxDuration", base.max_duration),
            delay=retry.get("delay", base.delay),
            backoff=retry.get("backoff", base.backoff),
            max_delay=retry.get("maxDelay", base.max_delay),
            jitter=retry.get("jitter", base.jitter),
            errors=retry.get("errors", base.errors),
        ),
        on_exhausted=box.get("onExhausted", default.on_exhausted),
    )
