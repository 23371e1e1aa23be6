"""The registry's clients: find services, and keep one's own service listed.

    async with RegistryClient(fallback={"payment": "http://localhost:9002"}) as client:
        async with client.registered("orders", "http://10.0.0.7:8000", ["rest"]):
            payment = await client.discover("payment")

    app = FastAPI(lifespan=RegistryClient().lifespan("orders", "http://10.0.0.7:8000", ["rest"]))

`RegistryClient` is for asyncio; `SyncRegistryClient` has the same methods for Flask, scripts and threads, and beats in
a daemon thread. Errors: `RegistryError`
    `RegistryRefused`       the registry answered, but not with success
        `ServiceNotFound`   it knows no such service or instance
    `RegistryUnavailable`   it did not answer in time, or not as a registry does
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

from registry.base.clock import Clock, SystemClock
from registry.base.values import Json
from registry.blocking import SyncRegistryClient
from registry.conversation import (
    MAX_ANSWER,
    Answer,
    Ask,
    Conversation,
    Event,
    Health,
    Look,
    Pause,
    Record,
    RegistryError,
    RegistryRefused,
    RegistryUnavailable,
    Seen,
    ServiceNotFound,
    Talk,
    check_size,
    headers,
    unavailable,
)
from registry.keeping import Keeping, wish
from registry.settings import registry_url

if TYPE_CHECKING:
    import aiohttp

__all__ = [
    "Event",
    "Health",
    "Record",
    "RegistryClient",
    "RegistryError",
    "RegistryRefused",
    "RegistryUnavailable",
    "ServiceNotFound",
    "SyncRegistryClient",
]

#: Seconds without a word after which a stream of changes is given up; a registry says something every 15.
_LONGEST_SILENCE: Final = 45.0

_T = TypeVar("_T")
#: What an ASGI application takes as its lifespan.
Lifespan: TypeAlias = Callable[[Any], contextlib.AbstractAsyncContextManager[Any]]


class RegistryClient:
    """Talks to one registry; for one event loop. Close it with `async with` or `aclose`.

    `saga_url`: the registry, without it `SAGA_SERVICE_URL` or http://localhost:8030. `redis_url`: its Redis, which is
    read where the registry does not answer. `cache_ttl`: seconds that a discovered service is kept. `fallback`: service
    name to URL, for when neither helps.
    `timeout`: seconds for one request as a whole. `token`: where the registry asks for one, without it
    `SAGA_SERVICE_TOKEN`. `sleep` waits between heartbeats.
    """

    def __init__(
        self,
        saga_url: str | None = None,
        redis_url: str | None = None,
        cache_ttl: float = 30,
        fallback: Mapping[str, str] | None = None,
        timeout: float = 5,
        *,
        token: str | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.saga_url = (saga_url or registry_url()).rstrip("/")
        self._redis_url = redis_url or ""
        self._timeout = timeout
        self._headers = headers(token)
        self._sleep = sleep
        self._talk = Conversation(
            self.saga_url,
            redis=bool(redis_url),
            cache_ttl=cache_ttl,
            fallback=fallback or {},
            clock=clock or SystemClock(),
        )
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
        return await self._hold(self._talk.register(wish(service_name, service_url, capabilities, optional)))

    async def discover(self, service_name: str) -> Record:
        """An instance of the service: from the cache, else from the registry (or its Redis), else the fallback URL.

        Raises `ServiceNotFound` or another `RegistryError` if none of them has it.
        """
        return await self._hold(self._talk.discover(service_name))

    async def services(self, **filters: str) -> list[Record]:
        """All services, sorted by name. `filters`: `capability, tag, zone, prefix, health`."""
        return await self._hold(self._talk.services(filters))

    async def heartbeat(self, service_name: str, *, service_id: str | None = None) -> Record:
        """Start the time to live anew. Raises `ServiceNotFound` if it has ended: register again."""
        return await self._hold(self._talk.heartbeat(service_name, service_id))

    async def unregister(
        self,
        service_name: str,
        *,
        service_id: str | None = None,
        all: bool = False,  # noqa: A002 - the interface's word
    ) -> list[Record]:
        """Remove one instance, by `service_id` or as the caller's own, or `all`. The answer is what is gone."""
        return await self._hold(self._talk.unregister(service_name, service_id, all))

    async def resolve(
        self,
        service_name: str,
        *,
        policy: str | None = None,
        key: str | None = None,
        zone: str | None = None,
        capability: str | None = None,
    ) -> dict[str, Json]:
        """Which instance a call would get (`chosen`), and why not the others (`reasons`); nothing is counted."""
        wishes = {"policy": policy, "key": key, "zone": zone, "capability": capability}
        return await self._hold(self._talk.resolve(service_name, wishes))

    async def drain(self, service_name: str, *, service_id: str | None = None) -> Record:
        """Give one instance no new calls until `enable`; without `service_id` the only one that there is."""
        return await self._hold(self._talk.steer(service_name, service_id, "drain"))

    async def enable(self, service_name: str, *, service_id: str | None = None) -> Record:
        """Undo `drain`."""
        return await self._hold(self._talk.steer(service_name, service_id, "enable"))

    async def health(self) -> Health:
        """How the registry says it is. Raises `RegistryError` where it does not answer."""
        return await self._hold(self._talk.health())

    async def watch(self, service_name: str) -> AsyncGenerator[list[Record], None]:
        """The live instances of the service now, and again after each change; ends when the caller does.

        Nothing is raised where the registry is away: it is asked until it answers again.
        """
        seen: Seen | None = None
        while True:
            seen = await self._hold(self._talk.news(service_name, seen))
            yield seen.instances

    async def changes(self, prefix: str = "") -> AsyncGenerator[Event, None]:
        """Every change of every service whose name begins so, from now on; first an `opened`.

        Ends only by raising a `RegistryError`, when the registry does not speak any more.
        """
        import aiohttp
        from yarl import URL

        silence = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=_LONGEST_SILENCE)
        try:
            url = URL(f"{self.saga_url}/api/v1/services/watch").with_query({"prefix": prefix} if prefix else {})
            async with self._opened().get(
                url, headers=self._headers, allow_redirects=False, timeout=silence
            ) as response:
                if response.status != 200 or response.content_type != "text/event-stream":
                    body = await response.content.read(MAX_ANSWER)
                    raise self._talk.refused(Answer(status=response.status, body=body))
                unread = bytearray()
                async for chunk in response.content.iter_any():
                    unread += chunk
                    check_size(len(unread))
                    *blocks, rest = bytes(unread).split(b"\n\n")
                    unread = bytearray(rest)
                    for block in blocks:
                        event = self._talk.event(block)
                        if event is not None:
                            yield event
        except (aiohttp.ClientError, TimeoutError, ValueError) as reason:
            raise unavailable(self.saga_url, reason, _LONGEST_SILENCE) from None
        raise RegistryUnavailable(f"The registry at {self.saga_url} has ended its stream of changes.")

    @contextlib.asynccontextmanager
    async def registered(
        self, service_name: str, service_url: str, capabilities: Iterable[str] = (), **optional: Json
    ) -> AsyncIterator[None]:
        """Keep an instance listed as long as the block runs.

        Registers, beats as often as the registry says, registers again after any failed beat, and unregisters
        at the end. Nothing that the registry does or fails to do is raised here: failures are logged.
        """
        keeping = Keeping(self._talk, wish(service_name, service_url, capabilities, optional))
        await self._hold(keeping.begin())
        beating = asyncio.create_task(self._hold(keeping.beats()), name=f"heartbeats of {service_name}")
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait((beating,))
            await self._hold(keeping.end())

    def lifespan(
        self,
        service_name: str,
        service_url: str,
        capabilities: Iterable[str] = (),
        *,
        inner: Lifespan | None = None,
        **optional: Json,
    ) -> Lifespan:
        """`registered` as the lifespan of a FastAPI or Starlette application, around its `inner` one if it has one.

        The service is listed once `inner` has started, and withdrawn before `inner` ends; then the client is closed.
        """

        @contextlib.asynccontextmanager
        async def listed(app: Any) -> AsyncIterator[Any]:
            async with (
                self,
                inner(app) if inner is not None else contextlib.nullcontext() as state,
                self.registered(service_name, service_url, capabilities, **optional),
            ):
                yield state

        return listed

    async def _hold(self, talk: Talk[_T]) -> _T:
        """Hold the talk to its end; what it returns."""
        try:
            step = next(talk)
            while True:
                if isinstance(step, Pause):
                    await self._sleep(step.seconds)
                    step = next(talk)
                    continue
                try:
                    answer = await (self._look(step) if isinstance(step, Look) else self._send(step))
                except RegistryUnavailable as reason:
                    step = talk.throw(reason)
                else:
                    step = talk.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # what the talk returns is its _T
        finally:
            talk.close()

    def _opened(self) -> "aiohttp.ClientSession":
        import aiohttp  # here, because it takes longer to load than the rest of the package together

        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def _look(self, look: Look) -> Answer:
        from registry.primary import primary  # here, because few clients need Redis

        return await primary(self._redis_url, look.name, self._timeout)

    async def _send(self, ask: Ask) -> Answer:
        import aiohttp
        from yarl import URL

        try:
            async with self._opened().request(
                ask.method,
                URL(self.saga_url + ask.path, encoded=True),
                data=ask.body,
                headers=self._headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._timeout + ask.patience),
            ) as response:
                raw = bytearray()
                async for chunk in response.content.iter_any():
                    raw += chunk
                    check_size(len(raw))
                return Answer(status=response.status, body=bytes(raw))
        except (aiohttp.ClientError, TimeoutError, ValueError) as reason:
            raise unavailable(self.saga_url, reason, self._timeout) from None
