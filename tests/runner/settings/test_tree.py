"""Every section: its defaults, what it accepts, and what it refuses with which sentence."""

from ipaddress import ip_network
from operator import attrgetter
from pathlib import Path

import pytest

from registry.base.values import Json
from runner.settings.streams import HttpStream, InProcessStream, KafkaStream, MemoryState, RedisState
from tests.runner.settings.loading import loaded, sentences

DEFAULTS = [
    ("runner.name", "shop"),
    ("runner.partition", 0),
    ("runner.partitions", 1),
    ("runner.host", "127.0.0.1"),
    ("runner.port", 8080),
    ("runner.advertise_url", None),
    ("runner.workers", 1),
    ("runner.drain_timeout_s", 20.0),
    ("runner.reply_timeout_s", 60.0),
    ("runner.max_body_bytes", 1_048_576),
    ("runner.max_in_flight", 1_000),
    ("journal.url.store", "sqlite"),
    ("journal.url.address", None),
    ("journal.retention_s", 7 * 86_400.0),
    ("redis", None),
    ("registry.url", None),
    ("registry.port", 8030),
    ("services", {}),
    ("streams", {"http": HttpStream(prefix="")}),
    ("states", {"default": MemoryState(ttl_s=60.0, max_entries=1_000)}),
    ("auth", None),
    ("timers.enabled", True),
    ("timers.only_partition", 0),
    ("retries", {}),
    ("vars", {}),
    ("http.max_connections", 200),
    ("http.raw_urls", False),
    ("http.allowed_networks", ()),
    ("http.max_response_bytes", 1_048_576),
    ("telemetry.log_format", "json"),
    ("telemetry.log_level", "info"),
    ("telemetry.otlp_endpoint", None),
    ("docs.public", True),
]


@pytest.mark.parametrize(("place", "default"), DEFAULTS, ids=[place for place, _ in DEFAULTS])
def test_what_nobody_said_has_its_default(tmp_path: Path, place: str, default: Json) -> None:
    assert attrgetter(place)(loaded(tmp_path)) == default


