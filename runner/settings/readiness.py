"""What this runner does with its settings: why it must not start, and what it accepts but does not do yet."""

from collections.abc import Iterator
from ipaddress import ip_address

from registry.directories.redis_address import WrongAddress, read_address
from runner.settings.journal import SHARED
from runner.settings.streams import KafkaStream
from runner.settings.tree import Settings


def refusals(settings: Settings, *, insecure: bool = False) -> tuple[str, ...]:
    """Sentences that each keep the runner from starting; `insecure` accepts an open door to other hosts."""
    return tuple(_refusals(settings, insecure=insecure))


def _refusals(settings: Settings, *, insecure: bool) -> Iterator[str]:
    runner, journal = settings.runner, settings.journal.url
    if settings.auth is not None:
        yield (
            f"{settings.origin('auth')}: auth is set, but this runner cannot authenticate callers yet and "
            "will not serve openly what is meant to be guarded; take `auth` out to serve without it"
        )
    elif not is_loopback(runner.host) and not insecure:
        yield (
            f"{settings.origin('runner.host')}: runner.host {runner.host} can be reached from other machines "
            "and nobody is authenticated; listen on 127.0.0.1, or accept it with --insecure"
        )
    if settings.registry.url == "redis" and settings.redis is not None:
        try:
            read_address(settings.redis.url.reveal())
        except WrongAddress as wrong:
            yield f"{settings.origin('redis.url')}: redis.url cannot be used. {wrong}"
    if journal.store in SHARED:
        yield (
            f"{settings.origin('journal.url')}: journal.url names {journal.store}, which is not available as "
            "a journal yet; use sqlite:PATH"
        )
    elif runner.workers > 1:
        yield (
            f"{settings.origin('runner.workers')}: runner.workers is {runner.workers}, but a {journal.store} "
            "journal belongs to one process; use 1"
        )


def not_yet(settings: Settings) -> tuple[str, ...]:
    """Sentences about sections that are accepted and have no effect in this version."""
    return tuple(_not_yet(settings))


def _not_yet(settings: Settings) -> Iterator[str]:
    for alias, stream in settings.streams.items():
        if isinstance(stream, KafkaStream):
            yield f"streams.{alias}: this runner does not read or write Kafka yet; the stream stays silent"
    if settings.said("states"):
        yield "states: this runner does not cache yet; every request runs"
    if settings.redis is not None and settings.registry.url != "redis":
        yield "redis.url: this runner uses Redis for the registry alone yet, where `registry.url` is `redis`"
    if settings.said("timers"):
        yield "timers: this runner does not start sagas by timer yet"
    if settings.telemetry.otlp_endpoint is not None:
        yield "telemetry.otlpEndpoint: this runner does not send traces yet"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
