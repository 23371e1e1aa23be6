"""The load, in a process of its own: each line of JSON on its standard input is a round, answered by a line.

A round: `{"url", "path", "connections", "seconds" | "count", "pace", "body", "headers"}`. Each connection sends the
next POST when the last was answered (`pace`: not before so many seconds after it). In place of `path` and `body` it may
have `requests`, a list of `[method, path, body]` that are sent in turn. The answer: `done`, `seconds`, `statuses`, and
latencies in microseconds. It uses the project's plain client, which costs the machine least.
"""

import asyncio
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import uvloop

from bench.machine import ROOT
from registry.base.networks import Networks
from runner.adapters.streams.http.plain import PlainClient
from runner.adapters.streams.http.wire import Outgoing, outgoing
from runner.saga.exchange import Answer, Request


class Load:
    """The parent's end."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def begin(self, **round_: Any) -> None:
        """Start a round; `end` gives its figures."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(round_) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Wait for the round. Raises RuntimeError where the load failed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load ended before its round did; see above")
        return dict(json.loads(line))

    def round(self, **round_: Any) -> dict[str, Any]:
        """One round, begun and ended."""
        self.begin(**round_)
        return self.end()


@contextlib.contextmanager
def load() -> Iterator[Load]:
    """A load process."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Load(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _calls(asked: dict[str, Any]) -> list[Outgoing]:
    """What a round sends, ready to be written."""
    deadline = asyncio.get_running_loop().time() + 3600
    headers = tuple(asked.get("headers", {}).items())
    calls = []
    for method, path, body in asked.get("requests") or [("POST", asked["path"], asked["body"])]:
        request = Request(
            service="",
            url=asked["url"] + path,
            method=method,
            target="",
            headers=headers,
            body=body.encode() if body else None,
            key="",
        )
        call = outgoing(request, base_url="", extra_headers=(), deadline=deadline)
        # A key of its own for each would be a run found again; without one each request is a new run.
        call.headers[:] = [pair for pair in call.headers if pair[0].lower() != "idempotency-key"]
        calls.append(call)
    return calls


async def one_round(asked: dict[str, Any]) -> dict[str, Any]:
    """Perform a round."""
    connections = int(asked["connections"])
    client = PlainClient(
        Networks(),
        max_connections=connections + 8,
        max_response_bytes=1_048_576,
        connect_seconds=5,
        idle_seconds=60,
    )
    calls = itertools.cycle(_calls(asked))
    until = time.perf_counter() + asked.get("seconds", 3600)
    left = int(asked.get("count", 1 << 60))
    pace = float(asked.get("pace", 0))
    latencies: list[float] = []
    statuses: Counter[str] = Counter()

    async def one_connection() -> None:
        nonlocal left
        while left > 0 and time.perf_counter() < until:
            left -= 1
            call = next(calls)
            began = time.perf_counter()
            came = await client.exchange(call)
            took = time.perf_counter() - began
            latencies.append(took)
            statuses[str(came.status) if isinstance(came, Answer) else came.kind] += 1
            if pace > took:
                await asyncio.sleep(pace - took)

    began = time.perf_counter()
    await asyncio.gather(*(one_connection() for _ in range(connections)))
    seconds = time.perf_counter() - began
    await client.close()
    latencies.sort()
    return {
        "done": len(latencies),
        "seconds": seconds,
        "statuses": dict(statuses),
        "p50_us": round(statistics.median(latencies) * 1e6),
        "p99_us": round(latencies[int(len(latencies) * 0.99)] * 1e6),
        "max_us": round(latencies[-1] * 1e6),
    }


def main() -> None:
    """Rounds until the input ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        for line in sys.stdin:
            print(json.dumps(loop.run(one_round(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
