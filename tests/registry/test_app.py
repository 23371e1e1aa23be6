import asyncio
import logging
import signal

import pytest

from registry.app import serve
from registry.base.clock import ManualClock
from registry.base.guest import CannotListen
from registry.directories.memory import MemoryDirectory
from registry.settings import Settings

pytestmark = pytest.mark.anyio


async def test_a_taken_address_is_a_sentence_and_a_freed_one_can_be_had() -> None:
    async with serve(Settings(port=0)) as first:
        with pytest.raises(
            CannotListen, match=f"the registry cannot listen on 127.0.0.1:{first.port} .*give it another port"
        ):
            async with serve(Settings(port=first.port)):
                pass
    async with serve(Settings(port=first.port)) as second:
        assert second.url == first.url
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", second.port)


async def test_a_host_that_nobody_knows_is_a_sentence() -> None:
    with pytest.raises(CannotListen, match=r"cannot listen on no\.such\.host\.invalid:0"):
        async with serve(Settings(host="no.such.host.invalid", port=0)):
            pass


async def test_signals_are_left_to_the_host() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with serve(Settings(port=0)):
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_the_callers_own_directory_is_served() -> None:
    directory = MemoryDirectory(ManualClock())
    async with serve(Settings(port=0), directory=directory) as serving:
        assert serving.directory is directory


async def test_regrettable_settings_are_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "registry"):
        async with serve(Settings(port=0, registration_ttl=5)):
            pass
    assert "less than twice HEARTBEAT_INTERVAL" in caplog.text


async def test_an_error_in_the_block_still_stops_the_server() -> None:
    with pytest.raises(KeyError):
        async with serve(Settings(port=0)) as serving:
            raise KeyError
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", serving.port)
