"""The line in front of the connections, by itself."""

import asyncio

from runner.adapters.streams.http import gate
from runner.adapters.streams.http.gate import Gate


def test_the_line_is_bounded() -> None:
    async def scenario() -> None:
        until = asyncio.get_running_loop().time() + 60
        full = Gate(0)
        waiting = [asyncio.create_task(full.wait(until)) for _ in range(gate.MAX_LINE)]
        await asyncio.sleep(0)
        assert not await full.wait(until)
        full.dismiss()
        assert not any(await asyncio.gather(*waiting))

    asyncio.run(scenario())


def test_a_place_given_to_a_caller_that_is_cancelled_at_once_goes_to_the_next() -> None:
    async def scenario() -> None:
        until = asyncio.get_running_loop().time() + 60
        one = Gate(1)
        assert one.enter()
        first, second = (asyncio.create_task(one.wait(until)) for _ in range(2))
        await asyncio.sleep(0)
        one.leave()
        first.cancel()
        assert await second
        assert first.cancelled()
        one.leave()
        assert one.enter()
        assert not one.enter()

    asyncio.run(scenario())
