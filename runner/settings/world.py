"""What definitions are checked against, as these settings say it."""

from collections.abc import Mapping
from typing import Final

from runner.definitions.world import World
from runner.settings.streams import HttpStream, InProcessStream, KafkaStream
from runner.settings.tree import Settings

_STREAM_TYPES: Final[Mapping[type, str]] = {
    HttpStream: "http",
    KafkaStream: "kafka",
    InProcessStream: "inprocess",
}


def world_of(settings: Settings) -> World:
    """The names that a runner with these settings knows; None where a registry may know more."""
    return World(
        runner=settings.runner.name,
        streams={alias: _STREAM_TYPES[type(stream)] for alias, stream in settings.streams.items()},
        states=frozenset(settings.states),
        retries=settings.retries,
        vars=settings.vars,
        services=frozenset(settings.services) if settings.services else None,
        raw_urls=settings.http.raw_urls,
        auth=settings.auth is not None,
    )
