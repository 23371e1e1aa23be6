"""A killed shop opens again with all that it had answered."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.runner.shop.visit import customer_of

pytestmark = [pytest.mark.anyio, pytest.mark.process]

ROOT = Path(__file__).parents[3]


@contextlib.contextmanager
def shop_process(db: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The shop in its own process, and its URLs; killed at the end where it still lives."""
    command = [sys.executable, "-m", "tests.runner.shop.process", str(db)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


async def test_effects_answers_and_barriers_survive_kill_9(tmp_path: Path) -> None:
    db = tmp_path / "shop.db"
    with shop_process(db) as (process, urls):
        async with customer_of(urls) as shop:
            charged = await shop.charge("c-1", key="k1")
            await shop.ask("payment", "POST", "/charges/c-2/refund", key="k2.undo")
            slow = asyncio.create_task(shop.reserve("r-1", "slow", key="k3"))
            while await shop.in_force("stock") == []:
                assert not slow.done()
            process.send_signal(signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await slow
        assert process.wait() == -signal.SIGKILL
    with shop_process(db) as (_, urls):
        async with customer_of(urls) as shop:
            assert await shop.in_force("payment") == ["c-1"]
            assert await shop.in_force("stock") == ["r-1"]
            assert await shop.charge("c-1", key="k1") == charged
            assert (await shop.charge("c-2", key="k2")).status == 410
            assert (await shop.ask("stock", "DELETE", "/reservations/r-1", key="k3.undo")).status == 200
            assert [r["effect"] for r in await shop.requests("payment")] == ["applied", "", "repeated", ""]


async def test_a_kill_under_load_loses_nothing_that_was_answered_and_doubles_nothing(tmp_path: Path) -> None:
    db = tmp_path / "shop.db"
    names = [f"c-{n}" for n in range(60)]
    with shop_process(db) as (process, urls):
        async with customer_of(urls) as shop:
            answered: list[str] = []

            async def charge(name: str) -> None:
                with contextlib.suppress(aiohttp.ClientError):
                    assert (await shop.charge(name, key=name)).status == 201
                    answered.append(name)
                    if len(answered) == 20:
                        process.kill()

            await asyncio.gather(*(charge(name) for name in names))
        process.wait()
    assert 20 <= len(answered) < len(names)
    with shop_process(db) as (_, urls):
        async with customer_of(urls) as shop:
            assert set(answered) <= set(await shop.in_force("payment"))
            again = await asyncio.gather(*(shop.charge(name, key=name) for name in names))
            assert {reply.status for reply in again} == {201}
            assert sorted(await shop.in_force("payment")) == sorted(names)
            came = await shop.requests("payment")
            applied = [r["key"] for r in came if r["effect"] == "applied"]
            assert sorted(applied) == sorted(names)
