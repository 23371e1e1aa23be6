"""Services that mean a runner no good: each ends its run as it should, in time, and holds no memory or sockets."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.processes import Server, ask, eventually, run
from tests.support.services import Peer, Script, Service, always, answer, serve

pytestmark = [pytest.mark.process, pytest.mark.anyio]

JSON = (("content-type", "application/json"),)
#: Bytes that a runner may take of one endless answer: its own limit of 1 MiB and what sockets hold.
MOST_TAKEN = 32 * 1_048_576
#: Resident memory in KiB that a runner may gain here.
MOST_GAINED = 65_536

ASK = """
path: /ask
methods: [POST]
steps:
  - name: ask
    timeout: 1s
    call: {service: odd, path: /ask, body: 1}
    compensate:
      call: {service: odd, method: DELETE, path: /ask}
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A runner whose service `odd` each test registers anew."""
    with run(tmp_path_factory.mktemp("odd"), {"ask.yaml": ASK}) as server:
        yield server
        assert "Traceback" not in server.said


def memory(server: Server) -> int:
    assert server.process is not None
    return int(re.findall(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{server.process.pid}/status").read_text())[0])


def sockets_to(server: Server, port: int) -> int:
    """Connections that the runner's process has to this port."""
    assert server.process is not None
    here = Path(f"/proc/{server.process.pid}")
    table = (here / "net" / "tcp").read_text().splitlines()[1:]
    inodes = {row.split()[9] for row in table if int(row.split()[2].split(":")[1], 16) == port}
    held = 0
    for link in (here / "fd").iterdir():
        try:
            held += link.readlink().name.removeprefix("socket:[").rstrip("]") in inodes
        except FileNotFoundError:  # closed while we look
            continue
    return held


def first(bad: Script) -> Script:
    """Does so to the forward request, and answers the undo well."""

    async def script(peer: Peer) -> None:
        asked = await peer.request()
        if asked.method == "POST":
            await bad(peer)
        else:
            peer.write(answer(200, b"{}", (*JSON, ("connection", "close"))))

    return script


def pouring(head: bytes, more: bytes) -> Script:
    async def script(peer: Peer) -> None:
        peer.write(head)
        await peer.pour(more, limit=MOST_TAKEN)

    return script


def dripping(head: bytes, drop: bytes) -> Script:
    """A byte now and then: always sooner than a pause would be too long, never whole."""

    async def script(peer: Peer) -> None:
        peer.write(head)
        closed = asyncio.ensure_future(peer.client_closed())
        while not closed.done():
            peer.write(drop)
            await asyncio.wait([closed], timeout=0.05)
        await closed

    return script


def saying(bytes_: bytes) -> Script:
    """Says so and never closes."""

    async def script(peer: Peer) -> None:
        peer.write(bytes_)
        await peer.client_closed()

    return script


OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@contextlib.asynccontextmanager
async def registered(odd: Server, script: Script) -> AsyncIterator[Service]:
    """A service with this script, known to the runner as `odd`."""
    async with serve(script) as service:
        entry = {"service_name": "odd", "service_url": service.url}
        ask(odd.registry, "DELETE", "/api/v1/services/odd")
        assert ask(odd.registry, "POST", "/api/v1/services/register", entry).status in (200, 201)
        yield service


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (pouring(OK + b"\r\n", b" " * 65_536), "unexpected"),
        (pouring(OK + b"transfer-encoding: chunked\r\n\r\n", b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"), "unexpected"),
        (pouring(OK + b"content-length: 99999999999999\r\n\r\n", b" " * 65_536), "unexpected"),
        (pouring(OK, b"x: " + b"y" * 1_000 + b"\r\n"), "unexpected"),
        (pouring(OK + b"x: ", b"y" * 65_536), "unexpected"),
        (pouring(b"HTTP/1.1 200 ", b"y" * 65_536), "unexpected"),
        (pouring(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "unexpected|timeout"),
        (pouring(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 100), "unexpected|timeout"),
        (pouring(b"", b"\r\n" * 1_000), "unexpected|timeout"),
        (pouring(OK + b"transfer-encoding: chunked\r\n\r\n2;", b"y" * 65_536), "unexpected|timeout"),
        (pouring(OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: ", b"y" * 65_536), "unexpected|timeout"),
        (pouring(b"", b"\x00\xff" * 1_000), "unexpected"),
        (dripping(OK + b"content-length: 1000000\r\n\r\n", b" "), "timeout"),
        (dripping(OK, b"x: y\r\n"), "timeout"),
        (dripping(b"", b"H"), "timeout|unexpected"),
        (saying(b""), "timeout"),
        (saying(OK), "timeout"),
        (saying(OK + b"content-length: 100\r\n\r\n{}"), "timeout"),
        (saying(OK + b"\r\n{}"), "timeout"),
        (saying(OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\n{}"), "unexpected"),
        (saying(OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"), "unexpected"),
        (
            saying(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
            "unexpected|timeout",
        ),
    ],
    ids=[
        *("endless-body", "endless-chunks", "endless-length", "endless-fields", "endless-field", "endless-reason"),
        *("100-flood", "103-flood", "empty-lines", "endless-extension", "endless-trailer", "garbage"),
        *("dripped-body", "dripped-head", "dripped-nonsense", "silence", "half-a-head", "half-a-body", "never-closing"),
        *("two-lengths", "length-and-chunks", "upgrade"),
    ],
)
async def test_a_hostile_answer_ends_the_step_and_is_undone(odd: Server, bad: Script, kind: str) -> None:
    before = memory(odd)
    async with registered(odd, first(bad)) as service:
        came = await asyncio.to_thread(odd.post, "/ask", {})
        found = await asyncio.to_thread(odd.run, came.headers["x-saga-run"])
        assert re.fullmatch(kind, found["error"]["kind"]), found["error"]
        assert came.status == (504 if found["error"]["kind"] == "timeout" else 502)
        assert found["status"] == "compensated"
        assert [heard.method for heard in service.received] == ["POST", "DELETE"]
        await asyncio.to_thread(eventually, lambda: sockets_to(odd, service.port) == 0)
    assert memory(odd) - before < MOST_GAINED


async def test_a_redirect_in_a_circle_ends(odd: Server) -> None:
    async with registered(odd, always(answer(307, b"", (("location", "/ask"),)))) as service:
        came = await asyncio.to_thread(odd.post, "/ask", {}, Prefer="respond-async")
        assert came.status == 202
        run_ = came.headers["location"].rpartition("/")[2]
        found = await asyncio.to_thread(odd.run_when, run_, "parked", "failed", "compensated", "compensating")
        assert len(service.received) < 100
        await asyncio.to_thread(odd.post, f"/api/v1/runs/{run_}/cancel")
        assert found["error"]["kind"] in ("redirect", "unexpected")


async def test_what_comes_behind_an_answer_is_not_taken_for_the_next(odd: Server) -> None:
    """Two answers to one request: the second must not answer somebody else's."""
    forged = answer(200, b'{"forged":true}', JSON)
    async with registered(odd, always(answer(200, b'{"mine":true}', JSON) + forged)):
        for _ in range(5):
            came = await asyncio.to_thread(odd.post, "/ask", {})
            assert b"forged" not in came.body
