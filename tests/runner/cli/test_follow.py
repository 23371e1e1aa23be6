"""Following a run while its runner comes and goes."""

import contextlib

import click
import pytest

from registry.base.clock import ManualClock
from runner.cli.documents import Run
from runner.cli.follow import follow
from runner.cli.http import Server
from runner.cli.pace import Pace
from tests.runner.cli.scripted import Said, run, runner
from tests.support.ports import free_port


def test_a_runner_that_is_started_again_is_waited_for() -> None:
    port, clock, seen = free_port(), ManualClock(), list[Run]()
    with contextlib.ExitStack() as running:

        def pause(seconds: float) -> None:
            clock.advance(seconds)
            if not seen and clock.monotonic() > 5:
                running.pop_all().close()
                running.enter_context(runner({"GET /api/v1/runs/r-1": [Said(body=run())]}, port))

        server = Server(f"http://127.0.0.1:{port}")
        ended = follow(server, "r-1", Pace(clock=clock, pause=pause), limit_s=60, tell=seen.append)
    assert ended.status == "completed"
    assert seen == [ended]


def test_a_runner_that_stays_away_is_given_up() -> None:
    clock = ManualClock()
    server = Server(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(click.ClickException, match="no runner answers"):
        follow(server, "r-1", Pace(clock=clock, pause=clock.advance), limit_s=600, tell=lambda _: None)
    assert 30 <= clock.monotonic() < 32
