"""The registry beside bare programs on the same server: lookups, registers, heartbeats, cache hits, 10 000 instances.

    python -m bench.registry [--rounds 7] [--size 1.0]

1. Each kind of request in turn to the registry and to `bench.registry.bare`, over one real Redis; at 50 connections,
   and lookups also at one. Rounds are interleaved, what is compared is compared within a round, medians count.
2. A write at one registry, until another over the same Redis shows it.
3. A cache hit of the clients, and a choice of the runner's.
4. 10 000 instances, as 10 000 names and as 1 000: memory above the empty process, and start; then full refreshes
   beside a light, paced stream of lookups, and the same stream without one.

Redis, the load and each server are processes of their own.
"""

import argparse
import asyncio
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import machine
from bench.load import load
from bench.registry import sample
from bench.registry.rounds import API, BARE, KINDS, KNOWN, REGISTRY, UNSEEN, Rounds, registry, side_by_side
from bench.registry.sizes import INSTANCES, sized
from bench.serving import PATIENCE
from registry.base.clock import SystemClock
from registry.chooser import Chooser, Picked
from registry.client import RegistryClient, SyncRegistryClient
from registry.directories.memory import MemoryDirectory
from tests.support.redis_servers import RedisServer, redis_server

PACKAGES = ("uvicorn", "uvloop", "httptools", "msgspec", "fastapi", "redis")
#: Cache hits that are timed as one, and writes that another registry is to see.
_HITS = 100_000
_WRITES = 200


def until_seen(redis: RedisServer, folder: Path) -> list[float]:
    """Milliseconds, sorted, from the answer to a write at one registry until another shows it, by its feed alone."""
    took = []
    with registry(redis, folder) as writer, registry(redis, folder) as reader:
        write, read = (
            http.client.HTTPConnection(one.url.removeprefix("http://"), timeout=PATIENCE) for one in (writer, reader)
        )

        def answer(connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None) -> Any:
            connection.request(method, API + path, body)
            return json.loads(connection.getresponse().read())

        for number in range(_WRITES):
            version = f"0.{number}"
            answer(write, "POST", "/register", sample.body(KNOWN[0], version))
            began = time.perf_counter()
            while answer(read, "GET", f"/{KNOWN[0]}")["version"] != version:
                if time.perf_counter() - began > PATIENCE:
                    raise RuntimeError("the other registry does not see a write")
            took.append((time.perf_counter() - began) * 1e3)
        write.close()
        read.close()
    return sorted(took)


async def hits(url: str) -> dict[str, float]:
    """Microseconds of one cache hit, and of one choice, each the median of seven."""
    directory = MemoryDirectory(SystemClock())
    await directory.open()
    for number in range(3):
        await directory.register(sample.registration("orders", number))
    chooser = Chooser(directory, SystemClock())
    if not isinstance(chooser.pick("orders"), Picked):
        raise RuntimeError("the chooser finds none of the instances")
    threads = SyncRegistryClient(url, cache_ttl=3_600)
    await asyncio.to_thread(threads.discover, KNOWN[0])
    found: dict[str, list[float]] = {}
    async with RegistryClient(url, cache_ttl=3_600) as client:
        await client.discover(KNOWN[0])
        for _ in range(7):
            began = time.perf_counter()
            for _ in range(_HITS):
                await client.discover(KNOWN[0])
            found.setdefault("client", []).append(time.perf_counter() - began)
            for name, act, text in (("sync client", threads.discover, KNOWN[0]), ("chooser", chooser.pick, "orders")):
                found.setdefault(name, []).append(repeated(act, text))
    await directory.close()
    return {name: round(statistics.median(times) / _HITS * 1e6, 2) for name, times in found.items()}


def repeated(act: Callable[[str], object], text: str) -> float:
    """Seconds that so many of them take."""
    began = time.perf_counter()
    for _ in range(_HITS):
        act(text)
    return time.perf_counter() - began


