"""The runner dies at each of its numbered kill points, is started again, and the services judge what came of it.

A point is reached in one of three lives of a runner: while customers order, while it recovers what another runner left
in the middle, or while it sweeps what ended long ago. What customers ask for leads by every point of a life, whatever
the timing. Hits are counted first, so that a process dies somewhere in the middle of its life, and not always at the
first opportunity.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from runner.engine import killpoints
from runner.engine.killpoints import POINTS, VARIABLE
from tests.faults.world import MIX, Customers, Judgement, Shop, Wish, died, judge, runner, shop, start
from tests.support.processes import PATIENCE_S, ROOT, Server, eventually

pytestmark = [pytest.mark.process, pytest.mark.fault]

#: Runners that die at the same time, each with services of its own.
AT_ONCE: Final = 3
#: Seconds in which a process comes by a point for as many times as another one did, if it does.
REACHED_WITHIN: Final = 8.0
#: Seconds in which a process that recovers them comes by a point, if it does.
TWICE_WITHIN: Final = 2.0
#: Of the points, every how many-th is the first of a pair, and by how many the second moves on.
EVERY: Final = 2
STEP: Final = 17
#: The life in which a point is interesting; all others die while customers order.
RECOVERING: Final = frozenset(
    {
        *("recover.found", "recover.adopted", "adopt.claim", "adopt.claimed", "adopt.folded", "adopt.taken-up"),
        *("programs.read", "ledger.claim"),
    }
)
SWEEPING: Final = frozenset(
    {"recover.sweep", "recover.swept", "sqlite.sweep", "ledger.sweep-run", "ledger.sweep-bundles"}
)


def life(point: str) -> str:
    """Where a runner surely comes by that point: the name of a method of `Scene`."""
    if point in SWEEPING:
        return "sweeping"
    return "recovering" if point in RECOVERING else "ordering"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A runner and its services, for one scene after the other."""

    server: Server
    services: Shop

    def scene(self, place: str) -> "Scene":
        return Scene(stage=self, place=place, mark=self.services.mark(), customers=Customers(self.server, place))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One journal, one mix of orders, one death."""

    stage: Stage
    place: str
    mark: int
    customers: Customers

    def start(self, plan: str = "", **more: str) -> bool:
        """Start with the plan; whether it lived to be ready."""
        return start(
            self.stage.server, SAGA_JOURNAL__URL=f"sqlite:{self.place}.db", **({VARIABLE: plan} if plan else {}), **more
        )

    def ordering(self, plan: str, patience: float) -> bool:
        """Die while customers order; whether it died."""
        if not self.start(plan):
            return True
        asking = self.customers.once()
        dead = died(self.stage.server, patience)
        self.stage.server.kill()
        asking.join()
        return dead

    def recovering(self, plan: str, patience: float) -> bool:
        """Leave runs in the middle, then die while they are taken up again; whether it died."""
        self.interrupted()
        dead = not self.start(plan) or died(self.stage.server, patience)
        self.stage.server.kill()
        return dead

    def sweeping(self, plan: str, patience: float) -> bool:
        """See runs to their end, then die while they are forgotten; whether it died."""
        assert self.start()
        self.customers.insist()
        wrong = self.judged().wrong
        assert not wrong, wrong
        self.stage.server.kill()
        dead = not self.start(plan, SAGA_JOURNAL__RETENTION="1ms") or died(self.stage.server, patience)
        self.stage.server.kill()
        assert self.start(SAGA_JOURNAL__RETENTION="1ms")
        eventually(lambda: all(run["endedAt"] is None for run in self.stage.server.runs("?limit=1000")))
        self.stage.server.kill()
        return dead

    def interrupted(self) -> None:
        """A runner that is killed from outside when its runs are in the middle; one of them is surely in its hands."""
        assert self.start()
        asking = self.customers.once(silent={"meet"})
        eventually(lambda: self.customers.told["meet"] and self.stage.services.mark() - self.mark > 12)
        self.stage.server.kill()
        asking.join()

    def judged(self) -> Judgement:
        return judge(self.customers, self.stage.services, self.mark)

    def ended_well(self) -> Judgement:
        """The runner starts without the plan, who had no answer asks again, and all comes to its end."""
        assert self.start(), self.stage.server.said[-3_000:]
        self.customers.insist()
        judgement = self.judged()
        self.stage.server.kill()
        return judgement


class Stages:
    """Stages in a pool, one per thread that wants one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def play(self, scenes: Mapping[str, Callable[[Scene], str]]) -> dict[str, str]:
        """What each scene came to, by its name; scenes share `AT_ONCE` stages."""
        waiting = list(scenes.items())
        outcomes: dict[str, str] = {}

        def work(number: int) -> None:
            folder = self._folder / f"stage{number}"
            with shop(folder) as services:
                stage = Stage(server=runner(folder, services), services=services)
                try:
                    while waiting:
                        name, scene = waiting.pop(0)
                        outcomes[name] = scene(stage.scene(name))
                finally:
                    if stage.server.process is not None:
                        stage.server.kill()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(work, range(AT_ONCE)))
        return outcomes