def test_the_default_paths_count_from_the_folder(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert settings.definitions == (tmp_path / "definitions",)
    assert settings.journal.url.path == tmp_path / ".saga/journal.db"
    assert settings.file is None


ACCEPTED = [
    ("runner: {name: desk, port: 0, advertiseUrl: 'https://desk.test'}", "runner.name", "desk"),
    ("runner: {advertiseUrl: 'https://desk.test'}", "runner.advertise_url", "https://desk.test"),
    ("runner: {drainTimeout: 1500ms}", "runner.drain_timeout_s", 1.5),
    ("runner: {replyTimeout: 2h}", "runner.reply_timeout_s", 7_200.0),
    ("runner:", "runner.port", 8080),
    ("journal: {url: memory}", "journal.url.store", "memory"),
    ("journal: {retention: 1d}", "journal.url.store", "sqlite"),
    ("redis: {}", "redis.url.shown", "redis://localhost:6379/0"),
    ("registry: {url: 'http://127.0.0.1:8031', port: 0}", "registry.url", "http://127.0.0.1:8031"),
    ("timers: {onlyPartition: null}", "timers.only_partition", None),
    ("http: {allowedNetworks: [10.0.0.0/8]}", "http.allowed_networks", (ip_network("10.0.0.0/8"),)),
    ("vars: {channel: web, limits: {eur: 10.5}}", "vars", {"channel": "web", "limits": {"eur": 10.5}}),
    (
        "retries: {standard: {attempts: 4, delay: 200ms}}",
        "retries",
        {"standard": {"attempts": 4, "delay": "200ms"}},
    ),
    (
        "retries: {sure: {maxDuration: 1h, errors: [5xx, 409]}}",
        "retries",
        {"sure": {"maxDuration": "1h", "errors": ["5xx", 409]}},
    ),
    ("telemetry: {logFormat: console, logLevel: debug}", "telemetry.log_level", "debug"),
    ("docs: {public: false}", "docs.public", False),
    ("streams: {placed: {type: inprocess}}", "streams", {"placed": InProcessStream()}),
]


@pytest.mark.parametrize(("text", "place", "value"), ACCEPTED)
def test_what_the_file_says_holds(tmp_path: Path, text: str, place: str, value: Json) -> None:
    assert attrgetter(place)(loaded(tmp_path, text)) == value


def test_streams_that_are_said_replace_the_default_one(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "streams: {desk: {type: http, prefix: /desk}, placed: {type: inprocess}}")
    assert settings.streams == {"desk": HttpStream(prefix="/desk"), "placed": InProcessStream()}


def test_a_kafka_stream_has_all_its_keys(tmp_path: Path) -> None:
    text = """
streams:
  orders:
    type: kafka
    bootstrap: "localhost:9092"
    topic: orders
    group: shop
    deadLetter: orders.dlq
    ordering: partition
    concurrency: 8
    onStuck: pass
    dedupe: ce
    replyTopics: [replies]
    trustHeaders: true
    generation: 2
    security: {protocol: SASL_SSL, mechanism: SCRAM-SHA-256, username: u, password: p, caFile: ca.pem}
"""
    stream = loaded(tmp_path, text).streams["orders"]
    assert isinstance(stream, KafkaStream)
    assert (stream.bootstrap, stream.topic, stream.group, stream.dead_letter) == (
        "localhost:9092",
        "orders",
        "shop",
        "orders.dlq",
    )
    assert (stream.ordering, stream.concurrency, stream.on_stuck, stream.dedupe) == (
        "partition",
        8,
        "pass",
        "ce",
    )
    assert (stream.reply_topics, stream.trust_headers, stream.generation) == (("replies",), True, 2)
    assert stream.security.password is not None
    assert stream.security.password.reveal() == "p"
    assert stream.security.ca_file == tmp_path / "ca.pem"


def test_the_default_state_stays_beside_others(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "redis: {}\nstates: {shared: {type: redis, ttl: 5m}}")
    assert settings.states == {"default": MemoryState(), "shared": RedisState(ttl_s=300.0)}


def test_the_default_state_can_be_of_another_type(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "redis: {}\nstates: {default: {type: redis, ttl: 5m}}")
    assert settings.states == {"default": RedisState(ttl_s=300.0)}


def test_a_service_is_a_url_or_more(tmp_path: Path) -> None:
    text = """
services:
  stock: http://127.0.0.1:9001
  payment: {url: "http://127.0.0.1:9002", headers: {Authorization: Bearer x}, concurrency: 100}
  courier: {headers: {x-key: k}}
"""
    services = loaded(tmp_path, text).services
    assert services["stock"].url == "http://127.0.0.1:9001"
    assert services["stock"].concurrency is None
    assert {name: value.reveal() for name, value in services["payment"].headers.items()} == {
        "authorization": "Bearer x"
    }
    assert services["payment"].concurrency == 100
    assert services["courier"].url is None


def test_tokens_have_their_defaults(tmp_path: Path) -> None:
    auth = loaded(tmp_path, "auth: {jwt: {secret: s}}").auth
    assert auth is not None
    jwt = auth.jwt
    assert (jwt.algorithms, jwt.roles_claim, jwt.required_claims) == (("HS256",), "roles", ("exp",))
    assert (jwt.jwks_url, jwt.issuer, jwt.audience, jwt.keys) == (None, None, None, {})


def test_a_runner_of_several_workers_gives_each_its_partition(tmp_path: Path) -> None:
    runner = loaded(tmp_path, "runner: {partitions: 4, partition: 1, workers: 2}").runner
    assert [runner.worker_partition(worker) for worker in (0, 1)] == [2, 3]


REFUSED = [
    ("runner: {prot: 1}", "saga.yml:1:10: runner.prot is no setting; did you mean `port`?"),
    ("runer: {}", "saga.yml:1:1: runer is no setting; did you mean `runner`?"),
    (
        "runner: {port: 80a}",
        'saga.yml:1:16: runner.port must be a whole number from 0 to 65535, not "80a"; write for example 1',
    ),
    (
        "runner: {port: true}",
        "saga.yml:1:16: runner.port must be a whole number from 0 to 65535, not true; write for example 1",
    ),
    (
        "runner: {name: 42}",
        "saga.yml:1:16: runner.name must be a name of letters, digits, `.`, `_` and `-`, not 42; "
        "write for example shop",
    ),
    (
        "runner: {drainTimeout: 20}",
        "saga.yml:1:24: runner.drainTimeout must be a duration with its unit, not 20; write 20ms or 20s",
    ),
    (
        "runner: {replyTimeout: 0s}",
        'saga.yml:1:24: runner.replyTimeout must be at least 1ms, not "0s"; write it longer',
    ),
    (
        "runner: {partition: 2, partitions: 2}",
        "saga.yml:1:21: runner.partition is 2, but with 2 partitions the last one is 1",
    ),
    ("runner: []", "saga.yml:1:9: runner must be a mapping, not a list"),
    ("definitions: []", "saga.yml:1:14: definitions must not be empty; leave it out to have the default"),
    (
        "journal: {url: 'postgres://db'}",
        "saga.yml:1:16: journal.url must be memory, sqlite:PATH, postgresql://... or redis, "
        'not "postgres://db"; did you mean postgresql?',
    ),
    (
        "journal: {url: 'sqlite::memory:'}",
        "saga.yml:1:16: journal.url must be memory, sqlite:PATH, postgresql://... or redis, "
        'not "sqlite::memory:"; did you mean memory?',
    ),
    (
        "redis: {url: 'http://h'}",
        "saga.yml:1:14: redis.url must be an absolute redis:// or rediss:// or redis-sentinel:// or "
        "redis-cluster:// URL, not text; write for example redis://127.0.0.1:9000",
    ),
    (
        "registry: {url: redis}",
        "saga.yml:1:11: registry uses redis, but there is no redis.url; give it, or set REDIS_URL",
    ),
    (
        "registry: {port: 8080}",
        "saga.yml:1:11: registry has port 8080, which is runner.port, too; give one of them another",
    ),
    (
        "services: {a: 'http://u:p@h'}",
        "saga.yml:1:15: services.a.url must hold no user or password; send them as a header instead",
    ),
    (
        "services: {'a b': 'http://h'}",
        "saga.yml:1:12: services has the name `a b`, which may not stand there; write another",
    ),
    (
        "services: {a: {headers: {traceparent: x}}}",
        "saga.yml:1:25: services.a.headers has `traceparent`, which the runner sets itself; take it out",
    ),
    (
        'services: {a: {headers: {x: "a\\nb"}}}',
        "saga.yml:1:29: services.a.headers.x must be one line of plain ASCII to stand in a header",
    ),
    (
        "streams: {x: {type: kafke}}",
        'saga.yml:1:21: streams.x.type must be one of http, kafka, inprocess, not "kafke"; did you mean `kafka`?',
    ),
    (
        "streams: {x: {topic: a}}",
        "saga.yml:1:14: streams.x lacks `type`; it is one of http, kafka, inprocess",
    ),
    (
        "streams: {x: {type: kafka, topic: a}}",
        "saga.yml:1:14: streams.x lacks `bootstrap`; say it as streams.x.bootstrap",
    ),
    (
        "streams: {a: {type: http}, b: {type: http}}",
        'saga.yml:1:10: streams has 2 http streams with the prefix ""; give each its own',
    ),
    (
        "streams: {a: {type: http, prefix: shop/}}",
        'saga.yml:1:35: streams.a.prefix must be "" or a path such as /shop, without a slash at its end, '
        'not "shop/"; write for example /shop',
    ),
    (
        "states: {x: {type: redis}}",
        "saga.yml:1:9: states uses redis, but there is no redis.url; give it, or set REDIS_URL",
    ),
    ("auth: {}", "saga.yml:1:7: auth lacks `jwt`; say it as auth.jwt"),
    (
        "auth: {jwt: {algorithms: [RS256]}}",
        "saga.yml:1:26: auth.jwt.algorithms names RS256, which needs `keys` or `jwksUrl`; give one of them",
    ),
    (
        "auth: {jwt: {}}",
        "saga.yml:1:13: auth.jwt.algorithms names HS256, which needs `secret`; give one, or name other algorithms",
    ),
    (
        "retries: {a: {backoff: exp}}",
        'saga.yml:1:24: retries.a.backoff must be one of exponential, linear, constant, not "exp"',
    ),
    (
        "http: {allowedNetworks: [10.0.0.1/8]}",
        "saga.yml:1:26: http.allowedNetworks[0] must be an address range (10.0.0.1/8 has host bits set), "
        'not "10.0.0.1/8"; write for example 10.0.0.0/8',
    ),
    (
        "docs: {public: 'yes'}",
        'saga.yml:1:16: docs.public must be true or false, not "yes"; write it without quotes',
    ),
    ("a: {", "saga.yml:2:1: this is not YAML"),
    ("runner: {port: 1}\nrunner: {port: 2}", "saga.yml:2:1: the key `runner` stands twice in this mapping"),
    ("docs: {}\n---\ndocs: {}", "saga.yml:3:1: settings are one document; take the `---` out"),
    ("- a", "saga.yml:1:1: the whole file must be a mapping, not a list"),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSED, ids=[text for text, _ in REFUSED])
def test_a_wrong_setting_is_told_with_its_place_and_its_mending(tmp_path: Path, text: str, sentence: str) -> None:
    found = sentences(tmp_path, text + "\n")
    assert len(found) == 1, found
    assert found[0].startswith(sentence)


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    text = "runner: {port: x, nmae: y}\ntimers: {enabled: maybe}\nservices: {a: ftp://h}\n"
    found = sentences(tmp_path, text, {"SAGA_HTTP__RAW_URLS": "perhaps", "SAGA_NO__SUCH": "1"})
    assert [sentence.partition(": ")[0] for sentence in found] == [
        "environment SAGA_NO__SUCH",
        "environment SAGA_HTTP__RAW_URLS",
        "saga.yml:1:16",
        "saga.yml:1:19",
        "saga.yml:2:19",
        "saga.yml:3:15",
    ]
