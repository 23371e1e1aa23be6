"""The embedded directory over a restart: what was listed is written to a file and listed again at the next start.

A process that starts again has runs to go on with, and no service would be known to it before its next heartbeat. So
every instance that was listed gets one full time to live of grace, as if it had just been heard of.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from registry.base.clock import Clock
from registry.base.values import Json
from registry.directories.memory import MAX_INSTANCES, MemoryDirectory
from registry.directory import Changed, DirectoryFull, Registered
from registry.listing import Listing, Registration, parts

log = logging.getLogger(__name__)

#: Seconds that changes gather before the file is written.
GATHER = 0.2

#: Who lists what was kept, for the audit log.
_BY = "kept"


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One instance in the file: what it sent, and what others have set of it."""

    sent: Registration
    set: dict[str, Json] = {}


class KeptDirectory(MemoryDirectory):
    """A `MemoryDirectory` that remembers in the file `path`. The file is a convenience: without it nothing fails."""

    def __init__(self, clock: Clock, path: Path, *, limit: int = MAX_INSTANCES) -> None:
        super().__init__(clock, limit=limit)
        self._path = path
        self._writing: asyncio.Task[None] | None = None
        #: Whether something has changed since the file's content was taken.
        self._stale = False

    async def open(self) -> None:
        """List again what the file holds; what cannot be read is left out and told."""
        try:
            kept = msgspec.json.decode(await asyncio.to_thread(self._path.read_bytes), type=list[_Kept])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("the kept directory %s cannot be read, services have to register again: %s", self._path, error)
            return
        for one in kept:
            with contextlib.suppress(DirectoryFull):
                listing = (await super().register(one.sent, by=_BY)).listing
                await super().change(listing.service_name, listing.service_id, one.set, by=_BY)

    async def close(self) -> None:
        """Write what has not been written yet."""
        if self._writing is not None:
            await self._writing

    async def register(self, registration: Registration, *, by: str = "") -> Registered:
        before = self.version(registration.service_name)
        registered = await super().register(registration, by=by)
        if self.version(registration.service_name) != before:
            self._keep()
        return registered

    async def withdraw(self, name: str, service_ids: Iterable[str], *, by: str = "") -> tuple[Listing, ...]:
        removed = await super().withdraw(name, service_ids, by=by)
        if removed:
            self._keep()
        return removed

    async def change(self, name: str, service_id: str, members: Mapping[str, Json], *, by: str = "") -> Changed | None:
        done = await super().change(name, service_id, members, by=by)
        if done is not None and done.after != done.before:
            self._keep()
        return done

    def _keep(self) -> None:
        self._stale = True
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_soon())

    async def _write_soon(self) -> None:
        while self._stale:  # again, where it changed while it was being written
            await asyncio.sleep(GATHER)
            await self._write()

    async def _write(self) -> None:
        self._stale = False
        listed = [_kept(listing) for listings in (await self.list()).values() for listing in listings]
        try:
            await asyncio.to_thread(_replace, self._path, msgspec.json.encode(listed))
        except OSError as error:
            log.warning("the directory could not be kept in %s: %s", self._path, error)


def _kept(listing: Listing) -> _Kept:
    sent, told = parts(listing)
    return _Kept(sent=sent, set=told)


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    fresh.replace(path)
