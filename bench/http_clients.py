"""What one outgoing HTTP call costs: our plain client, aiohttp and pyreqwest against the same fast target.

    python -m bench.http_clients [--seconds 0.7] [--rounds 5]

Each client makes the same POST of a small JSON, 50 at a time and one after the other. The rounds of all
clients are interleaved, so that a slow minute of the machine hits all alike; the median counts. CPU is that
of this process per call (the target is another process, written in C, compiled with gcc or cc). Takes less
than a minute.
"""

import argparse
import asyncio
import contextlib
import resource
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import uvloop

from bench import machine
from bench.target import target
from registry.base.networks import Networks
from runner.adapters.streams.http import HttpSink
from runner.adapters.streams.http.plain import PlainClient
from runner.adapters.streams.http.wire import outgoing
from runner.saga.exchange import Answer, Request

PACKAGES = ("uvloop", "httptools", "aiohttp", "pyreqwest", "msgspec")
BODY = b'{"id":"run-1.charge","amount":"12.50","currency":"EUR"}'
EXTRA = (
    ("authorization", "Bearer 0123456789abcdef"),
    ("x-saga-run", "run-1"),
    ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"),
)
HEADERS = {
    "accept": "application/json, */*;q=0.5",
    "content-type": "application/json",
    "idempotency-key": "run-1.charge",
    **dict(EXTRA),
}
Call: TypeAlias = Callable[[], Awaitable[bool]]


def a_request() -> Request:
    """What a step would send."""
    return Request(
        service="payment", url="", method="POST", target="/charges", headers=(), body=BODY, key="run-1.charge"
    )


@contextlib.asynccontextmanager
async def sink(url: str) -> AsyncIterator[Call]:
    """The whole port: rendering, gate, plain client."""
    http = HttpSink()
    request = a_request()

    async def call() -> bool:
        got = await http.send(request, base_url=url, extra_headers=EXTRA, timeout=10)
        return isinstance(got, Answer) and got.status == 200

    yield call
    await http.close()


@contextlib.asynccontextmanager
async def plain(url: str) -> AsyncIterator[Call]:
    """The plain client alone, the request rendered beforehand."""
    client = PlainClient(
        Networks(), max_connections=200, max_response_bytes=1_048_576, connect_seconds=5, idle_seconds=4
    )
    rendered = outgoing(
        a_request(), base_url=url, extra_headers=EXTRA, deadline=asyncio.get_running_loop().time() + 600
    )

    async def call() -> bool:
        got = await client.exchange(rendered)
        return isinstance(got, Answer) and got.status == 200

    yield call
    await client.close()


@contextlib.asynccontextmanager
async def with_aiohttp(url: str) -> AsyncIterator[Call]:
    """aiohttp as its documentation shows it, tuned: no cookies, no decoding, no limit."""
    import aiohttp
    from yarl import URL

    where = URL(f"{url}/charges")
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=10),
    ) as session:

        async def call() -> bool:
            async with session.post(where, data=BODY, headers=HEADERS) as response:
                await response.read()
                return response.status == 200

        yield call


@contextlib.asynccontextmanager
async def with_pyreqwest(url: str) -> AsyncIterator[Call]:
    """pyreqwest, a client in Rust, on one thread of its own. Raises ImportError where it is not installed."""
    from datetime import timedelta

    from pyreqwest.client import ClientBuilder  # type: ignore[import-not-found]  # only where it is installed

    async with ClientBuilder().timeout(timedelta(seconds=10)).build() as client:

        async def call() -> bool:
            response = await client.post(f"{url}/charges").headers(HEADERS).body_bytes(BODY).build().send()
            await response.bytes()
            return bool(response.status == 200)

        yield call


CLIENTS: dict[str, Any] = {
    "HttpSink (the port)": sink,
    "plain client alone": plain,
    "aiohttp": with_aiohttp,
    "pyreqwest": with_pyreqwest,
}


def cpu_seconds() -> float:
    """CPU time of this process, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(call: Call, concurrency: int, seconds: float) -> tuple[float, float]:
    """CPU µs a call, and calls a second, over `seconds` after a short warm-up."""
    done = 0

    async def worker(until: float) -> None:
        nonlocal done
        while time.perf_counter() < until:
            if not await call():
                raise RuntimeError("the target did not answer 200")
            done += 1

    async def all_workers(length: float) -> None:
        until = time.perf_counter() + length
        await asyncio.gather(*(worker(until) for _ in range(concurrency)))

    await all_workers(seconds / 5)
    done = 0
    cpu, began = cpu_seconds(), time.perf_counter()
    await all_workers(seconds)
    return (cpu_seconds() - cpu) / done * 1e6, done / (time.perf_counter() - began)


async def one(client: Any, url: str, concurrency: int, seconds: float) -> tuple[float, float]:
    """One round of one client, on connections of its own."""
    async with client(url) as call:
        return await measure(call, concurrency, seconds)


def main() -> None:
    """Measure, print a table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.7, help="length of one round of one client")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    left_out = {} if machine.version("pyreqwest") else {"pyreqwest": "not installed (pip install pyreqwest)"}
    clients = {name: client for name, client in CLIENTS.items() if name not in left_out}
    rounds: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with target() as url:
        for _ in range(options.rounds):
            for concurrency in (50, 1):
                for name, client in clients.items():
                    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
                        figures = loop.run(one(client, url, concurrency, options.seconds))
                    rounds.setdefault((name, concurrency), []).append(figures)

    about = machine.machine(PACKAGES)
    machine.show(about)
    print(f"medians of {options.rounds} interleaved rounds of {options.seconds} s\n")
    print(f"{'client':<22}{'CPU µs c50':>12}{'calls/s c50':>13}{'CPU µs c1':>12}{'calls/s c1':>13}")
    results = []
    for name in clients:
        row: dict[str, Any] = {"client": name}
        for concurrency in (50, 1):
            cpu, rate = zip(*rounds[name, concurrency], strict=True)
            row[f"c{concurrency}"] = {
                "cpu_us": round(statistics.median(cpu), 1),
                "cpu_us_rounds": [round(value, 1) for value in cpu],
                "calls_per_s": round(statistics.median(rate)),
            }
        results.append(row)
        print(
            f"{name:<22}{row['c50']['cpu_us']:>12}{row['c50']['calls_per_s']:>13}"
            f"{row['c1']['cpu_us']:>12}{row['c1']['calls_per_s']:>13}"
        )
    for name, reason in left_out.items():
        print(f"{name:<22}{reason:>12}")
    machine.write("http_clients", about, rounds=options.rounds, results=results, left_out=left_out)


if __name__ == "__main__":
    main()
