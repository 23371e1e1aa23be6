"""Which Redis node holds what, found out anew at every connect: the one server, whom the sentinels call master, or the
masters of a cluster with their slots.
"""

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from redis.asyncio.connection import Connection as PlainConnection
from redis.asyncio.connection import SSLConnection
from redis.crc import key_slot
from redis.exceptions import RedisError

from registry.directories.redis_address import Node, RedisAddress
from registry.directories.redis_link import Connection, LinkLost, Reply, said

#: Makes a connection, not yet connected, to a node; `sentinel`: the node is a sentinel.
Connect: TypeAlias = Callable[[Node, bool], Connection]

_SLOTS: Final = 16_384
_WHO_IS_MASTER: Final = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME")


@dataclass(frozen=True, slots=True)
class Layout:
    """The masters, and where the range of slots of each begins."""

    begins: tuple[int, ...]
    owners: tuple[Node, ...]

    def node(self, key: str) -> Node:
        """The master that holds `key`."""
        if len(self.owners) == 1:
            return self.owners[0]
        return self.owners[bisect_right(self.begins, key_slot(key.encode())) - 1]

    def nodes(self) -> tuple[Node, ...]:
        """All masters, each once."""
        return tuple(dict.fromkeys(self.owners))


def connect_to(address: RedisAddress) -> Connect:
    """Connections over TCP as the address asks for them."""

    def connect(node: Node, sentinel: bool) -> Connection:
        username, password = address.username, address.password
        if sentinel:
            username, password = address.sentinel_username, address.sentinel_password
        common: dict[str, Any] = {
            "host": node[0],
            "port": node[1],
            "db": 0 if sentinel else address.database,
            "username": username,
            "password": password,
            # The link bounds every exchange as a whole.
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "protocol": 2,
        }
        if address.tls:
            return SSLConnection(**common, ssl_ca_certs=address.authorities)
        return PlainConnection(**common)

    return connect


async def find(address: RedisAddress, connect: Connect, *, known: tuple[Node, ...], timeout: float) -> Layout:
    """Who the masters are now. `known`: nodes of a cluster seen before. Raises `LinkLost`."""
    if address.kind not in ("redis-sentinel", "redis-cluster"):
        return Layout((0,), address.nodes)
    reasons = []
    for node in dict.fromkeys((*known, *address.nodes)):
        try:
            async with asyncio.timeout(timeout):
                if address.kind == "redis-sentinel":
                    return _master(await ask(connect(node, True), *_WHO_IS_MASTER, address.master))
                return _masters(await ask(connect(node, False), "CLUSTER", "SLOTS"), node[0])
        except (LinkLost, RedisError, OSError, TimeoutError) as reason:
            reasons.append(f"{node[0]}:{node[1]}: {said(reason)}")
    raise LinkLost("; ".join(reasons))


async def ask(connection: Connection, *words: str) -> Reply:
    try:
        await connection.connect()
        await connection.send_packed_command(connection.pack_commands([words]), check_health=False)
        return await connection.read_response()
    finally:
        with contextlib.suppress(RedisError, OSError):
            await connection.disconnect(nowait=True)


def _master(reply: Reply) -> Layout:
    if not reply:
        raise LinkLost("it knows no master of that name")
    return Layout((0,), ((reply[0].decode(), int(reply[1])),))


def _masters(reply: Reply, asked: str) -> Layout:
    """`CLUSTER SLOTS`: [[first, last, [host, port, ...], ...], ...]. A node without a host is the one asked."""
    ranges = sorted((first, last, (master[0].decode() or asked, master[1])) for first, last, master, *_ in reply)
    if sum(last - first + 1 for first, last, _ in ranges) != _SLOTS:
        raise LinkLost("the cluster does not hold all slots")
    return Layout(tuple(first for first, _, _ in ranges), tuple(node for _, _, node in ranges))
