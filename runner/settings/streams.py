"""Settings of what records come and go on, and of where caches keep their answers: one noun per type."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from runner.settings.containers import Many, Optional, Variant, section
from runner.settings.scalars import Choice, Duration, Flag, Hidden, Location, Text, Whole
from runner.settings.secret import Secret

_PREFIX: Final = Text(
    pattern=r"|(/[A-Za-z0-9_.~-]+)+",
    told='"" or a path such as /shop, without a slash at its end',
    example="/shop",
    empty=True,
)
_ORDERING: Final = Choice(words=("key", "partition", "none"))
_ON_STUCK: Final = Choice(words=("hold", "pass"))
_NAME: Final = Optional(of=Text())


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpStream:
    """Requests under a path prefix."""

    #: Before every saga's path; of several the longest that matches wins.
    prefix: Annotated[str, _PREFIX] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcessStream:
    """Records within this process."""

    #: What runs one after the other: records of one key, of one partition, or nothing.
    ordering: Annotated[str, _ORDERING] = "key"
    #: Runs at once.
    concurrency: Annotated[int, Whole(low=1)] = 64
    #: Alias of the stream for records that no saga takes.
    dead_letter: Annotated[str | None, _NAME] = None
    #: Whether a parked run holds the records behind it.
    on_stuck: Annotated[str, _ON_STUCK] = "hold"
    #: Whether headers may say who the caller is.
    trust_headers: Annotated[bool, Flag()] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSecurity:
    """How brokers are spoken to, and who we are."""

    protocol: Annotated[str, Choice(words=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"))] = "PLAINTEXT"
    mechanism: Annotated[str, Choice(words=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"))] = "PLAIN"
    username: Annotated[str | None, _NAME] = None
    password: Annotated[Secret | None, Optional(of=Hidden())] = None
    #: PEM files.
    ca_file: Annotated[Path | None, Optional(of=Location())] = None
    cert_file: Annotated[Path | None, Optional(of=Location())] = None
    key_file: Annotated[Path | None, Optional(of=Location())] = None

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.protocol.startswith("SASL") and (self.username is None or self.password is None):
            yield "protocol", f"is {self.protocol}, which needs username and password; give both beside it"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaStream:
    """A topic."""

    #: `host:port`, several joined by commas.
    bootstrap: Annotated[
        str,
        Text(
            pattern=r"[^\s,:/]+:[0-9]{1,5}(,[^\s,:/]+:[0-9]{1,5})*",
            told="host:port, several joined by commas",
            example="localhost:9092",
        ),
    ]
    topic: Annotated[str, Text(pattern=r"[A-Za-z0-9._-]{1,249}", told="a topic's name", example="orders")]
    #: Consumer group; None: the runner's name.
    group: Annotated[str | None, _NAME] = None
    #: Topic for records that no saga takes; None: the partition stops at one.
    dead_letter: Annotated[str | None, _NAME] = None
    #: What runs one after the other: records of one key, of one partition, or nothing.
    ordering: Annotated[str, _ORDERING] = "key"
    #: Runs at once.
    concurrency: Annotated[int, Whole(low=1)] = 64
    #: Whether a parked run holds the records behind it.
    on_stuck: Annotated[str, _ON_STUCK] = "hold"
    #: What makes two records the same: the offset, or a CloudEvent's source and id.
    dedupe: Annotated[str, Choice(words=("offset", "ce"))] = "offset"
    #: Topics that a record's `reply-to` may name.
    reply_topics: Annotated[tuple[str, ...], Many(of=Text())] = ()
    #: Whether headers may say who the caller is.
    trust_headers: Annotated[bool, Flag()] = False
    #: Raised by one to read a topic anew after its offsets were reset.
    generation: Annotated[int, Whole()] = 0
    security: Annotated[KafkaSecurity, section(KafkaSecurity)] = KafkaSecurity()


Stream: TypeAlias = HttpStream | InProcessStream | KafkaStream

STREAM: Final = Variant(
    of={
        "http": section(HttpStream, passed=("type",)),
        "kafka": section(KafkaStream, passed=("type",)),
        "inprocess": section(InProcessStream, passed=("type",)),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryState:
    """A cache in this process, the least recently used entry given up first."""

    ttl_s: Annotated[float, Duration(low_ms=1)] = 60.0
    max_entries: Annotated[int, Whole(low=1)] = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisState:
    """A cache in Redis, shared by runners."""

    ttl_s: Annotated[float, Duration(low_ms=1)] = 60.0


State: TypeAlias = MemoryState | RedisState

STATE: Final = Variant(
    of={
        "memory": section(MemoryState, passed=("type",)),
        "redis": section(RedisState, passed=("type",)),
    }
)
