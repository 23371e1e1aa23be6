"""Runs that hold much: their answers and records come through a kill, and are found again as they were."""

import itertools
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.work import with_backend
from tests.support.backend import Heard, backend
from tests.support.processes import PATIENCE_S, eventually, run, saga

pytestmark = pytest.mark.process

LARGE = {"text": "x" * 600_000}

TWO_STEPS = """
path: /large
methods: [POST]
steps:
  - name: fetch
    call: {service: backend, path: /fetch, body: {}}
    compensate: none
  - name: hold
    call: {service: backend, path: /hold, body: "${ length(steps.fetch.output.text) }"}
    timeout: 60s
    compensate: none
output: "${ steps.fetch.output }"
"""


def test_a_large_answer_survives_a_kill_and_is_found_again(tmp_path: Path) -> None:
    held, let_go = threading.Event(), threading.Event()

    def answers(heard: Heard) -> tuple[int, object]:
        if heard.path == "/fetch":
            return 200, LARGE
        held.set()
        assert let_go.wait(PATIENCE_S)
        return 200, {}

    with backend(answers) as service, run(tmp_path, {"large.yaml": TWO_STEPS}, with_backend(service.url)) as server:
        run_id = server.post("/large", {}, Prefer="respond-async").headers["x-saga-run"]
        assert held.wait(PATIENCE_S)
        server.kill()
        let_go.set()
        server.start()
        done = server.run_when(run_id, "completed")
        assert done["output"] == LARGE
        assert [step["output"] for step in done["steps"]] == [LARGE, {}]
        assert [heard.body for heard in service.heard if heard.path == "/hold"] == [b"600000"] * 2
        assert len([heard for heard in service.heard if heard.path == "/fetch"]) == 1
    with closing(sqlite3.connect(tmp_path / ".saga" / "journal.db")) as journal:
        (longest,) = journal.execute("SELECT max(length(body)) FROM records").fetchone()
        kept = journal.execute("SELECT length(body) FROM blobs").fetchall()
    assert longest < 1_000
    assert kept == [(600_011,)], "the step's output and the run's are one blob"


LOOP = """
path: /loop
methods: [POST]
timeout: 10m
steps:
  - name: all
    for:
      each: n
      in: range(`0`, `3000`)
      parallel: 32
      steps:
        - name: one
          call: {service: backend, path: /one, body: "${ n }"}
          timeout: 60s
          compensate: none
output: {count: "${ length(steps.all.output) }", last: "${ steps.all.output[2999].n }"}
"""


@pytest.mark.slow
def test_a_loop_over_three_thousand_items_survives_a_kill_and_keeps_its_journal_short(tmp_path: Path) -> None:
    halfway, let_go = threading.Event(), threading.Event()
    numbers = itertools.count(1)

    def answers(heard: Heard) -> tuple[int, object]:
        if next(numbers) == 1_500:
            halfway.set()
        if halfway.is_set():
            assert let_go.wait(PATIENCE_S)
        return 200, {"n": int(heard.body)}

    with backend(answers) as service, run(tmp_path, {"loop.yaml": LOOP}, with_backend(service.url)) as server:
        run_id = server.post("/loop", {}, Prefer="respond-async").headers["x-saga-run"]
        assert halfway.wait(PATIENCE_S)
        server.kill()
        let_go.set()
        server.start()
        eventually(lambda: server.runs("?status=completed"), patience=4 * PATIENCE_S)
        done = server.run(run_id)
        assert done["output"] == {"count": 3_000, "last": 2_999}
        assert [step["output"]["n"] for step in done["steps"][1:]] == list(range(3_000))
        times = Counter(heard.key for heard in service.heard)
        assert len(times) == 3_000, "each item was asked for under a key of its own"
        assert max(times.values()) <= 2
        assert sum(times.values()) <= 3_000 + 32, "only what was on its way at the kill was sent again"
        shown = saga("runs", "show", run_id, "--server", server.url, folder=tmp_path)
        assert shown.returncode == 0
        assert "one[2999]" in shown.stdout
    with closing(sqlite3.connect(tmp_path / ".saga" / "journal.db")) as journal:
        (many,) = journal.execute("SELECT count(*) FROM records").fetchone()
        (length,) = journal.execute("SELECT length FROM runs").fetchone()
    assert length > 6_000
    assert many <= 1 + 3 + 2 * 64, "S, three snapshots, and what was under way at the last of them"
