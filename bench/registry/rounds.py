"""Each kind of request in turn to the registry and to the bare program, over one Redis."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from redis import Redis

from bench.load import Load
from bench.registry import sample
from bench.serving import Served, started
from tests.support.redis_servers import RedisServer

REGISTRY, BARE = "registry", "bare"
UNSEEN = "GET of a name not in memory"
API = "/api/v1/services"
#: Names that every registry here has in memory.
KNOWN = [f"known-{number}" for number in range(1_000)]

#: Kind of request: how many in a round of size 1, connections, and requests/s that the first registry named as its own.
KINDS: dict[str, tuple[int, int, str]] = {
    "cached GET": (8_000, 50, "10 000"),
    "cached GET, 1 connection": (1_500, 1, ""),
    UNSEEN: (3_000, 50, "1 000 to 2 000"),
    "register": (2_000, 50, ""),
    "90 % reads": (4_000, 50, "5 000"),
    "heartbeat": (4_000, 50, ""),
}
Requests = list[tuple[str, str, str]]


def requests(kind: str, number: int, count: int) -> tuple[Requests, Requests]:
    """What the registry and the bare program are asked in round `number`; some kinds need new names in each."""
    if kind.startswith("cached GET"):
        return [("GET", f"{API}/{name}", "") for name in KNOWN[:100]], [("GET", "/hello", "")]
    if kind == UNSEEN:
        names = unseen(number, count)
        return [("GET", f"{API}/{name}", "") for name in names], [("GET", f"/{name}", "") for name in names]
    if kind == "heartbeat":
        beats = [("POST", f"{API}/{name}/heartbeat", "") for name in KNOWN]
        return beats, [("POST", f"/{name}/beat", "") for name in KNOWN]
    word = kind.split()[0]
    mine: Requests = []
    its: Requests = []
    for place in range(count):
        name = f"{word}-{number}-{place}"
        if kind == "register" or place % 10 == 0:
            mine.append(("POST", f"{API}/register", sample.body(name)))
            its.append(("POST", f"/{name}", sample.body(name)))
        else:
            known = KNOWN[place % len(KNOWN)]
            mine.append(("GET", f"{API}/{known}", ""))
            its.append(("GET", f"/{known}", ""))
    return mine, its


def unseen(number: int, count: int) -> list[str]:
    """Names that Redis has and no registry has read yet."""
    return [f"unseen-{number}-{place}" for place in range(count)]


def measured(
    served: Served, client: Redis, generator: Load, asked: Requests, count: int, connections: int
) -> dict[str, float]:
    """One round. Raises RuntimeError where a request did not succeed."""
    before, redis_before = served.cpu(), redis_cpu(client)
    came = generator.round(url=served.url, requests=asked, connections=connections, count=count)
    cpu, redis = served.cpu() - before, redis_cpu(client) - redis_before
    if not came["statuses"].keys() <= {"200", "201"}:
        raise RuntimeError(f"not every request succeeded: {came['statuses']}")
    return {
        "per_s": came["done"] / came["seconds"],
        "cpu_us": cpu / came["done"] * 1e6,
        "redis_cpu_us": redis / came["done"] * 1e6,
        "p50_us": came["p50_us"],
        "p99_us": came["p99_us"],
    }


def redis_cpu(client: Redis) -> float:
    """Seconds of CPU that Redis has used so far."""
    used = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


Rounds = dict[tuple[str, str], list[dict[str, float]]]


def side_by_side(redis: RedisServer, client: Redis, folder: Path, generator: Load, rounds: int, size: float) -> Rounds:
    """Every kind in every round, after a round that does not count."""
    found: Rounds = {}
    with (
        registry(redis, folder) as mine,
        started([sys.executable, "-m", "bench.registry.bare", redis.url], folder) as its,
    ):
        known: Requests = [("POST", f"/{name}", sample.body(name)) for name in KNOWN]
        measured(its, client, generator, known, len(known), 50)
        for number in range(rounds + 1):
            for kind, (whole, connections, _) in KINDS.items():
                count = max(200, round(whole * size))
                if kind == UNSEEN:
                    sample.fill(client, unseen(number, count))
                pairs = list(zip((REGISTRY, BARE), (mine, its), requests(kind, number, count), strict=True))
                # Each is first in its turn.
                for name, served, asked in pairs[:: -1 if number % 2 else 1]:
                    figures = measured(served, client, generator, asked, count, connections)
                    if number:
                        found.setdefault((kind, name), []).append(figures)
    return found


def registry(redis: RedisServer, folder: Path) -> AbstractContextManager[Served]:
    """A registry over this Redis, serving, within the `with` block."""
    return started([sys.executable, "-m", "bench.registry.served", redis.url], folder)
