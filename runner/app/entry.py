"""The runner's own entry in the registry."""

import asyncio
import contextlib
from typing import Final

import structlog

from registry.client import RegistryError
from registry.directory import AddressBook, DirectoryAway, DirectoryFull
from registry.form import read_registration

log = structlog.get_logger("saga.runner")

#: Seconds between two beats.
BEAT: Final = 10.0
#: Seconds that a registry which does not answer may keep a runner from stopping.
_PATIENCE: Final = 5.0

_TROUBLES: Final = (DirectoryAway, DirectoryFull, RegistryError)


class Entry:
    """One instance of the service `name` at `url`, listed from `announce` to `withdraw`.

    A registry that is away keeps no runner from serving or stopping.
    """

    def __init__(self, directory: AddressBook, name: str, url: str, *, interval: float = BEAT) -> None:
        self._directory = directory
        self._wish = {"service_name": name, "service_url": url, "capabilities": ["rest"]}
        self._name = name
        self._interval = interval
        self._id: str | None = None
        self._beating: asyncio.Task[None] | None = None

    def announce(self) -> None:
        """Be listed from now on."""
        self._beating = asyncio.create_task(self._beat())

    async def withdraw(self) -> None:
        """Be listed no more. Other runners of the same name stay."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait((self._beating,))
        if self._id is not None:
            with contextlib.suppress(TimeoutError, *_TROUBLES):
                async with asyncio.timeout(_PATIENCE):
                    await self._directory.withdraw(self._name, [self._id], by=self._name)
            self._id = None

    async def _beat(self) -> None:
        listed = False
        while True:
            try:
                listed = listed and await self._directory.beat(self._name, self._id or "") is not None
                if not listed:
                    # Under the same id after any gap, so that it is the same instance.
                    registration = read_registration(
                        {**self._wish, "service_id": self._id}, default_ttl=3 * self._interval
                    )
                    registered = await self._directory.register(registration, by=self._name)
                    self._id, listed = registered.listing.service_id, True
            except _TROUBLES as trouble:
                log.warning("the runner is not in the registry, it tries again", why=str(trouble))
                listed = False
            await asyncio.sleep(self._interval)
