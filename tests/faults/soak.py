"""A soak: customers who order at a steady pace and insist, a runner that is killed again and again, failing services.

Each order is a run of its own, followed until it has ended or is parked; how it ended is taken from the runner's own
answers while the journal keeps it, and judged at the end by what the services have in force.
"""

import contextlib
import itertools
import sqlite3
import statistics
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from tests.faults.world import ENDS, MIX, Customers, Shop, Wish, start, twice
from tests.support.processes import Server, eventually

#: Seconds between two kills; the start is part of them, but so long it lives at least where that takes long.
EVERY: Final = 5.0
SHORTEST: Final = 1.0
#: Customers, and orders that all of them place in a second at most.
CUSTOMERS: Final = 40
PACE: Final = 16.0
#: Seconds after which who had no answer asks again, and after which the list of runs is read again.
AGAIN: Final = 0.25
LISTED_EVERY: Final = 2.0
#: Seconds in which all runs end or are parked once services are well.
ENDED_WITHIN: Final = 120.0
#: What they order: all but a pivot that a 409 can never settle, which is asked for as long as its policy says.
ORDERS: Final = tuple(wish for wish in MIX if not wish.held)
#: Reasons of parking that an operator answers with `resume`; all others with `retry`.
RESUMED: Final = frozenset({"poison", "definition-missing", "journal-invalid", "runner-fault"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The runner and its journal at one moment."""

    #: Seconds since the soak began.
    at: float
    #: MiB that are resident.
    resident: float
    #: Pages of the journal's file that hold something, and pages that it has.
    used: int
    pages: int
    #: Runs in the journal.
    runs: int


@dataclass(slots=True, kw_only=True)
class Soak:
    """What goes on, and what was seen of it."""

    server: Server
    services: Shop
    environment: dict[str, str]
    began: float = field(default_factory=time.monotonic)
    #: No more orders.
    closed: threading.Event = field(default_factory=threading.Event)
    #: Nobody is there any more.
    empty: threading.Event = field(default_factory=threading.Event)
    #: By run id: what was ordered, and how the run was last seen.
    wishes: dict[str, Wish] = field(default_factory=dict)
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Rows of the runs that nobody ordered: what follows other runs.
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Numbers of orders; one at a time takes the next.
    numbers: Iterator[int] = field(default_factory=itertools.count)
    taking: threading.Lock = field(default_factory=threading.Lock)
    #: What is wrong, in sentences.
    wrong: list[str] = field(default_factory=list)
    kills: int = 0
    parked: int = 0
    recoveries: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    # ------------------------------------------------------------------ who is there

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Customers come and go while the block lasts; at its end each waits for what it has ordered."""
        with ThreadPoolExecutor(CUSTOMERS + 1) as pool:
            watching = pool.submit(self._watch)
            present = [pool.submit(self._customer) for _ in range(CUSTOMERS)]
            try:
                yield
                self.closed.set()
                for customer in present:
                    customer.result(ENDED_WITHIN)
            finally:
                self.closed.set()
                self.empty.set()
            watching.result()

    def _customer(self) -> None:
        while not self.closed.is_set():
            with self.taking:
                number = next(self.numbers)
                # In step with the pace, and not to catch up: what a busy machine has missed is not ordered.
                if self.closed.wait(1 / PACE):
                    return
            wish = ORDERS[number % len(ORDERS)]
            customers = Customers(self.server, f"soak{number}", [wish])
            while not customers.ask(wish, False):
                self._pause()
            told = customers.told[wish.name]
            if len(told) != 1 or any(run in self.wishes for run in told):
                self.wrong.append(f"{wish.name} {number} was told of other runs than one of its own: {told}")
            for run in told:
                self.wishes[run] = wish
                self.seen[run] = self._settled(run)

    def _pause(self) -> None:
        """Before asking again."""
        assert not self.empty.wait(AGAIN), "the soak ended before there was an answer"

    def _settled(self, run: str) -> dict[str, Any]:
        """The run once it has ended or is parked."""
        while True:
            whole = self._look(run)
            if whole is not None and whole["status"] in ENDS | {"parked"}:
                return whole
            self._pause()

    def _look(self, run: str) -> dict[str, Any] | None:
        """The run as it stands; None where nobody answers."""
        with contextlib.suppress(OSError, HTTPException):
            answer = self.server.ask("GET", f"/api/v1/runs/{run}")
            assert answer.status in (200, 503), f"{run} was accepted and is lost: {answer}"
            if answer.status == 200:
                return dict(answer.json)
        return None

    def _watch(self) -> None:
        while not self.empty.wait(LISTED_EVERY):
            with contextlib.suppress(OSError, HTTPException):
                self.listed()

    def listed(self) -> Sequence[dict[str, Any]]:
        """All runs of the journal; those that nobody ordered are remembered."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.server.ask("GET", f"/api/v1/runs?limit=1000{cursor}")
            if page.status == 503:
                return rows
            assert page.status == 200, page
            rows += page.json["runs"]
            if page.json["next"] is None:
                break
            cursor = f"&cursor={page.json['next']}"
        self.others |= {row["id"]: row for row in rows if row["saga"] in ("on-placed", "note-failure")}
        return rows

    # ------------------------------------------------------------------ what is done to it

    def kill_for(self, seconds: float, least: int) -> None:
        """A kill every five seconds for so long, and, up to as long again, until so many orders were placed."""
        killed = time.monotonic()
        end = killed + seconds
        while killed < end or (len(self.wishes) < least and killed < end + seconds):
            self._live_for(max(SHORTEST, killed + EVERY - time.monotonic()))
            self.sample()
            self.server.kill()
            self.kills += 1
            killed = time.monotonic()
            assert start(self.server, **self.environment), self.server.said[-3_000:]
            self.recoveries.append(time.monotonic() - killed)

    def spare_for(self, seconds: float) -> None:
        """No kill for so long, and services that are well."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._live_for(seconds / 20)
            self.sample()

    def _live_for(self, seconds: float) -> None:
        """It lives for so long: it never ends by itself."""
        assert self.server.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.server.process.wait(seconds)
            raise AssertionError(f"the runner ended by itself:\n{self.server.said[-3_000:]}")

    def sample(self) -> None:
        assert self.server.process is not None
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        (resident,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        journal = self.server.folder / "journal.db"
        # Only reading: who may write would fold the log into the file when it closes.
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=30)) as db:
            pages, free, runs = (
                db.execute(query).fetchone()[0]
                for query in ("PRAGMA page_count", "PRAGMA freelist_count", "SELECT count(*) FROM runs")
            )
        at = time.monotonic() - self.began
        self.samples.append(Sample(at=at, resident=resident / 1024, used=pages - free, pages=pages, runs=runs))

    def mend_what_is_parked(self) -> None:
        """An operator has every parked run go on, now that the services are well, and it ends."""
        left = [run for run, whole in self.seen.items() if whole["status"] == "parked"]
        self.parked = len(left)
        for run in left:
            whole = self.seen[run]
            if not whole["reason"]:
                self.wrong.append(f"parked without a reason: {whole}")
            action = "resume" if whole["reason"] in RESUMED else "retry"
            answer = self.server.post(f"/api/v1/runs/{run}/{action}", {})
            assert answer.status == 202, (whole, answer)
        for run in left:
            self.seen[run] = self.server.run_when(run, *ENDS)

    # ------------------------------------------------------------------ what came of it

    def judge(self) -> None:
        """Fill `wrong`, by the services' database and by how each run was seen to end."""
        found: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        for run, service, kind in self.services.select("SELECT run, service, kind FROM effects"):
            found[run][service, kind] += 1
        for run, wish in self.wishes.items():
            said = wrong_with(wish, self.seen[run], found[run])
            if said:
                self.wrong.append(f"{wish.name} {said}; in force is {dict(found[run])}: {self.seen[run]}")
        self.wrong += twice(self.services, 0)
        asked = {run for (run,) in self.services.select("SELECT DISTINCT run FROM requests")}
        if strangers := asked - set(self.wishes):
            self.wrong.append(f"requests of runs that nobody ordered: {strangers}")
        with contextlib.suppress(AssertionError):  # what is open then is told below
            eventually(lambda: all(row["status"] in ENDS for row in self.listed()))
        rows = self.listed()
        if strangers := {row["id"] for row in rows} - set(self.wishes) - set(self.others):
            self.wrong.append(f"runs that nobody ordered: {strangers}")
        self.wrong += [f"left open: {row}" for row in rows if row["status"] not in ENDS]
        self._followed({"place-order", "meet"}, {"completed"}, "on-placed")
        self._followed({"on-fail"}, ENDS - {"completed"}, "note-failure")

    def _followed(self, causes: set[str], ended: Container[str], effect: str) -> None:
        wanted = Counter(
            run["labels"]["orderId"] for run in self.seen.values() if run["saga"] in causes and run["status"] in ended
        )
        came = Counter(row["labels"]["orderId"] for row in self.others.values() if row["saga"] == effect)
        if wanted != came:
            self.wrong.append(f"{effect}: missing {wanted - came}, too many {came - wanted}")

    def flat(self, what: str, since: float, until: float, most: float) -> None:
        """Of samples between those times the last quarter is no more than `most` times what the middle is."""
        middle, last = course([getattr(one, what) for one in self.samples if since <= one.at < until])
        print(f"{what} from {since:.0f} s to {until:.0f} s: middle {middle:.0f}, end {last:.0f}")
        if last > middle * most:
            self.wrong.append(f"{what} grows from {middle:.0f} to {last:.0f} between {since:.0f} s and {until:.0f} s")

    def figures(self) -> str:
        """What happened, for people."""
        ((requests, resent, applied),) = self.services.select(
            "SELECT count(*), count(*) - count(DISTINCT service || key), sum(effect = 'applied') "
            "FROM requests WHERE key <> ''"
        )
        ends = Counter(whole["status"] for whole in self.seen.values())
        sagas = Counter(f"{whole['saga']} {whole['status']}" for whole in self.seen.values())
        left = sum(bool(whole["leftovers"]) for whole in self.seen.values())
        lines = [
            f"{len(self.wishes)} runs ordered and {len(self.others)} that followed, {self.kills} kills",
            f"ends: {dict(ends)}; with leftovers: {left}; parked until an operator came: {self.parked}",
            f"sagas: {dict(sorted(sagas.items()))}",
            f"{requests} requests with a key taken by the services, {resent} of them resent; {applied} effects applied",
            f"from a kill to ready: {statistics.median(self.recoveries):.2f} s, at most {max(self.recoveries):.2f} s",
            "at s, resident MiB, pages used, pages, runs in the journal:",
        ]
        step = max(1, len(self.samples) // 24)
        lines += [
            f"{one.at:6.0f} {one.resident:7.1f} {one.used:7} {one.pages:7} {one.runs:6}" for one in self.samples[::step]
        ]
        return "\n".join(lines)


def course(values: Sequence[float]) -> tuple[float, float]:
    """What is usual in the middle half, and what in the last quarter."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[quarter : 3 * quarter]), statistics.median(values[-quarter:])


def wrong_with(wish: Wish, run: dict[str, Any], found: Counter[tuple[str, str]]) -> str:
    """What does not fit together: what was ordered, how the run ended, what is in force."""
    status, listed = run["status"], len(run["leftovers"])
    if status == "completed":
        if wish.effects - found:
            return f"is completed, and not all is in force of {dict(wish.effects)}"
        return "is completed, and too much is in force" if (found - wish.effects).total() > listed else ""
    if status == "compensated":
        return "is compensated" if found else ""
    if status in ENDS:
        return f"is {status}, and not all is listed" if found.total() > listed else ""
    return f"is {status}"
