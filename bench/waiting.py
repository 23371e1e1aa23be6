"""Runs that wait, and runs that a crash left open: what they cost, and how fast a restarted runner has them again.

    python -m bench.waiting [--runs 20000]

1. Runs that wait for a signal: memory of the process that started them, at 1 000 and at all of them, and of a runner
   that is restarted beside them.
2. Runs that are open, their first call under way to a service that does not answer: memory of each in the engine.
3. Their process is killed (SIGKILL); the service answers from now on, and a runner is started. How long until it
   has every open run in its hands, until all of them are done, and how requests fare meanwhile: a light, paced stream
   of short sagas, over its own connections, from the moment the runner serves. It is compared with the same stream
   after the recovery.

Memory is anonymous memory, without the pages of the journal's file that are mapped in. Takes about two minutes.
"""

import argparse
import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

from bench import machine, sample
from bench.load import Load, load
from bench.serving import Served, memory, prepare, runner
from bench.target import target
from registry.base.clock import SystemClock
from runner.adapters.stores.sqlite import SqliteJournals
from runner.saga.exchange import Exchange, Request

PACKAGES = ("uvicorn", "uvloop", "httptools", "msgspec")
FIRST = 1_000
#: Seconds that a recovery may take before the measurement gives up on it.
PATIENCE = 100.0
_WAITS = """\
path: /waits
methods: [POST]
respond: accepted
timeout: 7d
steps:
  - name: decision
    listen: {signal: approval}
"""
_OPEN = """\
path: /open
methods: [POST]
respond: accepted
steps:
  - name: order
    call: {service: slow, path: /orders, body: {id: "${ steps.order.key }"}}
    timeout: 10m
    compensate: none
"""
_LIGHT = """\
path: /light
methods: [POST]
steps:
  - name: ask
    call: {service: stock, path: /reservations, body: {sku: "${ input.sku }"}}
    compensate: none
"""
DEFINITIONS = {"waits.yaml": _WAITS, "open.yaml": _OPEN, "light.yaml": _LIGHT}


def settings(fast: str) -> dict[str, Any]:
    """A runner as it comes, a thousand runs at once, whose services are all at that URL."""
    whole = sample.settings(fast)
    whole["services"]["slow"] = {"url": fast}
    return whole


def asked(served: Served, path: str, **more: Any) -> dict[str, Any]:
    """A round of the load, to one path."""
    return {
        "url": served.url,
        "path": path,
        "connections": 50,
        "body": sample.BODY.decode(),
        "headers": {"content-type": "application/json"},
        **more,
    }


def light(served: Served, seconds: float) -> dict[str, Any]:
    """The light stream: 100 requests a second in all."""
    return asked(served, "/light", connections=5, pace=0.05, seconds=seconds)


