"""A runner that may die, services that do not, the orders that customers place, and the judge of what came of it.

The judge believes the services' database, and of the runner only what it says about which runs there are and how
each ended:

- every order that was answered or accepted has exactly one run, and every run ended;
- no key changed anything twice, and nothing is in force that no run of the journal asked for;
- a completed run has its effects, each once; one that was undone has none, or lists what is left;
- what follows a run (`onFail`, a record on a stream) happened once.
"""

import contextlib
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from tests.faults import shop_process, unreliable_process
from tests.faults.definitions import definitions
from tests.support.ports import free_ports
from tests.support.processes import ROOT, Answer, Server, ask, eventually, order, prepared

#: Seconds by which a slow service is late: more than `place-order` and `timed` wait.
LATE: Final = 0.7
#: How a run may end.
ENDS: Final = frozenset({"completed", "compensated", "failed", "cancelled"})

PLACED: Final = Counter({("stock", "reservation"): 1, ("payment", "charge"): 1, ("courier", "shipment"): 1})
RESERVED: Final = Counter({("stock", "reservation"): 1})
CHARGED: Final = Counter({("payment", "charge"): 1})
NOTHING: Final[Counter[tuple[str, str]]] = Counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Something that a customer asks for."""

    name: str
    path: str
    #: What is in force where the run completed.
    effects: Counter[tuple[str, str]]
    more: Mapping[str, Any] = field(default_factory=dict)
    #: What else is sent once the run is there: a signal's name, or `$cancel`.
    then: str = ""
    #: `then` is sent only to a run that waits, so that it finds one that was given back.
    patient: bool = False
    #: Its pivot is refused with a 409, which settles nothing once an attempt's outcome is unknown.
    held: bool = False

    def body(self, place: str) -> dict[str, Any]:
        # What an order has no place for stands beside it: the sagas that take no order read it there.
        return {**order(f"{place}-{self.name}", **self.more), **self.more}


#: One of everything that a runner does differently.
MIX: Final = (
    Wish(name="good", path="/orders/place", effects=PLACED),
    Wish(name="nowhere", path="/orders/place", effects=PLACED, more={"city": "nowhere"}, held=True),
    Wish(name="broke", path="/orders/place", effects=PLACED, more={"customer": "broke"}),
    Wish(name="slow", path="/orders/place", effects=PLACED, more={"sku": "slow"}),
    Wish(name="wait", path="/orders/place-with-wait", effects=PLACED, more={"delay": "1100ms"}),
    Wish(name="short", path="/orders/place-with-wait", effects=PLACED, more={"delay": "100ms", "customer": "flaky"}),
    Wish(name="child", path="/examples/run", effects=PLACED),
    Wish(name="orphan", path="/examples/run", effects=PLACED, more={"city": "nowhere"}),
    Wish(name="fork", path="/examples/fork", effects=NOTHING, more={"sku": "tea", "city": "Paris"}),
    Wish(name="both", path="/both", effects=PLACED, more={"city": "nowhere"}),
    Wish(
        name="for",
        path="/examples/for-parallel",
        effects=Counter({("stock", "reservation"): 2}),
        more={"lines": [{"sku": "tea", "qty": 1}, {"sku": "cup", "qty": 1}]},
    ),
    Wish(
        name="sold",
        path="/examples/for-parallel",
        effects=NOTHING,
        more={"lines": [{"sku": "tea", "qty": 1}, {"sku": "sold-out", "qty": 1}]},
    ),
    Wish(name="approval", path="/examples/approval", effects=RESERVED, then="approval", patient=True),
    Wish(name="meet", path="/meet", effects=Counter({("courier", "shipment"): 1}), then="word"),
    Wish(name="cancel", path="/orders/place-with-wait", effects=PLACED, more={"delay": "1h"}, then="$cancel"),
    Wish(name="on-fail", path="/examples/on-fail", effects=NOTHING, more={"customer": "broke"}),
    Wish(name="left", path="/left", effects=PLACED, more={"city": "nowhere"}),
    Wish(
        name="instead",
        path="/instead",
        effects=Counter({("stock", "reservation"): 1, ("courier", "shipment"): 1}),
        more={"customer": "broke"},
    ),
    Wish(
        name="instead-not",
        path="/instead",
        effects=NOTHING,
        more={"customer": "broke", "address": {"city": "nowhere"}},
    ),
    Wish(
        name="timed",
        path="/timed",
        effects=Counter({("stock", "reservation"): 2, ("payment", "charge"): 1}),
        more={"sku": "slow"},
    ),
)


@dataclass(slots=True, kw_only=True)
class Shop:
    """The services, in a process of their own."""

    folder: Path
    urls: Mapping[str, str]
    process: "subprocess.Popen[bytes]"

    @property
    def database(self) -> Path:
        return self.folder / "shop.db"

    def select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database, timeout=30)) as db:
            return db.execute(query, values).fetchall()

    def mark(self) -> int:
        """Where the requests of now begin."""
        return int(self.select("SELECT coalesce(max(number), 0) FROM requests")[0][0])


@contextlib.contextmanager
def shop(folder: Path, unreliable: str = "") -> Iterator[Shop]:
    """The services, open until the block ends; failing as that seed decides, where one is given."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = free_ports(3)
    urls = {name: f"http://127.0.0.1:{port}" for name, port in zip(("stock", "payment", "courier"), ports, strict=True)}
    program, seed = (unreliable_process, [unreliable]) if unreliable else (shop_process, [])
    command = [sys.executable, "-m", program.__name__, str(folder / "shop.db"), *map(str, ports), str(LATE), *seed]
    with (folder / "shop.err").open("ab") as err:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=err)
    try:

        def open_() -> bool:
            try:
                return all(ask(url, "GET", "/health").status == 200 for url in urls.values())
            except OSError:
                return False

        eventually(open_)
        yield Shop(folder=folder, urls=urls, process=process)
    finally:
        process.kill()
        process.wait()


