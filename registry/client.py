"""The registry's client for asyncio programs: find services, and keep one's own service listed.

    client = RegistryClient("http://localhost:8030", fallback={"payment": "http://localhost:9002"})
    async with client, client.registered("orders", "http://10.0.0.7:8000", ["rest"]):
        payment = await client.discover("payment")

Errors: `RegistryError`
    `ServiceNotFound`       the registry answered that it knows no such service or instance
    `RegistryRefused`       it answered, but not with success
    `RegistryUnavailable`   it did not answer in time, or not as a registry does
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, cast
from urllib.parse import quote

import msgspec

from registry.base.clock import Clock, SystemClock
from registry.base.values import Json
from registry.settings import registry_url

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

_MAX_CACHED = 4_096
_MAX_ANSWER = 16 * 1_048_576
#: Seconds until the next try while an instance is not listed; between heartbeats the registry's word counts.
_RETRY: Final = 5.0
_DEFAULT_INTERVAL: Final = 30.0


class Record(TypedDict, total=False):
    """One service as the registry answers it; times are ISO 8601. A fallback has only the first four."""

    service_name: str
    service_url: str
    service_id: str
    capabilities: list[str]
    registered_at: str
    last_heartbeat: str
    weight: float
    zone: str | None
    version: str | None
    tags: list[str]
    metadata: dict[str, Json]
    health_check_url: str | None
    openapi_url: str | None
    #: Seconds.
    ttl: float
    heartbeat_interval: float
    instances: list["Record"]
    index: int


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What must be so in a `Record` that a registry answers, whatever else it has."""

    service_name: str
    service_url: str
    service_id: str
    capabilities: list[str] = []
    last_heartbeat: str = ""
    zone: str | None = None
    version: str | None = None
    heartbeat_interval: float = 0
    instances: list["_Told"] = []


class RegistryError(Exception):
    """The registry could not do what was asked."""


class ServiceNotFound(RegistryError):
    """No such service, or no such instance of it, is registered."""


class RegistryRefused(RegistryError):
    """The registry answered with `status`; `problem` is its document."""

    def __init__(self, message: str, *, status: int, problem: Json) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


class RegistryUnavailable(RegistryError):
    """The registry did not answer in time, or not as a registry does."""


