"""The header of a saga: every key above its steps, with the sentence that an author sees while typing."""

from typing import Final

from runner.saga.shape import (
    SLUG,
    Bare,
    Duration,
    Either,
    Entry,
    Filled,
    Flag,
    Kinds,
    Literal,
    Many,
    Number,
    Percent,
    Record,
    Steps,
    Table,
    Whole,
    Word,
)

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
UNITS: Final[dict[str, int]] = {
    "milliseconds": 1,
    "seconds": 1_000,
    "minutes": 60_000,
    "hours": 3_600_000,
    "days": 86_400_000,
}

_REFERENCE: Final = Word(pattern=rf"{SLUG}(@[0-9]{{1,9}})?", told="a saga id, `id` or `id@version` in lower case")

CACHE: Final = Record(
    doc="Keep the replies to HTTP requests.",
    keys={
        "state": Entry(shape=Word(), doc="Alias of the state in the settings.", default="default"),
        "key": Entry(
            shape=Bare(), doc="What a reply is kept under; null or empty: neither read nor written.",
            default="the whole input",
        ),
        "ttl": Entry(shape=Duration(), doc="How long a reply is kept.", default="the state's own"),
        "enabled": Entry(shape=Flag(), doc="false: as if the block were not there.", default="true"),
    },
)  # fmt: skip

BREAKER: Final = Record(
    doc="Stop taking requests while the saga keeps failing, or is slow, on this runner's partition.",
    keys={
        "minimumNumberOfCalls": Entry(
            shape=Whole(low=1, high=1_000_000), doc="Rates are computed from this many recorded calls on.",
            default="100",
        ),
        "slidingWindowSize": Entry(
            shape=Whole(low=1, high=1_000_000), doc="The last N recorded calls count.", default="100"
        ),
        "failureRateThreshold": Entry(
            shape=Percent(), doc="Percent of failed calls at which it opens.", default="50"
        ),
        "slowCallDurationThreshold": Entry(
            shape=Duration(bare=True), doc="A call is slow when it takes longer.", default="60s"
        ),
        "slowCallRateThreshold": Entry(
            shape=Percent(), doc="Percent of slow calls at which it opens.", default="100"
        ),
        "waitDurationInOpenState": Entry(
            shape=Duration(bare=True), doc="How long it stays open before it tries again.", default="60s"
        ),
        "permittedNumberOfCallsInHalfOpenState": Entry(
            shape=Whole(low=1, high=1_000_000), doc="Calls that decide whether it closes again.", default="10"
        ),
        "noReplyTimeoutDuration": Entry(
            shape=Duration(bare=True), doc="A run unanswered this long counts as failed.", default="off"
        ),
    },
)  # fmt: skip

TIMER: Final = Record(
    doc="Start the saga by the clock.",
    keys={
        "period": Entry(shape=Number(above=0), doc="Every so many units."),
        "unit": Entry(shape=Word(choices=tuple(UNITS)), doc="Unit of `period`.", default="seconds"),
        "cron": Entry(
            shape=Word(), doc="Five fields, minute first, or six, seconds first; `@hourly` and the like, too."
        ),
        "timeZone": Entry(
            shape=Word(), doc="IANA name of the zone that `cron` counts in.", default="the server's"
        ),
        "initialDelay": Entry(
            shape=Duration(bare=True), doc="First start after the runner is ready.", default="0"
        ),
        "maxRepeat": Entry(
            shape=Whole(low=0, high=2**53), doc="Starts at most, failures included; 0 is never.",
            default="endless",
        ),
    },
)  # fmt: skip

SCHEMA: Final = Record(
    doc="The data that the saga takes and gives, for documents, validation and mocks.",
    keys={
        "method": Entry(
            shape=Word(choices=METHODS, upper=True), doc="HTTP verb in OpenAPI.",
            default="the first of `methods`, else POST",
        ),
        "exclude": Entry(shape=Flag(), doc="Leave it out of OpenAPI.", default="false"),
        "mock": Entry(
            shape=Flag(), doc="Reply from the output schema's examples, without running a step.", default="false"
        ),
        "validated": Entry(
            shape=Flag(), doc="Refuse input that the input schema does not take, with 422.", default="false"
        ),
        "input": Entry(
            shape=Either(of=(Flag(), Literal(mapping=True))),
            doc="JSON Schema of the input, inline or as `$ref` to a file.",
        ),
        "output": Entry(
            shape=Either(of=(Flag(), Literal(mapping=True))),
            doc="JSON Schema of the output, inline or as `$ref` to a file.",
        ),
    },
)  # fmt: skip

