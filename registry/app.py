"""The registry as a running server: directory, application and socket put together, inside any event loop."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from registry.base.clock import Clock, SystemClock
from registry.base.guest import Guest, listening, url_of
from registry.directories.memory import MemoryDirectory
from registry.directory import Directory
from registry.office import Office
from registry.prober import Prober
from registry.server import app
from registry.settings import Settings

log = logging.getLogger(__name__)

#: Seconds that open requests get at the end.
_GRACE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A registry that answers."""

    #: As bound; the port is the real one where any was asked for.
    host: str
    port: int
    url: str
    directory: Directory
    #: Answers what waits for a change; the end of the block does it, too.
    stop: Callable[[], None]


@contextlib.asynccontextmanager
async def serve(
    settings: Settings, *, clock: Clock | None = None, directory: Directory | None = None
) -> AsyncIterator[Serving]:
    """Serve within the `async with` block, in the running event loop; signals are left to the caller.

    Without a `directory` it is the one that the settings say; a given one is opened and closed by who gives it. Raises
    `CannotListen` before anything was started. When the block ends, no new connections are taken and open requests
    get a few seconds.
    """
    clock = clock or SystemClock()
    for warning in settings.warnings():
        log.warning(warning)
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(listening(settings.host, settings.port, "the registry"))
        if directory is None:
            directory = _directory(settings, clock)
            await directory.open()
            stack.push_async_callback(directory.close)
        office = Office(directory, settings, clock)
        stack.push_async_callback(
            _ended,
            asyncio.create_task(Prober(directory, office.networks, office.figures).run(), name="registry prober"),
        )
        guest = Guest(app(office), listener, grace=_GRACE)
        await guest.open()
        stack.push_async_callback(guest.close)
        stack.callback(office.stopping.set)
        url = url_of(settings.host, guest.port)
        log.info("registry on %s, directory %s", url, directory.facts().redis)
        yield Serving(host=settings.host, port=guest.port, url=url, directory=directory, stop=office.stopping.set)


def _directory(settings: Settings, clock: Clock) -> Directory:
    if settings.redis_url is None:
        log.info("REDIS_URL is not set: services are kept in this process alone, and are gone when it ends")
        return MemoryDirectory(clock)
    from registry.directories.redis import RedisDirectory  # here, because redis is slow to load

    log.info("services are kept in %s", settings.redis_url)
    return RedisDirectory(settings.redis_url, clock, refresh=settings.cache_refresh_interval)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled() and (failure := task.exception()) is not None:
        log.error("%s had failed", task.get_name(), exc_info=failure)
