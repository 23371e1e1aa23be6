"""The settings as one frozen tree: every section with its keys, its defaults and their meaning.

Spans of time are seconds as a float in fields that end in `_s`; the key in the file has no such ending.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final

from registry.base.values import Json
from runner.settings.auth import AuthSettings
from runner.settings.containers import Literal, Many, Optional, Section, Table, Written, section
from runner.settings.given import DEFAULT
from runner.settings.journal import JournalLocation, JournalUrl
from runner.settings.scalars import Choice, Duration, Flag, Hidden, Location, Network, Text, Url, Whole
from runner.settings.secret import Secret, secret_url
from runner.settings.streams import STATE, STREAM, HttpStream, RedisState, State, Stream

_PORT: Final = Whole(high=65_535)
#: What every request carries anyway, and what frames it.
_OWN_HEADERS: Final = frozenset(
    {"idempotency-key", "x-saga-run", "traceparent", "content-length", "transfer-encoding", "connection"}
)

_LOCAL_REDIS: Final = secret_url("redis://localhost:6379/0")
REDIS_SCHEMES: Final = ("redis", "rediss", "redis-sentinel", "redis-cluster")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """This runner."""

    #: Runners of one name share runs; the runner registers itself under it.
    name: Annotated[
        str,
        Text(
            pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}",
            told="a name of letters, digits, `.`, `_` and `-`",
            example="shop",
        ),
    ] = "shop"
    #: Which of `partitions` this is, from 0; where nobody said it, `load` took it from the host's name.
    partition: Annotated[int, Whole()] = 0
    partitions: Annotated[int, Whole(low=1)] = 1
    host: Annotated[str, Text(pattern=r"[^\s/]+", told="a host name or address", example="127.0.0.1")] = "127.0.0.1"
    #: 0: any free one.
    port: Annotated[int, _PORT] = 8080
    #: Where others reach this runner; None: host and port.
    advertise_url: Annotated[str | None, Optional(of=Url())] = None
    #: Processes on one port.
    workers: Annotated[int, Whole(low=1, high=256)] = 1
    #: How long runs in flight may take to end when the runner stops.
    drain_timeout_s: Annotated[float, Duration()] = 20.0
    #: How long a caller waits before it gets 202 and the status URL.
    reply_timeout_s: Annotated[float, Duration(low_ms=1)] = 60.0
    max_body_bytes: Annotated[int, Whole(low=1)] = 1_048_576
    #: Runs at once; one more is refused with 429.
    max_in_flight: Annotated[int, Whole(low=1)] = 1_000

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.partition >= self.partitions:
            last = self.partitions - 1
            yield (
                "partition",
                f"is {self.partition}, but with {self.partitions} partitions the last one is {last}",
            )

    def worker_partition(self, worker: int) -> int:
        """The partition of process `worker`, counted from 0."""
        return self.partition * self.workers + worker


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """Where runs are kept."""

    #: Default: `sqlite:.saga/journal.db`.
    url: Annotated[JournalUrl, JournalLocation()]
    #: How long ended runs are kept.
    retention_s: Annotated[float, Duration(low_ms=1)] = 604_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """The Redis that shared things use."""

    url: Annotated[Secret, Url(schemes=REDIS_SCHEMES, secret=True)] = _LOCAL_REDIS


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """Who knows where services are."""

    #: A registry's URL, or `redis` to read its directory there; None: an embedded registry.
    url: Annotated[str | None, Optional(of=Url(words=("redis",)))] = None
    #: Where the embedded registry is served; 0: nowhere.
    port: Annotated[int, _PORT] = 8030


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """One service: where it is when no registry knows, and what every request to it carries."""

    #: None: only the registry knows.
    url: Annotated[str | None, Optional(of=Url())] = None
    #: Put on at sending, so never in a journal; names in lower case.
    headers: Annotated[
        Mapping[str, Secret],
        Table(of=Hidden(line=True), name=r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", header=True),
    ] = field(default_factory=dict)
    #: Requests at once; None: as many as `http.maxConnections`.
    concurrency: Annotated[int | None, Optional(of=Whole(low=1))] = None

    def faults(self) -> Iterator[tuple[str, str]]:
        for name in self.headers.keys() & _OWN_HEADERS:
            yield "headers", f"has `{name}`, which the runner sets itself; take it out"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerSettings:
    """Timers."""

    enabled: Annotated[bool, Flag()] = True
    #: The one partition that fires them; None: each.
    only_partition: Annotated[int | None, Optional(of=Whole())] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Outgoing requests."""

    max_connections: Annotated[int, Whole(low=1)] = 200
    #: Whether a `call` may say `url` in place of `service`.
    raw_urls: Annotated[bool, Flag()] = False
    #: Empty: any address but link-local and cloud metadata ones.
    allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], Many(of=Network())] = ()
    max_response_bytes: Annotated[int, Whole(low=1)] = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Logs, metrics, traces."""

    log_format: Annotated[str, Choice(words=("json", "console"))] = "json"
    log_level: Annotated[str, Choice(words=("error", "warn", "info", "debug"))] = "info"
    otlp_endpoint: Annotated[str | None, Optional(of=Url())] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocsSettings:
    """The documents that the runner publishes."""

    #: With `auth`: whether they need no token.
    public: Annotated[bool, Flag()] = True


#: A policy that steps name in `retry`.
RETRY: Final = Section(
    build=dict,
    keys={
        "attempts": ("attempts", Whole(low=1, high=1_000)),
        "maxDuration": ("max_duration", Duration(low_ms=1)),
        "delay": ("delay", Duration()),
        "backoff": ("backoff", Choice(words=("exponential", "linear", "constant"))),
        "maxDelay": ("max_delay", Duration()),
        "jitter": ("jitter", Choice(words=("full", "none"))),
        "errors": ("errors", Many(of=Text(number=True), least=1)),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """All sections, as they stand in a settings file."""

    runner: Annotated[RunnerSettings, section(RunnerSettings)] = RunnerSettings()
    #: Files and folders.
    definitions: Annotated[tuple[Path, ...], Many(of=Location(), least=1)]
    journal: Annotated[JournalSettings, section(JournalSettings)]
    #: None: nothing of Redis is used.
    redis: Annotated[RedisSettings | None, Optional(of=section(RedisSettings))] = None
    registry: Annotated[RegistrySettings, section(RegistrySettings)] = RegistrySettings()
    services: Annotated[Mapping[str, ServiceSettings], Table(of=section(ServiceSettings))] = field(default_factory=dict)
    streams: Annotated[Mapping[str, Stream], Table(of=STREAM)]
    states: Annotated[Mapping[str, State], Table(of=STATE)]
    #: None: nobody is authenticated.
    auth: Annotated[AuthSettings | None, Optional(of=section(AuthSettings))] = None
    timers: Annotated[TimerSettings, section(TimerSettings)] = TimerSettings()
    #: Checked, and kept as written: definitions read them as their own `retry`.
    retries: Annotated[Mapping[str, Json], Table(of=Written(of=RETRY))] = field(default_factory=dict)
    vars: Annotated[Mapping[str, Json], Table(of=Literal(), name=r"[^\s]{1,128}")] = field(default_factory=dict)
    http: Annotated[HttpSettings, section(HttpSettings)] = HttpSettings()
    telemetry: Annotated[TelemetrySettings, section(TelemetrySettings)] = TelemetrySettings()
    docs: Annotated[DocsSettings, section(DocsSettings)] = DocsSettings()

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.redis is None:
            for name, wants in {
                "registry": self.registry.url == "redis",
                "journal": self.journal.url.store == "redis",
                "states": any(isinstance(state, RedisState) for state in self.states.values()),
            }.items():
                if wants:
                    yield name, "uses redis, but there is no redis.url; give it, or set REDIS_URL"
        prefixes = Counter(s.prefix for s in self.streams.values() if isinstance(s, HttpStream))
        for prefix, count in prefixes.items():
            if count > 1:
                yield "streams", f'has {count} http streams with the prefix "{prefix}"; give each its own'
        if self.registry.url is None and self.registry.port == self.runner.port != 0:
            yield (
                "registry",
                f"has port {self.registry.port}, which is runner.port, too; give one of them another",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Sections):
    """The settings of one process: read once, never changed."""

    #: What relative paths counted from.
    folder: Path
    #: The file that was read; None: there was none.
    file: Path | None
    #: Dotted key -> where its value came from, for all that was said.
    origins: Mapping[str, str]

    def origin(self, key: str) -> str:
        """Where the value of `runner.port` (say) came from: a place in a file, a variable, or `default`."""
        while key:
            if key in self.origins:
                return self.origins[key]
            key = key.rpartition(".")[0]
        return DEFAULT

    @property
    def is_default(self) -> bool:
        """Whether there is no settings file and nobody said anything elsewhere."""
        return self.file is None and all(origin == DEFAULT for origin in self.origins.values())

    def said(self, key: str) -> bool:
        """Whether anybody said this section or value, or something in it."""
        return any(origin != DEFAULT and f"{place}.".startswith(f"{key}.") for place, origin in self.origins.items())
