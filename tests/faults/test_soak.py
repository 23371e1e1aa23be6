"""Ten minutes with a kill every five seconds, services that fail, and customers who insist.

`SAGA_SOAK_SECONDS` is for how long the runner is killed, 600 where it is not set.
"""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.faults.definitions import definitions, hurried
from tests.faults.soak import Soak, course, wrong_with
from tests.faults.world import NOTHING, PLACED, RESERVED, Wish, runner, shop, start
from tests.support.processes import ask

#: What decides which requests fail.
SEED: Final = "soak-1"
#: How long a call has: less than what a late answer is late.
TIMEOUT: Final = "500ms"
#: Orders of a second, over the whole time; more time is taken where a busy machine is slower.
RUNS_A_SECOND: Final = 5_000 / 600


@pytest.mark.process
@pytest.mark.fault
@pytest.mark.slow
def test_a_runner_that_is_killed_every_five_seconds_under_load_loses_nothing_and_does_nothing_twice(
    tmp_path: Path,
) -> None:
    seconds = float(os.environ.get("SAGA_SOAK_SECONDS", "600"))
    retention = max(20.0, seconds / 10)
    with shop(tmp_path / "shop", unreliable=SEED) as services:
        server = runner(tmp_path / "runner", services, texts=hurried(definitions(), TIMEOUT))
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


@pytest.mark.parametrize(
    ("status", "leftovers", "found", "said"),
    [
        ("completed", 0, PLACED, ""),
        ("completed", 0, RESERVED, "is completed, and not all is in force"),
        ("completed", 0, PLACED + RESERVED, "is completed, and too much is in force"),
        ("completed", 1, PLACED + RESERVED, ""),
        ("compensated", 0, NOTHING, ""),
        ("compensated", 1, RESERVED, "is compensated"),
        ("cancelled", 0, RESERVED, "is cancelled, and not all is listed"),
        ("failed", 0, NOTHING, ""),
        ("failed", 1, RESERVED, ""),
        ("failed", 1, PLACED, "is failed, and not all is listed"),
        ("parked", 0, NOTHING, "is parked"),
    ],
)
def test_the_judge_of_the_soak_sees_what_is_missing_or_left_behind(
    status: str, leftovers: int, found: Counter[tuple[str, str]], said: str
) -> None:
    run = {"status": status, "leftovers": [{}] * leftovers}
    came = wrong_with(Wish(name="x", path="/x", effects=PLACED), run, found)
    assert came.startswith(said)
    assert bool(came) == bool(said)


def test_what_grows_is_seen_to_grow() -> None:
    assert course([1, 1, 9, 1, 1, 2, 1, 1]) == (1.5, 1)
    assert course(range(100)) == (49.5, 87)