class Journal:
    """The runner's journal, asked from outside while the runner writes it."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    def owners(self) -> dict[str, int]:
        """Incarnation to the number of runs that it has in its hands."""
        return dict(
            self._connection.execute("SELECT owner, count(*) FROM runs WHERE owner <> '' GROUP BY owner").fetchall()
        )

    def left(self, saga: str) -> int:
        """Runs of a saga that have not ended."""
        found = self._connection.execute("SELECT count(*) FROM runs WHERE saga = ? AND ended_at IS NULL", (saga,))
        return int(found.fetchone()[0])


def started(generator: Load, served: Served, path: str, count: int) -> None:
    """Start so many runs. Raises RuntimeError where not every one was accepted."""
    came = generator.round(**asked(served, path, count=count))
    if came["statuses"] != {"202": count}:
        raise RuntimeError(f"not every run was accepted: {came['statuses']}")


def settled(served: Served, journal: Journal, owned: int) -> int:
    """Bytes of memory, once the runner has only so many runs in its hands."""
    until = time.monotonic() + PATIENCE
    while sum(journal.owners().values()) > owned:
        if time.monotonic() > until:
            raise RuntimeError("the runs do not come to rest")
        time.sleep(0.1)
    time.sleep(0.3)  # answers that are still on their way
    return memory(served.process.pid)


def waiting(generator: Load, folder: Path, count: int) -> dict[str, Any]:
    """Memory of runs that wait, in bytes."""
    with runner(folder) as served:
        empty = memory(served.process.pid)
        journal = Journal(folder / "journal.db")
        # Whatever the first runs alone need (programs, connections, buffers, pages of the journal) is there after them.
        started(generator, served, "/waits", 500)
        generator.round(**light(served, 0.5))
        before = settled(served, journal, 0)
        started(generator, served, "/waits", FIRST)
        some = settled(served, journal, 0)
        began = time.perf_counter()
        started(generator, served, "/waits", count - FIRST)
        rate = (count - FIRST) / (time.perf_counter() - began)
        full = settled(served, journal, 0)
        journal.close()
    with runner(folder) as served:
        time.sleep(1.5)  # a look of the keeper at the store
        again = memory(served.process.pid)
    return {
        "empty_bytes": empty,
        "restarted_bytes": again,
        "first_bytes_each": round((some - before) / FIRST),
        "all_bytes_each": round((full - before) / count),
        "started_per_s": round(rate),
    }


class Silent(sample.Answering):
    """A sink whose services never answer."""

    async def send(
        self, request: Request, *, base_url: str, extra_headers: Sequence[tuple[str, str]], timeout: float
    ) -> Exchange:
        answer: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()
        return await answer


async def holding(journal: Path, count: int) -> None:
    """Open so many runs, tell the bytes of memory each takes, and hold them until the process is killed."""
    journals = SqliteJournals(journal, SystemClock(), name="shop")
    await journals.open("shop#to-be-killed")
    engine = sample.Engine(Silent(), journals, sample.catalog("open.yaml", _OPEN))
    left = count

    async def some() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await engine.order("/open", at_once=True)

    await engine.order("/open", at_once=True)
    left -= 1
    before = memory(os.getpid())
    await asyncio.gather(*(some() for _ in range(200)))
    print((memory(os.getpid()) - before) / (count - 1), flush=True)
    await asyncio.get_running_loop().create_future()


def opened(folder: Path, count: int) -> float:
    """Bytes of memory of each open run. They are opened by the runner's own engine, in a process that is killed."""
    command = [sys.executable, "-m", "bench.waiting", "--runs", str(count), "--hold", str(folder / "journal.db")]
    with subprocess.Popen(command, cwd=machine.ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        process.kill()
    return float(told)


def recovery(generator: Load, folder: Path, count: int) -> dict[str, Any]:
    """Seconds from the start of the process until it has all, and until all are done; the light stream beside it."""
    journal = Journal(folder / "journal.db")
    dead = journal.owners()
    if sum(dead.values()) != count:
        raise RuntimeError(f"{count} runs were to be open, not {dead}")
    began = time.perf_counter()
    with runner(folder) as served:
        serving = time.perf_counter() - began
        generator.begin(**light(served, 5))
        rounds = []
        had = done = 0.0
        looks = time.perf_counter() + 4.5
        while not done:
            time.sleep(0.2)
            now = time.perf_counter() - began
            if not had and not dead.keys() & journal.owners().keys():
                had = now
            if had and not journal.left("open"):
                done = now
            if now > PATIENCE:
                break
            if time.perf_counter() > looks:
                rounds.append(generator.end())
                generator.begin(**light(served, 5))
                looks += 5
        rounds.append(generator.end())
        time.sleep(1)
        quiet = generator.round(**light(served, 4))
        left = journal.left("open")
        peak = memory(served.process.pid)
    journal.close()
    return {
        "serving_s": round(serving, 2),
        "had_s": round(had or PATIENCE, 1),
        "done_s": round(done or PATIENCE, 1),
        "left": left,
        "light_during": rounds,
        "light_after": quiet,
        "bytes_after": peak,
    }


def refusals(rounds: list[dict[str, Any]]) -> float:
    """Share of the light requests that were not answered with their result."""
    done = sum(int(one["done"]) for one in rounds)
    good = sum(int(one["statuses"].get("200", 0)) for one in rounds)
    return 1 - good / done


def main() -> None:
    """Measure, print, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--hold", type=Path, metavar="JOURNAL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    count = options.runs
    if options.hold:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            loop.run(holding(options.hold, count))
        return

    with ExitStack() as stack:
        fast = stack.enter_context(target())
        generator = stack.enter_context(load())
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        first, second = place / "waiting", place / "open"
        for folder in (first, second):
            folder.mkdir()
            prepare(folder, DEFINITIONS, settings(fast))
        waits = waiting(generator, first, count)
        each = opened(second, count)
        again = recovery(generator, second, count)

    about = machine.machine(PACKAGES)
    machine.show(about)
    print(f"one pass with {count} runs\n")
    during, after = again["light_during"], again["light_after"]
    rows = [
        ["bytes of memory a waiting run, the first 1 000", waits["first_bytes_each"]],
        [f"bytes of memory a waiting run, all {count}", waits["all_bytes_each"]],
        ["bytes of memory a run that is under way", round(each)],
        ["MB of an empty runner", f"{waits['empty_bytes'] / 1e6:.1f}"],
        [f"MB of a runner restarted beside {count} waiting runs", f"{waits['restarted_bytes'] / 1e6:.1f}"],
        ["waiting runs started a second", waits["started_per_s"]],
        ["seconds until a restarted runner serves", again["serving_s"]],
        [f"seconds until it has had all {count} open runs in its hands", again["had_s"]],
        ["seconds until all of them are done", again["done_s"]],
        ["light requests during the recovery, worst p99 of 5 s, ms", max(one["p99_us"] for one in during) / 1000],
        ["light requests after it, p99, ms", after["p99_us"] / 1000],
        ["light requests during the recovery that were refused", f"{refusals(during):.1%}"],
    ]
    machine.table(["what", "measured"], rows)
    print()
    goals = [
        machine.goal("KB of memory a waiting run", round(waits["all_bytes_each"] / 1024, 2), most=8),
        machine.goal(
            "MB more in a runner restarted beside them",
            round((waits["restarted_bytes"] - waits["empty_bytes"]) / 1e6, 1),
            most=5,
        ),
        machine.goal("seconds until open runs are picked up", again["had_s"], most=30),
        machine.goal("share of light requests refused meanwhile", round(refusals(during), 3), most=0),
    ]
    machine.write("waiting", about, runs=count, goals=goals, results={**waits, "open_bytes_each": round(each), **again})


if __name__ == "__main__":
    main()