def test_every_kill_point_is_reached_somewhere_in_the_code() -> None:
    """A point that nothing calls would be a kill that never happens."""
    called: Counter[str] = Counter()
    for path in (ROOT / "runner").rglob("*.py"):
        if path.name != "killpoints.py":
            text = path.read_text()
            called.update(point for point in POINTS if f'"{point}"' in text)
    assert called == Counter(POINTS), "each in one module, once in the table"
    assert len(POINTS) >= 30


def test_a_plan_that_names_no_point_is_refused() -> None:
    for plan in ("drive.nowhere:1", "drive.append:0", "0:1", f"{len(POINTS) + 1}:1", "drive.append", "1:x"):
        with pytest.raises((ValueError, RuntimeError), match=VARIABLE):
            killpoints.arm(plan)


def test_a_runner_killed_at_any_point_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    stages = Stages(tmp_path)

    def counted(scene: Scene, kind: str) -> str:
        file = scene.stage.server.folder / f"{scene.place}.hits"
        plan = f"count:{file}"
        if kind == "recovering":
            scene.interrupted()
            assert scene.start(plan)
        else:
            assert scene.start(plan)
            scene.customers.once().join()
        scene.customers.insist()
        wrong = scene.judged().wrong
        assert not wrong, wrong
        scene.stage.server.stop()
        return file.read_text()

    kinds = ("ordering", "recovering")
    hits = {
        kind: Counter(text.split())
        for kind, text in stages.play({kind: lambda scene, kind=kind: counted(scene, kind) for kind in kinds}).items()
    }

    missed = [point for point in POINTS if life(point) != "sweeping" and not hits[life(point)][point]]
    assert not missed, "what customers ask for does not lead by them"

    def killed(scene: Scene, point: str, hit: int) -> str:
        kind = life(point)
        dead: bool = getattr(scene, kind)(f"{point}:{hit}", PATIENCE_S if hit == 1 else REACHED_WITHIN)
        if kind != "sweeping":
            wrong = scene.ended_well().wrong
            if wrong:
                return "; ".join(wrong)
        if hit == 1 and not dead:
            return "it was never reached"
        return "died" if dead else "lived"

    def killed_twice(scene: Scene, first: str, second: str) -> str:
        """Die while customers order, and again while that is recovered."""
        scene.ordering(f"{first}:{middle(first)}", REACHED_WITHIN)
        if scene.start(f"{second}:{middle(second)}"):
            died(scene.stage.server, TWICE_WITHIN)
            scene.stage.server.kill()
        return "; ".join(scene.ended_well().wrong)

    def middle(point: str) -> int:
        return max(1, hits[life(point)][point] // 2)

    def times(point: str) -> set[int]:
        """The first time, and once in the middle."""
        count = 1 if life(point) == "sweeping" else hits[life(point)][point]
        return {1, max(1, count // 2)}

    singles = {
        f"{number}-{hit}": partial(killed, point=point, hit=hit)
        for number, point in enumerate(POINTS, 1)
        for hit in times(point)
    }
    ordering = [point for point in POINTS if life(point) == "ordering"]
    recovering = [point for point in POINTS if life(point) != "sweeping"]
    # Each first death with some second one; the step has no factor in common with how many there are.
    pairs = {
        (first, recovering[(number * STEP) % len(recovering)]): f"pair-{number}"
        for number, first in enumerate(ordering)
        if number % EVERY == 0
    }
    twice = {name: partial(killed_twice, first=first, second=second) for (first, second), name in pairs.items()}
    outcomes = stages.play(singles | twice)
    wrong = []
    for number, point in enumerate(POINTS, 1):
        came = {name: outcome for name, outcome in outcomes.items() if name.startswith(f"{number}-")}
        kills = sum(outcome == "died" for outcome in came.values())
        print(f"{number:3} {point:24} {life(point):10} kills {kills} of {len(came)}")
        wrong += [f"{point} ({name}): {said}" for name, said in came.items() if said not in ("died", "lived")]
    print(f"and {len(pairs)} pairs of deaths, one in the recovery from the other")
    wrong += [
        f"{first} and then {second}: {outcomes[name]}" for (first, second), name in pairs.items() if outcomes[name]
    ]
    assert not wrong, "\n".join(wrong)


def test_a_pivot_killed_with_its_answer_unrecorded_is_answered_from_the_key_table(tmp_path: Path) -> None:
    with shop(tmp_path / "shop") as services:
        server = runner(tmp_path / "runner", services)
        customers = Customers(server, "pivot", [wish for wish in MIX if wish.name == "good"])
        try:
            assert start(server, **{VARIABLE: "sent.pivot:1"})
            asking = customers.once()
            assert died(server, REACHED_WITHIN)
            asking.join()
            assert start(server)
            customers.insist()
            assert not judge(customers, services, 0).wrong
            (run,) = customers.told["good"]
            sent = services.select(
                "SELECT key, status, effect FROM requests WHERE service = 'courier' AND run = ?", run
            )
            assert [(status, effect) for _, status, effect in sent] == [(201, "applied"), (201, "repeated")]
            assert len({key for key, _, _ in sent}) == 1
            assert server.run(run)["status"] == "completed"
        finally:
            server.kill()


def test_a_pivot_killed_in_flight_is_asked_again_and_never_undone(tmp_path: Path) -> None:
    """The service has the request and takes its time to answer; nobody knows, so only its key can tell."""
    with shop(tmp_path / "shop") as services:
        server = runner(tmp_path / "runner", services)
        wish = Wish(
            name="flight",
            path="/slow-pivot",
            effects=Counter({("stock", "reservation"): 1, ("payment", "charge"): 1}),
            more={"sku": "slow"},
        )
        customers = Customers(server, "flight", [wish])
        try:
            assert start(server)
            asking = customers.once()
            eventually(lambda: services.select("SELECT 1 FROM requests WHERE service = 'stock'"))
            server.kill()
            asking.join()
            assert start(server)
            customers.insist()
            assert not judge(customers, services, 0).wrong
            (run,) = customers.told["flight"]
            sent = services.select("SELECT key, effect FROM requests WHERE service = 'stock' AND run = ?", run)
            assert [effect for _, effect in sent] == ["applied", "repeated"]
            assert len({key for key, _ in sent}) == 1
            assert server.run(run)["status"] == "completed"
            assert not services.select("SELECT 1 FROM requests WHERE effect = 'undone'")
        finally:
            server.kill()


def test_the_judge_sees_what_is_lost_done_twice_or_left_behind(tmp_path: Path) -> None:
    """A judge that never complains would show nothing."""
    with shop(tmp_path / "shop") as services:
        server = runner(tmp_path / "runner", services)
        customers = Customers(server, "judged", [wish for wish in MIX if wish.name in ("good", "orphan", "on-fail")])
        try:
            assert start(server)
            customers.insist()
            assert judge(customers, services, 0).wrong == []
            (good,), (orphan,) = customers.told["good"], customers.told["orphan"]
            again = (
                "INSERT INTO requests SELECT NULL, service, method, path, key, run, at, status, effect FROM requests"
            )
            left = "INSERT INTO effects VALUES (NULL, 'stock', 'x', 'reservation', '{}', 'k', ?, '')"
            lies = {
                f"{again} WHERE run = ? AND service = 'stock'": "times under the key",
                "UPDATE requests SET run = 'nobody' WHERE run = ? AND service = 'payment'": "without a run",
                "DELETE FROM effects WHERE run = ? AND service = 'courier'": "good is completed, and in force is",
            }
            with closing(sqlite3.connect(services.database, timeout=30)) as db:
                for lie, seen in lies.items():
                    with db:
                        db.execute(lie, (good,))
                    wrong = judge(customers, services, 0).wrong
                    assert any(seen in sentence for sentence in wrong), (lie, wrong)
                with db:
                    db.execute(left, (orphan,))
            assert any("orphan is compensated, and in force is" in said for said in judge(customers, services, 0).wrong)
            customers.told["on-fail"].add("nobody")
            assert any("on-fail was told of 2 runs" in said for said in judge(customers, services, 0).wrong)
        finally:
            server.kill()
