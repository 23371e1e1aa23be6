"""Settings of the registry and of its clients, read once; the one place of this package that reads the
environment.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from registry.base.env import Env
from registry.form import MAX_TTL

#: Where a client looks for the registry if nobody says otherwise.
DEFAULT_URL: Final = "http://localhost:8030"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one registry process runs. The names in the environment are those of the fields in capitals."""

    #: Address to listen on. Loopback, because whoever reaches the registry can write to it.
    host: str = "127.0.0.1"
    #: 0: any free port.
    port: int = 8030
    #: What the registry calls itself on its health page; it is never listed.
    service_name: str = "saga"
    #: Seconds that an instance lives without a heartbeat, unless it asks for its own time.
    registration_ttl: float = 60.0
    #: Seconds between heartbeats, as clients are told.
    heartbeat_interval: float = 30.0

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Self:
        """Settings from `values`, names in capitals; raises `WrongSettings` with a sentence for each wrong
        value.
        """
        env = Env(values)
        default = cls()
        settings = cls(
            host=env.text("HOST", default.host),
            port=env.integer("PORT", default.port, low=0, high=65_535),
            service_name=env.text("SERVICE_NAME", default.service_name),
            registration_ttl=env.seconds("REGISTRATION_TTL", default.registration_ttl, high=MAX_TTL),
            heartbeat_interval=env.seconds("HEARTBEAT_INTERVAL", default.heartbeat_interval, high=MAX_TTL),
        )
        env.done()
        return settings

    def warnings(self) -> tuple[str, ...]:
        """A sentence for each value that works but will be regretted."""
        found = []
        if self.registration_ttl < 2 * self.heartbeat_interval:
            found.append(
                f"REGISTRATION_TTL is {self.registration_ttl:g} s, less than twice HEARTBEAT_INTERVAL"
                f" ({self.heartbeat_interval:g} s): one lost heartbeat removes a healthy service."
            )
        if self.host not in ("127.0.0.1", "::1", "localhost"):
            found.append(
                f"HOST is {self.host}: everyone who reaches this address can register and remove services."
                " Keep it on a trusted network."
            )
        return tuple(found)


def environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ  # noqa: TID251 - the one door to it


def registry_url(values: Mapping[str, str] | None = None) -> str:
    """Where clients find the registry: `SAGA_SERVICE_URL`, else `DEFAULT_URL`."""
    return (environment() if values is None else values).get("SAGA_SERVICE_URL", "").strip() or DEFAULT_URL


def registry_token(values: Mapping[str, str] | None = None) -> str:
    """What clients show to a registry that asks for a token: `SAGA_SERVICE_TOKEN`; empty for none."""
    return (environment() if values is None else values).get("SAGA_SERVICE_TOKEN", "").strip()
