"""A runner inside the test's own process, over services outside of it, for faults that only it can have."""

import asyncio
from collections.abc import Callable

from registry.base.clock import Clock
from runner import app
from runner.settings import load
from tests.support.processes import Server


def at_work(server: Server, work: Callable[[asyncio.AbstractEventLoop], None], clock: Clock | None = None) -> None:
    """Serve in this process, by that clock, while `work` goes on in a thread; it is given the loop that serves."""

    async def main() -> None:
        settings = load(environment={}, config="saga.yml", folder=server.folder)
        async with app.runner(settings, app.load_definitions(settings), clock=clock) as serving:
            await serving.keeper.start()
            await asyncio.to_thread(work, asyncio.get_running_loop())

    asyncio.run(main())
