"""The embedded directory over a restart."""

import asyncio
from pathlib import Path

import pytest

from registry.base.clock import ManualClock
from registry.directories.kept import KeptDirectory
from registry.listing import Registration

pytestmark = pytest.mark.anyio


def stock(port: int = 9001) -> Registration:
    return Registration(
        service_name="stock",
        service_url=f"http://127.0.0.1:{port}",
        ttl=60,
        capabilities=("rest",),
        metadata={"a": [1]},
    )


async def reopened(path: Path, clock: ManualClock) -> KeptDirectory:
    directory = KeptDirectory(clock, path)
    await directory.open()
    return directory


async def test_what_was_listed_is_listed_again_under_its_id_with_a_full_time_to_live(tmp_path: Path) -> None:
    clock = ManualClock()
    first = await reopened(tmp_path / "kept.json", clock)
    listing = (await first.register(stock())).listing
    clock.advance(50)
    await first.close()

    second = await reopened(tmp_path / "kept.json", clock)
    clock.advance(59)
    (again,) = second.snapshot("stock")
    assert (again.service_id, again.service_url, again.metadata) == (
        listing.service_id,
        stock().service_url,
        {"a": [1]},
    )
    clock.advance(2)
    assert second.snapshot("stock") == ()


async def test_a_kill_loses_nothing_that_was_written_a_moment_ago(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "kept.json"
    first = await reopened(path, clock)
    await first.register(stock())
    assert first._writing is not None
    await asyncio.wait_for(asyncio.shield(first._writing), 10)

    second = await reopened(path, clock)
    assert [one.service_url for one in second.snapshot("stock")] == [stock().service_url]


async def test_what_changes_while_the_file_is_written_is_written_too(tmp_path: Path) -> None:
    class Interrupted(KeptDirectory):
        async def _write(self) -> None:
            first = not path.exists()
            await super()._write()
            if first:
                await self.register(stock(9002))

    clock, path = ManualClock(), tmp_path / "kept.json"
    directory = Interrupted(clock, path)
    await directory.register(stock())
    await directory.close()

    second = await reopened(path, clock)
    assert [one.service_url for one in second.snapshot("stock")] == [stock().service_url, stock(9002).service_url]


async def test_what_was_withdrawn_stays_away(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "kept.json"
    first = await reopened(path, clock)
    gone = (await first.register(stock())).listing
    await first.register(stock(9002))
    await first.withdraw("stock", [gone.service_id])
    await first.close()

    second = await reopened(path, clock)
    assert [one.service_url for one in second.snapshot("stock")] == [stock(9002).service_url]


@pytest.mark.parametrize("content", [b"", b"{}", b"[{}]", b"\xff", b'[{"service_name": 1}]'])
async def test_a_file_that_cannot_be_read_is_told_and_left_out(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(content)

    directory = await reopened(path, ManualClock())

    assert directory.snapshot("stock") == ()
    assert "cannot be read" in caplog.text


async def test_what_others_have_set_is_kept_too(tmp_path: Path) -> None:
    clock = ManualClock()
    first = await reopened(tmp_path / "kept.json", clock)
    listing = (await first.register(stock())).listing
    await first.change("stock", listing.service_id, {"weight": 0.5, "tags": ["x"], "drained": True})
    await first.close()

    second = await reopened(tmp_path / "kept.json", clock)
    (again,) = second.snapshot("stock")
    assert (again.weight, again.tags, again.drained) == (0.5, ("x",), True)
    done = await second.change("stock", listing.service_id, {"weight": None})
    assert done is not None
    assert done.after.weight == 1
