"""What the registry is measured against: the least that answers each kind of request, with nothing of a registry in it.

    python -m bench.registry.bare REDIS_URL

The same server and the same pipelined way to Redis; no form, no policies, no copy in memory, no audit, no news.

    GET /hello          a constant
    GET /NAME           one Redis read, the first registry's key as it is
    POST /NAME          one scripted write of the body as it came: it, and when it is gone
    POST /NAME/beat     one script: when it is gone, if it is there
"""

import asyncio
import json
import sys
from typing import Any

import uvloop

from bench.registry.sample import TTL
from registry.base.clock import SystemClock
from registry.base.guest import Guest, listening, settle_memory, url_of
from registry.directories.redis_address import read_address
from registry.directories.redis_line import Line, evalsha
from registry.directories.redis_nodes import connect_to

_NOW = "local time = redis.call('TIME') local due = time[1] * 1000000 + time[2] + tonumber(ARGV[1])\n"
WRITE = f"""{_NOW}
redis.call('HSET', KEYS[1], 'sent', ARGV[2])
redis.call('ZADD', KEYS[2], due, 'sent')
return string.format('%.0f', due)
"""
BEAT = f"""{_NOW}
if not redis.call('ZSCORE', KEYS[2], 'sent') then return false end
redis.call('ZADD', KEYS[2], due, 'sent')
return string.format('%.0f', due)
"""
_JSON = (b"content-type", b"application/json")


async def serve(redis_url: str) -> None:
    """Serve until the process is ended. Redis must not go away meanwhile."""
    address = read_address(redis_url)

    async def returned() -> None:
        return None

    line = Line(address, SystemClock(), connect_to(address), (WRITE, BEAT), lost=lambda: None, returned=returned)
    await line.open()
    ttl = round(TTL * 1e6)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        name, _, beat = scope["path"][1:].partition("/")
        status, body = 200, b'"hello"'
        keys = f"bare:{{{name}}}", f"bare:{{{name}}}:due"
        if scope["method"] == "POST":
            sent = (await receive())["body"]
            words = evalsha(BEAT, keys, ttl) if beat else evalsha(WRITE, keys, ttl, sent)
            due = await line.call(keys[0], *words)
            status, body = (404, b"null") if due is None else (200 if beat else 201, due)
        elif name != "hello":
            key = f"service:{name}"
            found = await line.call(key, "GET", key)
            status, body = (404, b"null") if found is None else (200, found)
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    settle_memory()
    with listening("127.0.0.1", 0, "the bare program") as listener:
        guest = Guest(app, listener, grace=1)
        await guest.open()
        print(json.dumps({"url": url_of("127.0.0.1", guest.port)}), flush=True)
        await asyncio.get_running_loop().create_future()


def main() -> None:
    """Serve; the process is ended by a signal."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(sys.argv[1]))


if __name__ == "__main__":
    main()