def runner(folder: Path, services: Shop, journal: str = "journal.db", texts: Mapping[str, str] | None = None) -> Server:
    """A runner over these services, not yet started. `texts`: its definitions, where they are not the usual ones."""
    folder.mkdir(parents=True, exist_ok=True)
    return prepared(
        folder,
        texts or definitions(),
        {
            "services": dict(services.urls),
            "streams": {"http": {"type": "http", "prefix": ""}, "placed": {"type": "inprocess"}},
            "journal": {"url": f"sqlite:{journal}"},
            "telemetry": {"logFormat": "console", "logLevel": "warn"},
        },
    )


def start(server: Server, **environment: str) -> bool:
    """Start it with these variables; whether it lived to be ready."""
    server.environment = environment
    try:
        server.start()
    except AssertionError:
        if server.process is not None and server.process.poll() is not None:
            return False
        raise
    return True


def died(server: Server, patience: float) -> bool:
    """Whether it was killed within `patience` seconds."""
    assert server.process is not None
    try:
        return server.process.wait(patience) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        return False


class Customers:
    """Everybody who wants something, all at once; each keeps asking under one key until answered."""

    def __init__(self, server: Server, place: str, mix: Sequence[Wish] = MIX) -> None:
        self.server = server
        self.place = place
        self.mix = mix
        #: Run ids by name of the wish, as answers told them.
        self.told: dict[str, set[str]] = {wish.name: set() for wish in mix}

    def key(self, wish: Wish) -> str:
        return f"{self.place}-{wish.name}"

    def once(self, *, at_once: bool = False, silent: Container[str] = ()) -> "threading.Thread":
        """Each asks once, in the background; who gets no answer gives up for now.

        `silent`: names of wishes whose run is sent nothing more for now.
        """

        def work() -> None:
            with ThreadPoolExecutor(len(self.mix)) as pool:
                list(pool.map(lambda wish: self.ask(wish, at_once, wish.name not in silent), self.mix))

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    def ask(self, wish: Wish, at_once: bool, then: bool = True) -> bool:
        """Whether it was answered: the runner has it."""
        try:
            prefer = "respond-async" if at_once or wish.then or wish.held else "wait=20"
            answer = self.server.post(wish.path, wish.body(self.place), Idempotency_Key=self.key(wish), Prefer=prefer)
            if "x-saga-run" not in answer.headers:
                assert answer.status in (429, 503), answer
                return False
            run = answer.headers["x-saga-run"]
            self.told[wish.name].add(run)
            if wish.then and then:
                return self._then(wish, run)
        except (OSError, HTTPException):
            return False
        return True

    def _then(self, wish: Wish, run: str) -> bool:
        """Whether what follows the run's start was taken; not while the journal takes nothing."""
        if wish.patient and not self._waits(run):
            return False
        if wish.then == "$cancel":
            answer = self.server.post(f"/api/v1/runs/{run}/cancel", {})
        else:
            headers = {"Idempotency_Key": self.key(wish)}
            answer = self.server.post(f"/api/v1/runs/{run}/signals/{wish.then}", {"approved": True}, **headers)
        assert answer.status in (202, 409, 429, 503), answer
        return answer.status in (202, 409)

    def _waits(self, run: str) -> bool:
        """Whether the run was seen to wait, or to be past that; not while the journal does not answer."""

        def look() -> Answer | None:
            answer = self.server.ask("GET", f"/api/v1/runs/{run}")
            return None if answer.status == 200 and answer.json["status"] == "running" else answer

        return eventually(look).status == 200

    def insist(self) -> None:
        """Each asks until it has an answer."""
        left = list(self.mix)

        def turn() -> bool:
            with ThreadPoolExecutor(len(left)) as pool:
                answered = list(pool.map(lambda wish: self.ask(wish, True), left))
            left[:] = [wish for wish, done in zip(left, answered, strict=True) if not done]
            return not left

        eventually(turn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What came of a mix."""

    #: Ways of ending, counted.
    ends: Counter[str]
    #: What is wrong, in sentences.
    wrong: list[str]


def judge(customers: Customers, services: Shop, mark: int, *, patience: float = 30.0) -> Judgement:
    """Wait for the end of all runs, then judge by the services' database what happened after `mark`."""
    server = customers.server
    wrong: list[str] = []
    held = {run for wish in customers.mix if wish.held for run in customers.told[wish.name]}

    def all_runs() -> dict[str, dict[str, Any]]:
        return {run["id"]: run for run in server.runs("?limit=1000")}

    def quiet() -> bool:
        """All ended, but for a pivot that a 409 cannot settle: that is asked for as long as its policy says."""
        return not any(open_(run) for run in all_runs().values())

    def open_(run: Mapping[str, Any]) -> bool:
        return run["status"] not in ENDS and not (run["id"] in held and _unsettled(server, run))

    with contextlib.suppress(AssertionError):  # what is open then is told below
        eventually(quiet, patience=patience)
    runs = all_runs()
    wrong += [f"left open: {server.run(run['id'])}" for run in runs.values() if open_(run)]
    wrong += twice(services, mark)
    strangers = {run for (run,) in services.select("SELECT DISTINCT run FROM requests WHERE number > ?", mark)}
    if strangers - set(runs):
        wrong.append(f"requests without a run in the journal: {strangers - set(runs)}")
    for wish in customers.mix:
        told = customers.told[wish.name]
        if len(told) != 1:
            wrong.append(f"{wish.name} was told of {len(told)} runs: {told}")
            continue
        (id_,) = told
        if id_ not in runs:
            wrong.append(f"{wish.name}: the run {id_} that was told is not there")
            continue
        wrong += _of_one(server, services, wish, runs[id_])
    wrong += _followers(customers, runs)
    return Judgement(ends=Counter(run["status"] for run in runs.values()), wrong=wrong)


def twice(services: Shop, mark: int) -> list[str]:
    """What was done twice under one key after `mark`, in sentences."""
    found = services.select(
        "SELECT service, key, count(*) FROM requests WHERE number > ? AND effect IN ('applied', 'undone') "
        "GROUP BY service, key HAVING count(*) > 1",
        mark,
    )
    return [f"{service} changed something {count} times under the key {key}" for service, key, count in found]


def _unsettled(server: Server, run: Mapping[str, Any]) -> bool:
    if run["status"] not in ("running", "waiting", "parked"):
        return False
    return any(step["name"] == "ship" and step["unknown"] for step in server.run(run["id"])["steps"])


def _of_one(server: Server, services: Shop, wish: Wish, row: Mapping[str, Any]) -> list[str]:
    found = Counter(services.select("SELECT service, kind FROM effects WHERE run = ?", row["id"]))
    status = row["status"]
    if status == "completed":
        expected = wish.effects
    elif status in ("compensated", "cancelled"):
        expected = NOTHING
    elif status == "failed":
        whole = server.run(row["id"])
        if whole["leftovers"]:
            return (
                [] if sum(found.values()) <= len(whole["leftovers"]) else [f"{wish.name}: not all is listed: {whole}"]
            )
        expected = NOTHING
    else:  # the pivot that is still asked for
        expected = PLACED - Counter({("courier", "shipment"): 1})
    return [] if found == expected else [f"{wish.name} is {status}, and in force is {found}: {server.run(row['id'])}"]


def _followers(customers: Customers, runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One `on-placed` per order that was announced, one `note-failure` per failed `on-fail`."""
    wrong = []
    for causes, ended, effect in (
        ({"place-order", "meet"}, {"completed"}, "on-placed"),
        ({"on-fail"}, ENDS - {"completed"}, "note-failure"),
    ):
        wanted = Counter(
            run["labels"]["orderId"] for run in runs.values() if run["saga"] in causes and run["status"] in ended
        )
        found = Counter(run["labels"]["orderId"] for run in runs.values() if run["saga"] == effect)
        if wanted != found:
            wrong.append(f"{effect}: wanted {wanted}, found {found}")
    return wrong
