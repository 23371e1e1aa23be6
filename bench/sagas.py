"""A durable saga of three steps: the runner beside a program written for the one job, against a fast target.

    python -m bench.sagas [--seconds 1.2] [--rounds 7]

Three servers, each a process: the runner (`saga run`, SQLite with full sync); **a**, a bare ASGI program on the same
server with the same client and the same appends (`bench.bare`); **b**, the same program with nothing journaled. The
load is a fourth process, the target a fifth. Rounds are interleaved, and what is compared is compared within a round;
medians of rounds count. CPU is that of the server's process with all of its threads.

A server that is asked more often finds more to do each time that it wakes, and wakes others less: the same work costs
it less. So a is also asked at the runner's own rate of the same round; what the runner costs above that is what its
engine costs.
"""

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import machine, sample
from bench.load import load
from bench.serving import Served, prepare, runner, started
from bench.target import target

RUNNER, BARE, UNJOURNALED = "runner", "a: bare, journaled", "b: bare, no journal"
PACED = "a at the runner's rate"
PACKAGES = ("uvicorn", "uvloop", "httptools", "msgspec")
CONNECTIONS = (50, 1)


def measured(
    served: Served, generator: Any, connections: int, seconds: float, rate: float | None = None
) -> dict[str, float]:
    """One round of one server, as fast as it can, or at `rate` sagas/s. Raises RuntimeError where not all were 200."""
    asked = {
        "url": served.url,
        "path": sample.PATH,
        "connections": connections,
        "body": sample.BODY.decode(),
        "headers": {"content-type": "application/json"},
        "pace": 0 if rate is None else connections / rate,
    }
    generator.round(**asked, seconds=seconds / 6)
    before = served.cpu()
    came = generator.round(**asked, seconds=seconds)
    cpu = served.cpu() - before
    if came["statuses"] != {"200": came["done"]}:
        raise RuntimeError(f"not every saga completed: {came['statuses']}")
    return {
        "sagas_per_s": came["done"] / came["seconds"],
        "cpu_us": cpu / came["done"] * 1e6,
        "p50_us": came["p50_us"],
        "p99_us": came["p99_us"],
    }


def main() -> None:
    """Measure, print a table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.2, help="length of one round of one server")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()

    rounds: dict[tuple[str, int], list[dict[str, float]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(target())
        prepare(folder, {sample.NAME: sample.DEFINITION}, sample.settings(url))
        bare = [sys.executable, "-m", "bench.bare", url]
        servers = {
            RUNNER: stack.enter_context(runner(folder)),
            BARE: stack.enter_context(started([*bare, str(folder / "bare.db")], folder)),
            UNJOURNALED: stack.enter_context(started(bare, folder)),
        }
        generator = stack.enter_context(load())
        names = list(servers)
        for number in range(options.rounds):
            for connections in CONNECTIONS:
                # Each is first, second and last in its turn.
                for name in names[number % 3 :] + names[: number % 3]:
                    figures = measured(servers[name], generator, connections, options.seconds)
                    rounds.setdefault((name, connections), []).append(figures)
            rate = rounds[RUNNER, 50][-1]["sagas_per_s"]
            figures = measured(servers[BARE], generator, 50, options.seconds, rate)
            rounds.setdefault((PACED, 50), []).append(figures)

    def median(name: str, connections: int, figure: str) -> float:
        return statistics.median(one[figure] for one in rounds[name, connections])

    def against(connections: int, figure: str, other: str = BARE) -> list[tuple[float, float]]:
        """The runner's figure and that of a, round by round."""
        pairs = zip(rounds[RUNNER, connections], rounds[other, connections], strict=True)
        return [(mine[figure], its[figure]) for mine, its in pairs]

    about = machine.machine(PACKAGES)
    machine.show(about)
    print(f"medians of {options.rounds} interleaved rounds of {options.seconds} s; times in µs\n")
    headings = ["server"]
    for connections in CONNECTIONS:
        headings += [f"c{connections} sagas/s", "CPU a saga", "p50", "p99"]
    rows = []
    for name in servers:
        row: list[object] = [name]
        for connections in CONNECTIONS:
            row += [round(median(name, connections, f)) for f in ("sagas_per_s", "cpu_us", "p50_us", "p99_us")]
        rows.append(row)
    machine.table(headings, rows)
    print()
    extra = round(statistics.median(mine - other for mine, other in against(50, "cpu_us")), 1)
    engine = round(statistics.median(mine - other for mine, other in against(50, "cpu_us", PACED)), 1)
    share = round(statistics.median(mine / other for mine, other in against(50, "sagas_per_s")), 2)
    slower = round(statistics.median(mine / other for mine, other in against(1, "p50_us")), 2)
    goals = [
        machine.goal("CPU above a, µs a saga at 50 connections", extra, most=100),
        machine.goal("CPU above a that is asked at the same rate, µs a saga", engine, most=100),
        machine.goal("sagas/s as a share of a at 50 connections", share, least=0.65),
        machine.goal("p50 as a multiple of a at 1 connection", slower, most=1.5),
        machine.goal("sagas/s on one worker", round(median(RUNNER, 50, "sagas_per_s")), least=2_000),
    ]
    results = [
        {
            "server": name,
            "connections": connections,
            **{figure: round(median(name, connections, figure), 1) for figure in figures[0]},
            "rounds": [{figure: round(value, 1) for figure, value in one.items()} for one in figures],
        }
        for (name, connections), figures in rounds.items()
    ]
    machine.write("sagas", about, rounds=options.rounds, seconds=options.seconds, goals=goals, results=results)


if __name__ == "__main__":
    main()
