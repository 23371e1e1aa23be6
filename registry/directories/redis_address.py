"""Where Redis is: a `REDIS_URL` of any of the four kinds as a noun.

    redis://[user:password@]host[:6379][/database]
    rediss://...                                            the same over TLS
    redis-sentinel://[user:password@]h1[:26379],h2/master   whoever these sentinels call the master
    redis-cluster://[user:password@]h1[:6379],h2            the cluster that these nodes belong to

Parameters after `?`: `ssl=true` (TLS where the scheme does not say it), `ssl_ca_certs=FILE`, and for sentinels that ask
for a password of their own `sentinel_username`, `sentinel_password`.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

#: A host and its port.
Node: TypeAlias = tuple[str, int]

_PORTS: Final = {"redis": 6379, "rediss": 6379, "redis-sentinel": 26379, "redis-cluster": 6379}
_PARAMETERS: Final = {"ssl", "ssl_ca_certs", "sentinel_username", "sentinel_password"}


class WrongAddress(ValueError):
    """The text is no address of Redis; the message says why and does not repeat a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """How to reach one Redis, whatever it is made of."""

    #: The scheme of its URL.
    kind: str
    #: The server itself, the sentinels, or some nodes of the cluster.
    nodes: tuple[Node, ...]
    #: The name that sentinels know the master by.
    master: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    tls: bool = False
    #: File of the certificate authorities to trust; none: those of the machine.
    authorities: str | None = None

    def __str__(self) -> str:
        """The address without its secrets, for logs."""
        nodes = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.nodes)
        return f"{self.kind}://{nodes}/{self.master or self.database or ''}".rstrip("/")


def read_address(url: str) -> RedisAddress:
    """The address in `url`. Raises `WrongAddress`."""
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in _PORTS:
        raise WrongAddress(f"It must begin with one of {', '.join(f'{each}://' for each in _PORTS)}.")
    # The list of hosts is no authority that urlsplit knows, so it is taken out first.
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    username, _, password = credentials.partition(":")
    nodes = tuple(_node(each, _PORTS[scheme]) for each in hosts.split(","))
    more = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(set(more) - _PARAMETERS):
        raise WrongAddress(f"It has the unknown parameter {unknown[0]}; known are {', '.join(sorted(_PARAMETERS))}.")
    if len(nodes) > 1 and scheme in ("redis", "rediss"):
        raise WrongAddress(f"{scheme}:// names one server; for several write redis-sentinel:// or redis-cluster://.")
    return RedisAddress(
        kind=scheme,
        nodes=nodes,
        master=_master(path) if scheme == "redis-sentinel" else "",
        database=_database(scheme, path),
        username=(unquote(username) or None) if at else None,
        password=(unquote(password) or None) if at else None,
        sentinel_username=more.get("sentinel_username"),
        sentinel_password=more.get("sentinel_password"),
        tls=scheme == "rediss" or more.get("ssl") in ("true", "1"),
        authorities=more.get("ssl_ca_certs"),
    )


def _node(text: str, port: int) -> Node:
    try:
        parts = urlsplit(f"//{text}")
        found = parts.hostname, parts.port or port
    except ValueError:
        found = None, port
    if not found[0]:
        raise WrongAddress("It must name a host, and a port from 1 to 65535 if it names one: redis://localhost:6379.")
    return found[0], found[1]


def _master(path: str) -> str:
    if not path or "/" in path:
        raise WrongAddress("It must end with the name of the master: redis-sentinel://h1:26379,h2:26379/mymaster.")
    return unquote(path)


def _database(scheme: str, path: str) -> int:
    if scheme == "redis-sentinel" or not path:
        return 0
    if scheme == "redis-cluster":
        raise WrongAddress("A cluster has one database only: leave out what follows the hosts.")
    if not (path.isdecimal() and path.isascii() and len(path) < 4):
        raise WrongAddress("What follows the host must be the number of a database: redis://localhost:6379/0.")
    return int(path)