class RegistryClient:
    """Talks to one registry; for one event loop. Close it with `async with` or `aclose`.

    `saga_url`: the registry, without it `SAGA_SERVICE_URL` or http://localhost:8030. `cache_ttl`: seconds
    that a discovered service is kept. `fallback`: service name to URL, for when the registry does not help.
    `timeout`: seconds for one request as a whole. `sleep` waits between heartbeats.
    """

    def __init__(
        self,
        saga_url: str | None = None,
        *,
        cache_ttl: float = 30,
        fallback: Mapping[str, str] | None = None,
        timeout: float = 5,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.saga_url = (saga_url or registry_url()).rstrip("/")
        self._cache_ttl = cache_ttl
        self._fallback = dict(fallback or {})
        self._timeout = timeout
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._cache: dict[str, tuple[float, Record]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def register(
        self, service_name: str, service_url: str, capabilities: Iterable[str] = (), **optional: Json
    ) -> Record:
        """List an instance, or renew it. `optional`: `service_id, weight, zone, version, tags, metadata, ttl,
        ...`.

        The answer has `service_id`, `ttl` and `heartbeat_interval`. Raises `RegistryError`.
        """
        body = {"service_name": service_name, "service_url": service_url, "capabilities": list(capabilities)}
        return self._record(await self._ask("POST", "/services/register", body={**body, **optional}))

    async def discover(self, service_name: str) -> Record:
        """An instance of the service: from the cache, else from the registry, else the fallback URL.

        Raises `ServiceNotFound` or another `RegistryError` if none of them has it.
        """
        kept = self._cache.get(service_name)
        if kept is not None and self._clock.monotonic() < kept[0]:
            return kept[1]
        try:
            found = self._record(await self._ask("GET", f"/services/{quote(service_name, safe='')}"))
        except RegistryError as reason:
            self._cache.pop(service_name, None)
            url = self._fallback.get(service_name)
            if url is None:
                raise
            log.warning("%s is taken from the fallback: %s", service_name, reason)
            return Record(service_name=service_name, service_url=url, service_id="", capabilities=[])
        self._cache.pop(service_name, None)
        if len(self._cache) >= _MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[service_name] = (self._clock.monotonic() + self._cache_ttl, found)
        return found

    async def services(self, **filters: str) -> list[Record]:
        """All services, sorted by name. `filters`: `capability, tag, zone, prefix, health`."""
        body = await self._ask("GET", "/services", query=filters)
        listed = body.get("services")
        if not isinstance(listed, list):
            raise RegistryUnavailable(f"{self.saga_url} answered no list of services: is it a registry?")
        return [self._record(each) for each in listed]

    async def heartbeat(self, service_name: str, *, service_id: str | None = None) -> Record:
        """Start the time to live anew. Raises `ServiceNotFound` if it has ended: register again."""
        path = f"/services/{quote(service_name, safe='')}/heartbeat"
        return self._record(await self._ask("POST", path, query=_given(service_id=service_id)))

    async def unregister(
        self,
        service_name: str,
        *,
        service_id: str | None = None,
        all: bool = False,  # noqa: A002 - the interface's word
    ) -> None:
        """Remove one instance: the one of `service_id`, else the caller's own; or `all` of the service."""
        query = _given(service_id=service_id, all="true" if all else None)
        answered = await self._ask("DELETE", f"/services/{quote(service_name, safe='')}", query=query)
        if not isinstance(answered.get("removed"), list):
            raise RegistryUnavailable(f"{self.saga_url} did not say what it removed: is it a registry?")
        self._cache.pop(service_name, None)

    @contextlib.asynccontextmanager
    async def registered(
        self, service_name: str, service_url: str, capabilities: Iterable[str] = (), **optional: Json
    ) -> AsyncIterator[None]:
        """Keep an instance listed as long as the block runs.

        Registers, beats as often as the registry says, registers again after any failed beat, and unregisters
        at the end. Nothing that the registry does or fails to do is raised here: failures are logged.
        """
        keeper = _Keeper(
            self,
            {
                "service_name": service_name,
                "service_url": service_url,
                "capabilities": list(capabilities),
                **optional,
            },
        )
        await keeper.register()
        beating = asyncio.create_task(keeper.beat_forever(self._sleep), name=f"heartbeats of {service_name}")
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait((beating,))
            await keeper.unregister()

    async def _ask(
        self, method: str, path: str, *, body: Json = None, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The JSON object of a successful answer."""
        import aiohttp  # here, because it takes longer to load than the rest of the package together

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout))
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if data is not None else None
        try:
            async with self._session.request(
                method,
                f"{self.saga_url}/api/v1{path}",
                params=query,
                data=data,
                headers=headers,
                allow_redirects=False,
            ) as response:
                status, raw = response.status, await _read(response.content)
        except (aiohttp.ClientError, TimeoutError, ValueError) as reason:
            said = str(reason) or f"no answer within {self._timeout:g} s"
            raise RegistryUnavailable(f"The registry at {self.saga_url} cannot be reached: {said}.") from None
        return self._accepted(status, raw)

    def _record(self, answered: Json) -> Record:
        """The answer as it came, if it is a service."""
        try:
            msgspec.convert(answered, _Told)
        except msgspec.ValidationError as wrong:
            raise RegistryUnavailable(f"{self.saga_url} answered no service ({wrong}): is it a registry?") from None
        return cast(Record, answered)

    def _accepted(self, status: int, raw: bytes) -> dict[str, Any]:
        try:
            answered = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            answered = None
        if status in (200, 201) and isinstance(answered, dict):
            return answered
        if not isinstance(answered, dict) or status < 400:
            raise RegistryUnavailable(f"{self.saga_url} answered {status}, but not as a registry: is it one?")
        message = str(answered.get("error") or answered.get("detail") or f"The registry answered {status}.")
        if status == 404:
            raise ServiceNotFound(message)
        raise RegistryRefused(message, status=status, problem=answered)


class _Keeper:
    """Keeps one instance listed; logs what it cannot do."""

    def __init__(self, client: RegistryClient, wish: dict[str, Json]) -> None:
        self._client = client
        self._wish = wish
        self._name: str = wish["service_name"]
        self._interval = _DEFAULT_INTERVAL
        self._listed = False
        #: The id the registry knows it by; kept, so that it is the same instance after any gap.
        self._id: str | None = wish.get("service_id")

    async def register(self) -> None:
        try:
            answered = await self._client.register(**self._wish)
        except RegistryError as reason:
            self._listed = False
            log.warning("%s is not registered, the next try follows: %s", self._name, reason)
            return
        self._listed = True
        self._learn(answered)
        log.info("%s is registered as %s", self._name, self._id)

    async def beat_forever(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        while True:
            await sleep(self._interval if self._listed else min(self._interval, _RETRY))
            if not self._listed:
                await self.register()
                continue
            try:
                self._learn(await self._client.heartbeat(self._name, service_id=self._id))
            except RegistryError as reason:
                log.warning("heartbeat of %s failed, registering again: %s", self._name, reason)
                await self.register()

    async def unregister(self) -> None:
        # Also when it seems not to be listed: an answer may have been lost on its way.
        if self._id is None:
            return
        try:
            await self._client.unregister(self._name, service_id=self._id)
        except RegistryError as reason:
            log.warning("%s could not be unregistered, it will expire: %s", self._name, reason)

    def _learn(self, answered: Record) -> None:
        self._id = answered.get("service_id") or self._id
        if self._id is not None:
            self._wish["service_id"] = self._id
        interval = answered.get("heartbeat_interval")
        if isinstance(interval, int | float) and interval > 0:
            self._interval = interval


async def _read(content: "aiohttp.StreamReader") -> bytes:
    """The whole body, if it is not absurdly large."""
    raw = bytearray()
    async for chunk in content.iter_any():
        raw += chunk
        if len(raw) > _MAX_ANSWER:
            raise ValueError(f"its answer is larger than {_MAX_ANSWER} bytes")
    return bytes(raw)


def _given(**query: str | None) -> dict[str, str]:
    return {name: value for name, value in query.items() if value is not None}
