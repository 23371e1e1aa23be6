"""Settings of the registry and of its clients, read once; the one place of this package that reads the
environment.

Environment over `config.toml` in `SAGA_CONFIG_DIR` over defaults. A key of the file is the name in lower case.
"""

import difflib
import logging
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from registry.base.env import Env
from registry.directories.redis_address import RedisAddress, WrongAddress, read_address
from registry.form import MAX_TTL
from registry.tokens import InvalidTokens, Tokens, read_tokens

#: Where a client looks for the registry if nobody says otherwise.
DEFAULT_URL: Final = "http://localhost:8030"

#: Levels of a log by the names that `SAGA_LOG` may say; `trace` lies below Python's own.
LEVELS: Final[Mapping[str, int]] = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": 5,
}

#: What a file may say.
_KEYS: Final = (
    "redis_url",
    "host",
    "port",
    "service_name",
    "registration_ttl",
    "heartbeat_interval",
    "cache_refresh_interval",
    "allowed_networks",
    "min_healthy_ratio",
    "registry_tokens",
    "saga_log",
    "saga_service_url",
)
_LARGEST_FILE: Final = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one registry process runs. The names in the environment are those of the fields in capitals."""

    #: Where the directory is kept; none: in this process.
    redis_url: RedisAddress | None = None
    #: Address to listen on. Loopback, because whoever reaches the registry can write to it.
    host: str = "127.0.0.1"
    #: 0: any free one.
    port: int = 8030
    #: What the registry calls itself on its health page; it is never listed.
    service_name: str = "saga"
    #: Seconds that an instance lives without a heartbeat, unless it asks for its own time.
    registration_ttl: float = 60.0
    #: Seconds between heartbeats, as clients are told.
    heartbeat_interval: float = 30.0
    #: Seconds between two readings of everything that Redis holds; changes come at once all the same.
    cache_refresh_interval: float = 30.0
    #: Networks that the addresses of instances must lie in; empty: all but link-local and cloud metadata.
    allowed_networks: tuple[str, ...] = ()
    #: Share of a name's instances that must pass their checks; below it all are offered. 0: off.
    min_healthy_ratio: float = 0.0
    #: Who may do what.
    registry_tokens: Tokens = field(default_factory=lambda: Tokens({}), compare=False)
    #: One of `LEVELS`.
    saga_log: str = "info"

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Settings from `environ` and from the file it leads to; raises `WrongSettings` with a sentence for each
        wrong value.
        """
        values, spelled, errors = _with_file(environ)
        env = Env(values, spelled=spelled, errors=errors)
        default = cls()
        settings = cls(
            redis_url=_address(env, values.get("REDIS_URL", "").strip()),
            host=env.text("HOST", default.host),
            port=env.integer("PORT", default.port, low=0, high=65_535),
            service_name=env.text("SERVICE_NAME", default.service_name),
            registration_ttl=env.seconds("REGISTRATION_TTL", default.registration_ttl, high=MAX_TTL),
            heartbeat_interval=env.seconds("HEARTBEAT_INTERVAL", default.heartbeat_interval, high=MAX_TTL),
            cache_refresh_interval=env.seconds("CACHE_REFRESH_INTERVAL", default.cache_refresh_interval, high=MAX_TTL),
            allowed_networks=env.networks("ALLOWED_NETWORKS", default.allowed_networks),
            min_healthy_ratio=env.share("MIN_HEALTHY_RATIO", default.min_healthy_ratio),
            registry_tokens=_tokens(env, values.get("REGISTRY_TOKENS", "")),
            saga_log=_level(env, values),
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
        if self.host not in ("127.0.0.1", "::1", "localhost") and not self.registry_tokens:
            found.append(
                f"HOST is {self.host} and REGISTRY_TOKENS is not set: everyone who reaches this address can register"
                " and remove services. Set REGISTRY_TOKENS, or keep the registry on a trusted network."
            )
        return tuple(found)


def environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ  # noqa: TID251 - the one door to it


def registry_url(environ: Mapping[str, str] | None = None) -> str:
    """Where clients find the registry: `SAGA_SERVICE_URL`, else what the file says, else `DEFAULT_URL`.

    A file that is wrong keeps no client from starting.
    """
    values, _, _ = _with_file(environment() if environ is None else environ)
    return values.get("SAGA_SERVICE_URL", "").strip() or DEFAULT_URL


def registry_token(environ: Mapping[str, str] | None = None) -> str:
    """What clients show to a registry that asks for a token: `SAGA_SERVICE_TOKEN`; empty for none."""
    return (environment() if environ is None else environ).get("SAGA_SERVICE_TOKEN", "").strip()


def config_file(environ: Mapping[str, str]) -> Path:
    """Where the settings file is, if there is one."""
    folder = environ.get("SAGA_CONFIG_DIR", "").strip() or "~/.saga"
    if folder == "~" or folder.startswith("~/"):
        folder = environ.get("HOME", "/") + folder[1:]
    return Path(folder) / "config.toml"


def _with_file(environ: Mapping[str, str]) -> tuple[Mapping[str, str], Mapping[str, str], list[str]]:
    """The values of file and environment as one, how those of the file are spelled, and what is wrong with it."""
    path = config_file(environ)
    try:
        with path.open("rb") as file:
            said = tomllib.loads(file.read(_LARGEST_FILE).decode())
    except (FileNotFoundError, NotADirectoryError):
        return environ, {}, []
    except (OSError, ValueError, RecursionError) as error:
        return environ, {}, [f"{path} cannot be read: {error}."]
    values: dict[str, str] = {}
    errors = []
    for key, value in said.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            meant = f"did you mean {near[0]}?" if near else f"it may be one of {', '.join(_KEYS)}."
            errors.append(f"{path} has the unknown key {key[:80]!r}: {meant}")
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            values[key.upper()] = "\n".join(value)
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            errors.append(f"{key} in {path} must be a text or a number.")
        else:
            values[key.upper()] = str(value)
    given = {name: value for name, value in environ.items() if value.strip()}
    spelled = {name: f"{name.lower()} in {path}" for name in values if name not in given}
    return {**values, **given}, spelled, errors


def _address(env: Env, url: str) -> RedisAddress | None:
    try:
        return read_address(url) if url else None
    except WrongAddress as wrong:
        env.unusable("REDIS_URL", f"cannot be used: {str(wrong).rstrip('.')}")
        return None


def _tokens(env: Env, given: str) -> Tokens:
    """`REGISTRY_TOKENS`: the entries themselves, or the file that has them, as `file:PATH` or an absolute path."""
    text = given.strip()
    if text.startswith(("/", "file:")) and "\n" not in text:
        path = Path(text.removeprefix("file:"))
        try:
            text = path.read_text()
        except (OSError, ValueError) as error:
            env.unusable("REGISTRY_TOKENS", f"names the file {path}, which cannot be read: {error}")
            return Tokens({})
    try:
        tokens = read_tokens(text)
    except InvalidTokens as wrong:
        env.unusable("REGISTRY_TOKENS", str(wrong))
        return Tokens({})
    if given.strip() and not tokens:
        env.unusable("REGISTRY_TOKENS", "is set but has no token: open the registry by not setting it")
    return tokens


def _level(env: Env, values: Mapping[str, str]) -> str:
    """`SAGA_LOG`, else what `RUST_LOG` says of `saga` or of everything."""
    said = values.get("SAGA_LOG", "").strip().lower()
    if said and said not in LEVELS:
        env.wrong("SAGA_LOG", said, f"must be one of {', '.join(LEVELS)}")
    found = ""
    for directive in values.get("RUST_LOG", "").split(","):
        target, _, level = directive.strip().rpartition("=")
        if target == "saga" or (not target and not found and level in LEVELS):
            if level not in LEVELS:
                env.wrong("RUST_LOG", directive.strip(), f"must give saga one of {', '.join(LEVELS)}")
            found = level
    return said or found or "info"
