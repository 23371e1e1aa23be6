"""What a YAML document means: the nouns of a saga, checked once and never changed.

Times are whole milliseconds. Everything that was an expression in the document is compiled here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

from registry.base.values import Json
from runner.saga.expression import Expression
from runner.saga.scope import spelled
from runner.saga.template import Template

#: `onExhausted` and `order` of an undo.
PARK, CONTINUE, FAIL = "park", "continue", "fail"
REVERSE, PARALLEL = "reverse", "parallel"

#: Error kinds that need no `raise`.
BUILT_IN_KINDS: Final = frozenset(
    {
        "unreachable",
        "timeout",
        "unexpected",
        "redirect",
        "graphql",
        "circuitOpen",
        "serviceNotFound",
        "expression",
        "validation",
        "exhausted",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where something was written. Lines and columns count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, how fast and on what an attempt is made again."""

    #: The first try included; None: no count, `max_duration` alone bounds it.
    attempts: int | None = 3
    #: From the first attempt on; None: `attempts` alone bounds it.
    max_duration: int | None = None
    delay: int = 200
    #: `exponential`, `linear` or `constant`.
    backoff: str = "exponential"
    max_delay: int = 10_000
    #: `full` or `none`.
    jitter: str = "full"
    errors: tuple[str, ...] = ("unreachable", "timeout", "429", "5xx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    """The policy of an undo."""

    order: str = REVERSE
    retry: Retry = Retry(attempts=None, max_duration=86_400_000, delay=200, max_delay=300_000, errors=("any",))
    on_exhausted: str = PARK


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchEntry:
    """One entry of a `catch` list."""

    errors: tuple[str, ...]
    when: Expression | None = None
    steps: "tuple[Step, ...]" = ()
    #: None: the output of the entry's last step.
    output: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCache:
    """`cache` of a `call`."""

    state: str
    key: Expression | None
    ttl: int | None


class Verb(Protocol):
    """What a step does: one frozen noun per kind, in `runner.steps`.

    - `KEY` is its YAML word, `SHAPE` what may stand under it.
    - `effects` says whether an attempt may change something outside.
    """

    KEY: ClassVar[str]

    @property
    def effects(self) -> bool: ...

    def blocks(self) -> "Iterable[tuple[Step, ...]]":
        """The step lists below it, in the order in which they are written."""
        ...

    def begin(self, run: Any, spot: Any) -> None:
        """Start: settle the spot at once, open blocks below it, or ask something of the world.

        `run` is the `RunState`, `spot` the `Spot` of this occurrence (nouns of modules above this one).
        """
        ...

    def block_done(self, run: Any, spot: Any, block: Any) -> None:
        """A block below has come to its end."""
        ...

    def block_failed(self, run: Any, spot: Any, block: Any, fault: Any) -> None:
        """A block below has failed, and nothing in it caught that."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One item of a step list."""

    verb: Verb
    #: The name that expressions use; empty where it has none.
    name: str = ""
    #: Path segment: the name, or its place in the list as digits.
    segment: str
    #: How messages call it: `charge`, `ship.catch[0]`.
    place: str
    #: Segments from the saga's root to this step, None for each `for` index on the way.
    trail: tuple[str | None, ...]
    when: Expression | None = None
    #: Per attempt; None: no limit.
    timeout: int | None = None
    #: None: not written, which means true but does not settle a pivot's resend.
    idempotent: bool | None = None
    retry: Retry | None = None
    #: None: no `catch`.
    catch: tuple[CatchEntry, ...] | None = None
    #: None: nothing undoes it; empty: `none`, it has no effect that matters.
    compensate: "tuple[Step, ...] | None" = None
    pivot: bool = False
    cache: StepCache | None = None
    #: What of this step expressions of the saga read: `output`, `response`, `error`, ... or `*`.
    read: frozenset[str] = frozenset()
    mark: Mark | None = None
    #: Its path in the letters of a key, where that is the same in each run; else empty.
    spelled: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        fixed = [segment for segment in self.trail if segment is not None and not segment.startswith("$")]
        whole = len(fixed) == len(self.trail)
        object.__setattr__(self, "spelled", spelled("/".join(fixed)) if whole else "")


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step of a list and below it: verbs' blocks, catch entries, undo steps."""
    for step in steps:
        yield step
        for block in step.verb.blocks():
            yield from walk(block)
        for entry in step.catch or ():
            yield from walk(entry.steps)
        yield from walk(step.compensate or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRule:
    """`cache` of a saga."""

    state: str = "default"
    key: Expression | None = None
    ttl: int | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """`circuitBreaker`, in the seed's eight settings."""

    minimum_number_of_calls: int = 100
    sliding_window_size: int = 100
    failure_rate_threshold: float = 50.0
    slow_call_duration_threshold: int = 60_000
    slow_call_rate_threshold: float = 100.0
    wait_duration_in_open_state: int = 60_000
    permitted_number_of_calls_in_half_open_state: int = 10
    no_reply_timeout_duration: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """`timer`: a period in milliseconds, or a cron text with its zone."""

    period: int | None = None
    cron: str | None = None
    #: IANA name; None: the server's zone.
    time_zone: str | None = None
    initial_delay: int = 0
    max_repeat: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaRule:
    """`schema`: documents, validates and mocks."""

    method: str | None = None
    exclude: bool = False
    mock: bool = False
    validated: bool = False
    #: Self-contained JSON Schemas (references resolved), None where absent.
    input: Json = None
    output: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRule:
    """`reply` of a completed run."""

    status: int = 200
    headers: Mapping[str, Template] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerKey:
    """`idempotencyKey`."""

    key: Expression
    #: Whether another payload under the same key is refused.
    compare: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """One definition, redirect resolved: the header is the entry's, the steps are the target's."""

    id: str
    version: int = 1
    name: str = ""
    domain: str = "default"
    status: str = "active"
    description: str = ""
    path: str | None = None
    #: Empty: all.
    streams: tuple[str, ...] = ()
    runners: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    auto_fail: bool = True
    redirect_to: str | None = None
    #: Id and version of the saga whose steps run: the redirect's target, else its own.
    executed: tuple[str, int] = ("", 0)
    #: `roles` of the redirect's further hops that have some: the caller needs one of each.
    hop_roles: tuple[tuple[str, ...], ...] = ()
    extra_payload: Json = None
    idempotency_key: TriggerKey | None = None
    labels: Mapping[str, Template] = field(default_factory=dict)
    on_fail: str | None = None
    #: `result` or `accepted`.
    respond: str = "result"
    reply: ReplyRule = ReplyRule()
    #: Whole run, milliseconds; None: no limit.
    timeout: int | None = None
    durable: bool = True
    cache: CacheRule | None = None
    breaker: Breaker | None = None
    timer: Timer | None = None
    schema: SchemaRule = SchemaRule()
    #: True, or the sunset date `YYYY-MM-DD`.
    deprecated: bool | str = False
    compensation: Compensation = Compensation()
    steps: tuple[Step, ...] = ()
    #: None: the output of the last top-level step that ran.
    output: Template | None = None
    mark: Mark | None = None
    #: Every step that has a name, however deep, by it.
    named: Mapping[str, Step] = field(init=False, compare=False, repr=False)
    #: `id@version`.
    ref: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ref", f"{self.id}@{self.version}")
        object.__setattr__(self, "named", {step.name: step for step in walk(self.steps) if step.name})


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A saga with everything it depends on, as pinned by a run: what the fold runs."""

    saga: Saga
    #: The target of every `run` in reach, by the reference as it is written (`child`, `child@2`).
    links: Mapping[str, Saga] = field(default_factory=dict)
    vars: Mapping[str, Json] = field(default_factory=dict)
    #: SHA-256 of the bundle's bytes.
    digest: str = ""
    #: Two-level context paths that any expression reads (`event.headers`, `event`), so that `S` holds no more.
    reads: frozenset[str] = frozenset()
    #: Whether any does, beyond the event's id.
    reads_event: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        others = (name for name in self.reads if name != "event.id")
        object.__setattr__(self, "reads_event", any(name == "event" or name.startswith("event.") for name in others))
