"""Active checks: one registry of all that share a directory asks every `health_check_url` now and then, and writes what
it found into the directory, where all see it.
"""

import asyncio
import logging
import socket
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from registry.base.networks import Networks
from registry.directory import Directory, DirectoryAway
from registry.figures import Figures
from registry.listing import HEALTH, STANDING, Listing, host_of

log = logging.getLogger(__name__)

#: Seconds between two rounds, and that one check may take.
INTERVAL: Final = 10.0
TIMEOUT: Final = 3.0
#: Checks at a time.
AT_ONCE: Final = 32
#: Seconds that an election holds, and instances that are checked under one, which takes less at the longest.
LEASE: Final = 3 * INTERVAL
_BATCH: Final = 8 * AT_ONCE
#: Failed checks in a row that make an instance critical; one may be lost.
FAILURES: Final = 2

PASSING, WARNING, CRITICAL = HEALTH
_ROLE: Final = "prober"
_PATIENCE: Final = aiohttp.ClientTimeout(total=TIMEOUT)


class Prober:
    """Checks as long as `run` runs. Until it has been asked twice in vain an instance passes."""

    def __init__(
        self,
        directory: Directory,
        networks: Networks,
        figures: Figures,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._directory = directory
        self._networks = networks
        self._figures = figures
        self._sleep = sleep
        self._holder = str(uuid.uuid4())
        #: Failed checks in a row by name and id.
        self._failed: dict[tuple[str, str], int] = {}

    async def run(self) -> None:
        """A round now and then."""
        while True:
            try:
                await self.round()
            except DirectoryAway as reason:
                log.info("no checks while the store is away: %s", reason)
            await self._sleep(INTERVAL)

    async def round(self) -> None:
        """Check every instance that says where, as long as this registry is the elected one, and write down whose
        health is another now.
        """
        listings = [x for each in (await self._directory.list()).values() for x in each]
        asked = [x for x in listings if x.health_check_url is not None]
        known = {(x.service_name, x.service_id) for x in asked}
        self._failed = {key: count for key, count in self._failed.items() if key in known}
        released = [x for x in listings if x.health_check_url is None and x.probed != STANDING["probed"]]
        for begin in range(0, max(len(asked), len(released)), _BATCH):
            if not await self._directory.lease(_ROLE, self._holder, LEASE):
                return
            for listing in released[begin : begin + _BATCH]:
                await self._write(listing, None)
            batch = asked[begin : begin + _BATCH]
            for listing, found in zip(batch, await self._check(batch), strict=True):
                await self._settle(listing, found)

    async def _check(self, batch: Sequence[Listing]) -> Sequence[str]:
        connector = aiohttp.TCPConnector(
            limit=AT_ONCE, force_close=True, resolver=_Permitted(self._networks), use_dns_cache=False
        )
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
            limit = asyncio.Semaphore(AT_ONCE)

            async def found(url: str) -> str:
                async with limit:
                    return await self._found(session, url)

            return await asyncio.gather(*(found(x.health_check_url or "") for x in batch))

    async def _found(self, session: aiohttp.ClientSession, url: str) -> str:
        """What one check finds: any 2xx passes, 429 warns, all else, a redirect too, fails."""
        try:
            self._networks.check_literal(host_of(url))
            async with session.get(url, allow_redirects=False, timeout=_PATIENCE) as response:
                status = response.status
        except (aiohttp.ClientError, OSError, ValueError) as reason:  # a time that is up, too
            log.debug("check of %s: %s", url, reason)
            return CRITICAL
        return PASSING if 200 <= status < 300 else WARNING if status == 429 else CRITICAL

    async def _settle(self, listing: Listing, found: str) -> None:
        self._figures.checks[found] = self._figures.checks.get(found, 0) + 1
        key = listing.service_name, listing.service_id
        if found != CRITICAL:
            self._failed.pop(key, None)
        else:
            self._failed[key] = self._failed.get(key, 0) + 1
            if self._failed[key] < FAILURES:
                return
        if found != listing.probed:
            log.info("%s %s is %s by its check", *key, found)
            await self._write(listing, None if found == PASSING else found)

    async def _write(self, listing: Listing, probed: str | None) -> None:
        await self._directory.change(listing.service_name, listing.service_id, {"probed": probed}, by=_ROLE)


class _Permitted(AbstractResolver):
    """Names lead to permitted addresses only, and only those are connected to."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=_family(address), proto=0, flags=_NUMERIC)
            for address in await self._networks.resolve(host, port)
        ]

    async def close(self) -> None:
        return


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
