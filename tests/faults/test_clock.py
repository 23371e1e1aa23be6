"""The machine's clock jumps an hour, forth and back, under a runner at work with its real store and real services.

A jump may move timers; it never makes a second run of a trigger, a second end, or a second effect, and once the clock
is right again everything comes to its end.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.base.clock import SystemClock
from tests.faults.serving import at_work
from tests.faults.world import ENDS, Customers, Shop, judge, runner, shop
from tests.support.processes import Server, eventually

pytestmark = [pytest.mark.process, pytest.mark.fault]

HOUR = 3_600.0


class JumpingClock(SystemClock):
    """The machine's clock, and how far it is off."""

    def __init__(self) -> None:
        self.off = 0.0

    def now(self) -> float:
        return super().now() + self.off


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Shop]:
    with shop(tmp_path / "shop") as opened:
        yield opened


@pytest.mark.parametrize("jumps", [(HOUR,), (-HOUR,), (HOUR, -HOUR), (-HOUR, HOUR)], ids=str)
def test_a_clock_that_jumps_an_hour_moves_timers_and_breaks_nothing(
    jumps: tuple[float, ...], services: Shop, tmp_path: Path
) -> None:
    clock = JumpingClock()
    server = runner(tmp_path / "runner", services)
    mark, customers = services.mark(), Customers(server, "jump")

    def work() -> None:
        asking = customers.once()
        for number, jump in enumerate(jumps, 1):
            eventually(lambda number=number: services.mark() - mark > 10 * number)
            clock.off += jump
        customers.insist()
        clock.off = 0.0
        asking.join()
        customers.insist()
        eventually(lambda: untimed(server))
        # What planned a retry or a wait by the wrong clock is late by as much, and by no more.
        clock.off = HOUR + 60
        judgement = judge(customers, services, mark)
        assert not judgement.wrong, "\n".join(judgement.wrong)
        assert judgement.ends["completed"] > 3

    at_work(server, lambda _: work(), clock)


def untimed(server: Server) -> bool:
    """Whether every run that waits for no time has ended: woken by a signal, cancelled, or following another."""
    return all(
        run["status"] in ENDS
        or (
            (run["reason"] or "").endswith(("waits for its time", "waits for its next attempt"))
            and run["labels"].get("orderId") != "jump-cancel"
        )
        for run in server.runs("?limit=1000")
    )


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_clock_that_is_an_hour_off_at_the_next_start_doubles_nothing(
    jump: float, services: Shop, tmp_path: Path
) -> None:
    """The first runner stops in the middle with one time, the next one has another, a third the right one."""
    server = runner(tmp_path / "runner", services)
    mark, customers = services.mark(), Customers(server, "off")
    clock = JumpingClock()

    def begin() -> None:
        asking = customers.once(at_once=True)
        asking.join()

    def judged() -> None:
        customers.insist()
        judgement = judge(customers, services, mark)
        assert not judgement.wrong, "\n".join(judgement.wrong)

    at_work(server, lambda _: begin(), clock)
    clock.off = jump
    at_work(server, lambda _: customers.insist(), clock)
    clock.off = 0.0
    at_work(server, lambda _: judged(), clock)
