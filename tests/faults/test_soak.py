"""Ten minutes with a kill every five seconds, services that fail, and customers who insist.

`SAGA_SOAK_SECONDS` is for how long the runner is killed, 600 where it is not set.
"""

import os
import signal
from pathlib import Path
from typing import Final

import pytest

from tests.faults.soak import Soak
from tests.faults.world import runner, shop, start
from tests.support.processes import ask

pytestmark = [pytest.mark.process, pytest.mark.fault, pytest.mark.slow]

#: What decides which requests fail.
SEED: Final = "soak-1"
#: Orders of a second, over the whole time; more time is taken where a busy machine is slower.
RUNS_A_SECOND: Final = 5_000 / 600


def test_a_runner_that_is_killed_every_five_seconds_under_load_loses_nothing_and_does_nothing_twice(
    tmp_path: Path,
) -> None:
    seconds = float(os.environ.get("SAGA_SOAK_SECONDS", "600"))
    retention = max(20.0, seconds / 10)
    with shop(tmp_path / "shop", unreliable=SEED) as services:
        server = runner(tmp_path / "runner", services)
        soak = Soak(
            server=server, services=services, environment={"SAGA_JOURNAL__RETENTION": f"{retention * 1000:.0f}ms"}
        )
        try:
            assert start(server, **soak.environment)
            with soak.going_on():
                soak.kill_for(seconds, round(seconds * RUNS_A_SECOND))
                calm = soak.samples[-1].at
                services.process.send_signal(signal.SIGUSR1)
                soak.spare_for(seconds / 5)
            soak.mend_what_is_parked()
            soak.judge()
            end = soak.samples[-1].at
            print(f"\n{soak.figures()}")
            print(f"faults of the services: {ask(services.urls['stock'], 'GET', '/faults').json}")
            if seconds > 4 * retention:
                soak.flat("used", 2 * retention, calm, 1.5)
            soak.flat("resident", 0, calm, 1.25)
            soak.flat("resident", calm, end, 1.25)
            assert not soak.wrong, "\n".join(soak.wrong[:50])
            assert soak.kills >= seconds / 10
            assert len(soak.wishes) >= seconds * RUNS_A_SECOND
        finally:
            if server.process is not None:
                server.kill()
