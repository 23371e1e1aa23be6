"""The command line against servers that answer nonsense: one line on stderr, exit code 1, and nobody sees a stack."""

import asyncio
from pathlib import Path

import pytest

from tests.support.processes import saga
from tests.support.services import Peer, Script, always, answer, serve

pytestmark = [pytest.mark.process, pytest.mark.anyio]

JSON = (("content-type", "application/json"),)

RUNNER = [["list"], ["runs", "list"], ["runs", "show", "r-1"], ["call", "/ask"]]
REGISTRY = [
    ["service", "list"],
    ["service", "get", "a"],
    ["service", "register", "--name", "a", "--url", "http://127.0.0.1:1"],
    ["service", "heartbeat", "a"],
    ["service", "unregister", "a"],
]


async def endless(peer: Peer) -> None:
    """More than anybody wants to read."""
    await peer.request()
    peer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    await peer.pour(b" " * 65_536, limit=256 * 1_048_576)


async def cut_short(peer: Peer) -> None:
    """Less than was announced."""
    await peer.request()
    peer.write(answer(200, b"{}", JSON, length=100))


def saying(body: bytes) -> Script:
    return always(answer(200, body, JSON))


ANSWERS: dict[str, Script] = {
    "not-json": saying(b"<html>"),
    "not-utf-8": saying(b'{"a":"\xff"}'),
    "deep": saying(b"[" * 100_000),
    "problem-of-wrong-types": always(answer(500, b'{"title":[1],"detail":{"a":1},"errors":7,"error":[]}', JSON)),
    "cut-short": cut_short,
    "not-http": always(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "endless": endless,
}


@pytest.mark.slow
@pytest.mark.parametrize("said", ANSWERS)
@pytest.mark.parametrize("arguments", [*RUNNER, *REGISTRY], ids=" ".join)
async def test_nonsense_is_one_line_and_exit_1(tmp_path: Path, arguments: list[str], said: str) -> None:
    await refused(tmp_path, arguments, ANSWERS[said])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["runs", "list"], "not-json"), (["service", "list"], "deep"), (["runs", "show", "r-1"], "cut-short")],
)
async def test_nonsense_is_one_line_and_exit_1_in_short(tmp_path: Path, arguments: list[str], said: str) -> None:
    await refused(tmp_path, arguments, ANSWERS[said])


async def refused(folder: Path, arguments: list[str], said: Script) -> None:
    async with serve(said) as service:
        environment = {"SAGA_SERVICE_URL": service.url, "SAGA_RUNNER_URL": service.url}
        done = await asyncio.to_thread(saga, *arguments, folder=folder, environment=environment)
    assert "Traceback" not in done.stderr + done.stdout
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1), done