def judged(
    rounds: Rounds, seen: list[float], hit: dict[str, float], sizes: list[dict[str, float]]
) -> list[dict[str, Any]]:
    """Every goal beside what was measured."""

    def against(kind: str, figure: str) -> float:
        """The registry's figure as a multiple of the bare program's: the median of the rounds."""
        pairs = zip(rounds[kind, REGISTRY], rounds[kind, BARE], strict=True)
        return round(statistics.median(mine[figure] / its[figure] for mine, its in pairs), 2)

    def worst(figure: str) -> float:
        return max(each[figure] for each in sizes)

    beats = round(statistics.median(one["per_s"] for one in rounds["heartbeat", REGISTRY]))
    p50, p99 = against("cached GET", "p50_us"), against("cached GET", "p99_us")
    return [
        machine.goal("cached GETs/s as a share of the bare hello", against("cached GET", "per_s"), least=0.8),
        machine.goal("p50 of a cached GET as a multiple of the hello's, 50 connections", p50, most=1.5),
        machine.goal("p99 of a cached GET as a multiple of the hello's, 50 connections", p99, most=1.5),
        *(
            machine.goal(f"{kind}, per s as a share of the bare program", against(kind, "per_s"), least=0.5)
            for kind in (UNSEEN, "register", "90 % reads", "heartbeat")
        ),
        machine.goal("heartbeats/s", beats, least=5_000),
        machine.goal("a write is seen by another registry, p99 in ms", round(seen[int(_WRITES * 0.99)], 1), most=50),
        *(machine.goal(f"cache hit, µs: {name}", value, most=2) for name, value in hit.items()),
        machine.goal("10 000 instances: MB above the empty process", worst("above it when asked, MB"), most=100),
        machine.goal("10 000 instances: seconds to start", worst("start, s"), most=2),
        machine.goal("10 000 instances: seconds of a full refresh", worst("full refresh, s"), most=1),
        machine.goal("10 000 instances: slowest GET during it, ms", worst("slowest GET during it, ms"), most=20),
    ]


def main() -> None:
    """Measure, print tables, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=float, default=1.0, help="length of the rounds, relative to the usual")
    options = parser.parse_args()

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(redis_server(folder / "redis"))
        client = stack.enter_context(redis.client())
        generator = stack.enter_context(load())
        sample.fill(client, KNOWN)
        rounds = side_by_side(redis, client, folder, generator, options.rounds, options.size)
        seen = until_seen(redis, folder)
        with registry(redis, folder) as served:
            hit = asyncio.run(hits(served.url))
        sizes = [sized(redis, client, folder, generator, names) for names in (INSTANCES, INSTANCES // 10)]
        store = client.info("server")

    about = machine.machine(PACKAGES)
    about["versions"]["valkey" if "valkey_version" in store else "redis-server"] = (
        store.get("valkey_version") or store["redis_version"]
    )
    machine.show(about)
    print(f"medians of {options.rounds} interleaved rounds; times in µs\n")
    results: list[dict[str, Any]] = []
    rows = []
    for kind, (_, _, named) in KINDS.items():
        for name in (REGISTRY, BARE):
            each = rounds[kind, name]
            medians = {figure: round(statistics.median(one[figure] for one in each)) for figure in each[0]}
            rounded = [{figure: round(value, 1) for figure, value in one.items()} for one in each]
            results.append({"kind": kind, "server": name, **medians, "rounds": rounded})
            rows.append([f"{kind}: {name}", *medians.values(), named if name == REGISTRY else ""])
    machine.table(["request: server", "per s", "its CPU", "CPU of Redis", "p50", "p99", "the first registry's"], rows)
    print()
    machine.table(
        [f"{INSTANCES} instances", *("" for _ in sizes)],
        [[figure, *(each[figure] for each in sizes)] for figure in sizes[0]],
    )
    print()
    goals = judged(rounds, seen, hit, sizes)
    machine.write(
        "registry",
        about,
        rounds=options.rounds,
        size=options.size,
        goals=goals,
        results=results,
        seen_ms={"p50": statistics.median(seen), "p99": seen[int(_WRITES * 0.99)]},
        hits_us=hit,
        instances=INSTANCES,
        sizes=sizes,
    )


if __name__ == "__main__":
    main()
