"""The services that the registry is measured with, and how Redis comes to hold them without any registry knowing."""

import json
import uuid
from collections.abc import Iterable
from typing import Any

from redis import Redis

from registry.directories.redis_entries import keys_of, micros, sent_of, tail_of
from registry.directories.redis_line import evalsha
from registry.directories.redis_scripts import REGISTER
from registry.listing import Registration, normal_url

#: Seconds that an instance lives: none is to expire while it is measured.
TTL = 3_600.0
_AT_ONCE = 500
#: No script comes too late.
_ALWAYS = 2**53


def registration(name: str, number: int = 0) -> Registration:
    """Instance `number` of a service, with what such instances have besides their address."""
    return Registration(
        service_name=name,
        service_url=f"http://10.{number % 250}.7.1:8000/{name}",
        ttl=TTL,
        capabilities=("rest",),
        zone=f"zone-{number % 3}",
        version="2.4.1",
        tags=("shop", "canary"),
        metadata={"team": "orders", "commit": "0123456789abcdef"},
    )


def body(name: str, version: str = "2.4.1") -> str:
    """The same instance as it is sent to `POST /services/register`."""
    one = registration(name)
    members: dict[str, Any] = {
        member: getattr(one, member)
        for member in ("service_name", "service_url", "ttl", "capabilities", "zone", "tags", "metadata")
    }
    return json.dumps({**members, "version": version})


def fill(client: Redis, names: Iterable[str], each: int = 1) -> None:
    """Let Redis hold so many instances of each name, as a registry writes them, and announce nothing."""
    client.script_load(REGISTER)
    instances = [registration(name, number) for name in names for number in range(each)]
    for at in range(0, len(instances), _AT_ONCE):
        pipe = client.pipeline(transaction=False)
        for one in instances[at : at + _AT_ONCE]:
            words = (sent_of(one), tail_of(one), micros(one.ttl), 1, "", _ALWAYS)
            keys = keys_of(one.service_name)
            pipe.execute_command(*evalsha(REGISTER, keys, "", str(uuid.uuid4()), normal_url(one.service_url), *words))
        pipe.execute()
