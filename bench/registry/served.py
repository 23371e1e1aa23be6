"""A registry under measurement: `saga registry` without its command line, and a full refresh when it is told to.

    python -m bench.registry.served REDIS_URL

At each SIGUSR1 it reads everything anew and tells how long that took and how long nothing else got its turn meanwhile.
"""

import asyncio
import contextlib
import json
import logging
import signal
import sys
import time

import uvloop

from registry.app import serve
from registry.base.guest import settle_memory
from registry.directories.redis import RedisDirectory
from registry.settings import Settings

#: Seconds between two full refreshes that nobody asked for: none comes while it is measured.
_NEVER = 3_600
#: Seconds between two looks at whether the event loop is late.
_LOOK = 0.001


async def longest_turn() -> float:
    """Until it is cancelled; seconds that the event loop was late at most."""
    most = 0.0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_LOOK)
            most = max(most, time.perf_counter() - began - _LOOK)
    return most


async def refreshed(directory: RedisDirectory) -> None:
    """One full refresh."""
    watching = asyncio.create_task(longest_turn())
    await asyncio.sleep(0)
    began = time.perf_counter()
    await directory.refresh()
    took = time.perf_counter() - began
    watching.cancel()
    print(json.dumps({"refresh": {"seconds": took, "turn_ms": await watching * 1e3}}), flush=True)


async def served(redis_url: str) -> None:
    """Serve until the process is ended."""
    # Each new service is a line in the log, there as here.
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("registry").setLevel(logging.INFO)
    settle_memory()
    settings = Settings.read({"REDIS_URL": redis_url, "PORT": "0", "CACHE_REFRESH_INTERVAL": str(_NEVER)})
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
    async with serve(settings) as serving:
        directory = serving.directory
        assert isinstance(directory, RedisDirectory)
        print(json.dumps({"url": serving.url}), flush=True)
        while True:
            await asked.wait()
            asked.clear()
            await refreshed(directory)


def main() -> None:
    """Serve; the process is ended by a signal."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(served(sys.argv[1]))


if __name__ == "__main__":
    main()
