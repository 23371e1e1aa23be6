"""A runner that is told to stop, and definitions that are saved while it serves."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.work import WORK, with_backend
from tests.support.backend import backend
from tests.support.ports import free_ports
from tests.support.processes import Server, dev, eventually, order, run, saga

pytestmark = pytest.mark.process


def test_a_drain_lets_a_run_in_flight_finish_and_answers_its_caller(tmp_path: Path) -> None:
    with (
        backend(closed=True) as service,
        run(tmp_path, {"work.yaml": WORK}, with_backend(service.url)) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        caller = pool.submit(server.post, "/work", {})
        eventually(lambda: service.held == 1)
        server.signal(signal.SIGTERM)
        not_ready = eventually(lambda: answer if (answer := server.ask("GET", "/ready")).status == 503 else None)
        assert not_ready.json["reason"]
        refused = server.post("/work", {})
        assert (refused.status, refused.json["code"]) == (503, "stopping")
        assert "retry-after" in refused.headers
        service.gate.set()
        assert caller.result().status == 200
        assert server.wait() == 0


def test_what_a_drain_has_no_time_for_is_done_after_the_restart(tmp_path: Path) -> None:
    settings = {"runner": {"drainTimeout": "100ms"}}
    with (
        backend(closed=True) as service,
        run(tmp_path, {"work.yaml": WORK}, {**with_backend(service.url), **settings}) as server,
    ):
        answer = server.post("/work", {}, Prefer="respond-async")
        eventually(lambda: service.held == 1)
        assert server.stop() == 0
        service.gate.set()
        server.start()
        done = server.run_when(answer.headers["x-saga-run"], "completed")
        assert done["output"] == {"worked": True}
        assert len({heard.key for heard in service.heard}) == 1


def test_a_second_sigterm_ends_it_at_once_and_loses_nothing(tmp_path: Path) -> None:
    with (
        backend(closed=True) as service,
        run(tmp_path, {"work.yaml": WORK}, with_backend(service.url)) as server,
    ):
        answer = server.post("/work", {}, Prefer="respond-async")
        eventually(lambda: service.held == 1)
        server.signal(signal.SIGTERM)
        eventually(lambda: server.ask("GET", "/ready").status == 503)
        server.signal(signal.SIGTERM)
        assert server.wait() != 0
        service.gate.set()
        server.start()
        assert server.run_when(answer.headers["x-saga-run"], "completed")


def test_an_idle_runner_stops_with_0_on_sigterm_and_sigint(tmp_path: Path) -> None:
    with run(tmp_path, {"work.yaml": WORK}) as server:
        assert server.stop() == 0
        server.start()
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert "Traceback" not in server.said


def test_a_run_that_waits_does_not_hold_up_a_drain(tmp_path: Path) -> None:
    with dev(tmp_path) as shop:
        answer = shop.post("/examples/wait", {"delay": "1h"}, Prefer="respond-async")
        shop.run_when(answer.headers["x-saga-run"], "waiting")
        assert shop.stop() == 0
        assert "Traceback" not in shop.said


SET = "path: /answer\nmethods: [GET]\nsteps: [{name: a, set: %s}]\n"


def test_a_saved_definition_is_served_and_a_broken_one_leaves_the_last_good_set(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    file = folder / "answer.yaml"
    file.write_text(SET % 1)
    with dev(tmp_path, (folder,)) as server:
        assert server.ask("GET", "/answer").json == 1
        file.write_text(SET % 2)
        eventually(lambda: server.ask("GET", "/answer").json == 2)
        file.write_text("path: /answer\nmethods: [GET]\nstepz: []\n")
        eventually(lambda: "answer.yaml:3:1" in server.said)
        assert server.ask("GET", "/answer").json == 2
        file.write_text(SET % 3)
        eventually(lambda: server.ask("GET", "/answer").json == 3)
        file.unlink()
        eventually(lambda: server.ask("GET", "/answer").status == 404)


def test_dev_reads_the_settings_file_and_the_environment(tmp_path: Path) -> None:
    port, *shop = free_ports(4)
    (tmp_path / "saga.yml").write_text('registry: {port: 0}\nvars: {word: "env:WORD"}\njournal: {url: memory}\n')
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "answer.yaml").write_text(SET % '"${ vars.word }"')
    names = ("--stock-port", "--payment-port", "--courier-port")
    server = Server(
        arguments=["dev", *(word for pair in zip(names, map(str, shop), strict=True) for word in pair)],
        folder=tmp_path,
        url=f"http://127.0.0.1:{port}",
        registry="",
        environment={"SAGA_RUNNER__PORT": str(port), "SAGA_RUNNER__HOST": "0.0.0.0", "WORD": "yes"},
    )
    try:
        server.start()
        assert server.ask("GET", "/answer").json == "yes"
        assert server.stop() == 0
    finally:
        server.kill()
    assert "not served" in server.said
    assert (tmp_path / ".saga" / "journal.db").exists(), "what makes it one process is not up to the settings"


def test_dev_serves_the_good_files_beside_a_broken_one_and_shows_what_is_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "bad.yaml").write_text("path: /bad\nstepz: []\n")
    (folder / "good.yaml").write_text(SET % 1)
    with dev(tmp_path, (folder,)) as server:
        assert server.ask("GET", "/answer").json == 1
        assert server.ask("GET", "/bad").status == 404
        assert "bad.yaml:2:1" in server.said


def test_a_run_ends_under_the_definition_that_it_started_with(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    file = folder / "long.yaml"
    text = "path: /long\nmethods: [POST]\nsteps:\n  - {name: hear, listen: {signal: go}}\n  - {name: a, set: %s}\n"
    file.write_text(text % "old")
    with dev(tmp_path, (folder,)) as server:
        first = server.post("/long", {}, Prefer="respond-async").headers["x-saga-run"]
        server.run_when(first, "waiting")
        file.write_text(text % "new")
        eventually(lambda: "reloaded" in server.said)
        second = server.post("/long", {}, Prefer="respond-async").headers["x-saga-run"]
        server.kill()
        file.unlink()
        server.start()
        for one, told in ((first, "old"), (second, "new")):
            assert server.post(f"/api/v1/runs/{one}/signals/go", {}).status == 202
            assert server.run_when(one, "completed")["output"] == told


def test_dev_says_what_it_started_and_gives_a_curl_that_works(tmp_path: Path) -> None:
    with dev(tmp_path) as shop:
        said = eventually(lambda: shop.said if "Ctrl-C" in shop.said else None)
        assert all(url in said for url in (shop.url, shop.registry, *shop.services.values()))
        assert "curl" in said
        assert not any(word in said.lower() for word in ("redis", "kafka"))
        assert "\x1b" not in said
        assert "warning" not in said.lower()
        assert shop.post("/orders/place", order("o-1")).status == 200


def test_a_second_dev_in_the_same_folder_is_told_in_one_line(tmp_path: Path) -> None:
    with dev(tmp_path) as shop:
        again = saga(*shop.arguments, folder=tmp_path)
        assert again.returncode == 1
        [line] = again.stderr.splitlines()
        assert "cannot listen" in line
