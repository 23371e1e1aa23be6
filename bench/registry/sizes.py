"""10 000 instances: memory, start, and full refreshes beside lookups."""

import signal
import statistics
import time
from pathlib import Path

from redis import Redis

from bench.load import Load
from bench.registry import sample
from bench.registry.rounds import API, Requests, measured, registry
from bench.serving import memory
from tests.support.redis_servers import RedisServer, until

INSTANCES = 10_000
_REFRESHES = 3


def sized(redis: RedisServer, client: Redis, folder: Path, generator: Load, names: int) -> dict[str, float]:
    """A registry that starts with 10 000 instances under so many names, beside one that starts with none."""
    client.flushall()
    began = time.perf_counter()
    with registry(redis, folder) as served:
        start_empty = time.perf_counter() - began
        empty = memory(served.process.pid)
    all_names = [f"name-{number}" for number in range(names)]
    sample.fill(client, all_names, INSTANCES // names)
    asked: Requests = [("GET", f"{API}/{name}", "") for name in all_names]
    light = {"requests": asked, "connections": 5, "pace": 0.005, "seconds": 2}
    began = time.perf_counter()
    with registry(redis, folder) as served:
        start = time.perf_counter() - began
        full = memory(served.process.pid)
        during: list[float] = []
        without: list[float] = []
        for _ in range(_REFRESHES):
            generator.begin(url=served.url, **light)
            time.sleep(0.5)
            served.process.send_signal(signal.SIGUSR1)
            during.append(generator.end()["max_us"])
            until(lambda: len(served.told("refresh")) > len(without), "the end of a full refresh")
            without.append(generator.round(url=served.url, **light)["max_us"])
        refreshes = served.told("refresh")
        # The answer for each name is kept ready from its first lookup on.
        measured(served, client, generator, asked, len(asked), 50)
        used = memory(served.process.pid)
    return {
        "names": names,
        "empty process, MB": round(empty / 1e6, 1),
        "above it, MB": round((full - empty) / 1e6, 1),
        "above it when asked, MB": round((used - empty) / 1e6, 1),
        "start, s": round(start, 2),
        "start with none, s": round(start_empty, 2),
        "full refresh, s": round(statistics.median(one["seconds"] for one in refreshes), 2),
        "longest turn in it, ms": round(statistics.median(one["turn_ms"] for one in refreshes), 1),
        "slowest GET during it, ms": round(statistics.median(during) / 1e3, 1),
        "slowest GET without it, ms": round(statistics.median(without) / 1e3, 1),
    }
