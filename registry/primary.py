"""One instance of a service straight from Redis, for a client whose registry is away: the key that each registry keeps
for a name, and that the first one kept, too.
"""

import asyncio

from redis.exceptions import RedisError

from registry.conversation import Answer, RegistryUnavailable
from registry.directories.redis_address import WrongAddress, read_address
from registry.directories.redis_entries import keys_of
from registry.directories.redis_link import LinkLost, said
from registry.directories.redis_nodes import ask, connect_to, find


async def primary(redis_url: str, name: str, timeout: float) -> Answer:
    """200 and the record as JSON, or 404. Raises `RegistryUnavailable` where Redis cannot be asked in time."""
    key, *_ = keys_of(name)
    try:
        address = read_address(redis_url)
        connect = connect_to(address)
        layout = await find(address, connect, known=(), timeout=timeout)
        async with asyncio.timeout(timeout):
            raw = await ask(connect(layout.node(key), False), "GET", key)
    except (LinkLost, RedisError, OSError, TimeoutError, WrongAddress) as reason:
        raise RegistryUnavailable(f"Redis cannot be asked for {name}: {said(reason)}") from None
    return Answer(status=404, body=b"") if raw is None else Answer(status=200, body=raw)