COMPENSATION: Final = Record(
    doc="The policy of an undo.",
    keys={
        "order": Entry(
            shape=Word(choices=("reverse", "parallel")), doc="One after the other, last first, or side by side.",
            default="reverse",
        ),
        "retry": Entry(
            shape=Record(
                doc="How long, how fast and on what an undo is tried again.",
                keys={
                    "attempts": Entry(
                        shape=Whole(low=1, high=1_000_000), doc="Tries, the first included.", default="no count"
                    ),
                    "maxDuration": Entry(
                        shape=Duration(), doc="No try begins later than this after the first.", default="24h"
                    ),
                    "delay": Entry(shape=Duration(), doc="Before the second try.", default="200ms"),
                    "backoff": Entry(
                        shape=Word(choices=("exponential", "linear", "constant")), doc="How the delay grows.",
                        default="exponential",
                    ),
                    "maxDelay": Entry(shape=Duration(), doc="No delay is longer.", default="5m"),
                    "jitter": Entry(
                        shape=Word(choices=("full", "none")), doc="Spread over the delay, or none.", default="full"
                    ),
                    "errors": Entry(shape=Kinds(), doc="What is tried again.", default="[any]"),
                },
            ),
            doc="How long, how fast and on what an undo is tried again.",
        ),
        "onExhausted": Entry(
            shape=Word(choices=("park", "continue", "fail")),
            doc="When an undo is given up: wait for an operator, go on with the other undos, or stop them.",
            default="park",
        ),
    },
)  # fmt: skip

#: Every key of a document.
HEADER: Final = Record(
    doc="A saga: steps that are undone if a later one fails.",
    keys={
        "id": Entry(
            shape=Word(pattern=SLUG, told="a slug: a lower-case letter, then letters, digits, `_` and `-`"),
            doc="Name of the saga in the API and in other sagas; unique together with `version`.",
            default="the file's name",
        ),
        "name": Entry(shape=Word(told="free text"), doc="Label.", default="the id"),
        "domain": Entry(shape=Word(), doc="Groups sagas in listings; the tag in OpenAPI.", default="default"),
        "status": Entry(
            shape=Word(choices=("active", "draft", "inactive")), doc="Only active sagas take requests.",
            default="active",
        ),
        "description": Entry(shape=Word(told="free text"), doc="What it is for.", nullable=True),
        "path": Entry(
            shape=Word(),
            doc="URL path, like `/orders/place`; `/On_<stream>` takes that stream's records that name no path.",
        ),
        "version": Entry(shape=Whole(low=0, high=999_999_999), doc="The highest that fits answers.", default="1"),
        "streams": Entry(shape=Many(of=Word()), doc="Aliases of the streams it is allowed on.", default="all"),
        "runners": Entry(shape=Many(of=Word()), doc="Names of the runners it is allowed for.", default="all"),
        "roles": Entry(shape=Many(of=Word()), doc="The caller needs any one of them.", default="open"),
        "methods": Entry(
            shape=Many(of=Word(choices=METHODS, upper=True)), doc="HTTP verbs that trigger it.", default="all"
        ),
        "autoFail": Entry(
            shape=Flag(), doc="false: every step that reaches outside must say what happens on an error.",
            default="true",
        ),
        "redirectTo": Entry(shape=_REFERENCE, doc="Run that saga's steps instead."),
        "extraPayload": Entry(
            shape=Literal(mapping=True), doc="Deep-merged into the input of every trigger; wins over it."
        ),
        "idempotencyKey": Entry(
            shape=Either(
                of=(
                    Bare(),
                    Record(
                        doc="The key, and whether payloads are compared.",
                        keys={
                            "key": Entry(shape=Bare(), doc="Names the trigger.", required=True),
                            "compare": Entry(
                                shape=Flag(), doc="false: another payload under the same key is taken, too.",
                                default="true",
                            ),
                        },
                    ),
                )
            ),
            doc="Names the trigger, so that the same one twice is one run; null: the sender's key.",
        ),
        "labels": Entry(
            shape=Table(of=Filled(), key=r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", most=8),
            doc="Business keys of the run, to find it by.",
        ),
        "onFail": Entry(shape=_REFERENCE, doc="Started once when a run ends other than completed."),
        "respond": Entry(
            shape=Word(choices=("result", "accepted")), doc="accepted: answer 202 and a status URL at once.",
            default="result",
        ),
        "reply": Entry(
            shape=Record(
                doc="The reply of a completed run.",
                keys={
                    "status": Entry(shape=Whole(low=200, high=399), doc="HTTP status, 2xx or 3xx.", default="200"),
                    "headers": Entry(shape=Table(of=Filled()), doc="Headers of the reply; null ones are left out."),
                },
            ),
            doc="Status and headers of a completed run's reply.",
        ),
        "timeout": Entry(
            shape=Duration(), doc="Of the whole run; then it is undone and the caller gets 504.",
            default="30s; none with `wait`, `listen` or without a path",
        ),
        "durable": Entry(
            shape=Flag(), doc="false: nothing is written to the journal; for sagas that only read.", default="true"
        ),
        "cache": Entry(shape=CACHE, doc="Keep the replies to HTTP requests."),
        "circuitBreaker": Entry(shape=BREAKER, doc="Stop taking requests while the saga keeps failing."),
        "timer": Entry(shape=TIMER, doc="Start the saga by the clock."),
        "schema": Entry(shape=SCHEMA, doc="The data that it takes and gives."),
        "deprecated": Entry(
            shape=Either(of=(Flag(), Word(pattern=r"\d{4}-\d{2}-\d{2}", told="a date, like 2026-12-31"))),
            doc="true, or the date on which it will be gone.", default="false",
        ),
        "compensation": Entry(shape=COMPENSATION, doc="The policy of an undo."),
        "steps": Entry(shape=Steps(), doc="The pipeline."),
        "output": Entry(
            shape=Filled(), doc="The reply.", default="the output of the last top-level step that ran"
        ),
    },
)  # fmt: skip
