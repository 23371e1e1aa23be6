"""The registry as a running server: directory, application and socket put together, inside any event loop."""

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from registry.base.clock import Clock, SystemClock
from registry.base.guest import Guest, listening, url_of
from registry.directories.memory import MemoryDirectory
from registry.directory import Directory
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


@contextlib.asynccontextmanager
async def serve(
    settings: Settings, *, clock: Clock | None = None, directory: Directory | None = None
) -> AsyncIterator[Serving]:
    """Serve within the `async with` block, in the running event loop; signals are left to the caller.

    Without a `directory` it is the embedded one. Raises `CannotListen` before anything was started. When the
    block ends, no new connections are taken and open requests get a few seconds.
    """
    clock = clock or SystemClock()
    directory = directory or MemoryDirectory(clock)
    for warning in settings.warnings():
        log.warning(warning)
    with listening(settings.host, settings.port, "the registry") as listener:
        guest = Guest(app(directory, settings, clock), listener, grace=_GRACE)
        await guest.open()
        try:
            url = url_of(settings.host, guest.port)
            log.info("registry on %s, directory %s", url, directory.facts().redis)
            yield Serving(host=settings.host, port=guest.port, url=url, directory=directory)
        finally:
            await guest.close()
