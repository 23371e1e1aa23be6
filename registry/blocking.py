"""The registry's client for threads; `registry.client` is the door to it."""

import asyncio
import atexit
import contextlib
import http.client
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from registry.base.clock import Clock, SystemClock
from registry.base.values import Json
from registry.conversation import (
    MAX_ANSWER,
    Answer,
    Ask,
    Conversation,
    Health,
    Look,
    Pause,
    Record,
    RegistryUnavailable,
    Seen,
    Talk,
    check_size,
    headers,
    unavailable,
)
from registry.keeping import Keeping, wish
from registry.settings import registry_url

_T = TypeVar("_T")


class SyncRegistryClient:
    """`RegistryClient` without asyncio: for Flask, scripts and threads. It holds no connection and needs no closing.

    `timeout`: seconds for each wait of a request. The rest is as there. Its methods wait, so never call them in a
    coroutine.
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
    ) -> None:
        self.saga_url = (saga_url or registry_url()).rstrip("/")
        self._redis_url = redis_url or ""
        self._timeout = timeout
        self._headers = headers(token)
        self._talk = Conversation(
            self.saga_url,
            redis=bool(redis_url),
            cache_ttl=cache_ttl,
            fallback=fallback or {},
            clock=clock or SystemClock(),
        )

    def register(
        self, service_name: str, service_url: str, capabilities: Iterable[str] = (), **optional: Json
    ) -> Record:
        """As `RegistryClient.register`: lists the instance once. `registered` keeps it listed."""
        return self._hold(self._talk.register(wish(service_name, service_url, capabilities, optional)))

    def discover(self, service_name: str) -> Record:
        """As `RegistryClient.discover`."""
        return self._hold(self._talk.discover(service_name))

    def services(self, **filters: str) -> list[Record]:
        """As `RegistryClient.services`."""
        return self._hold(self._talk.services(filters))

    def heartbeat(self, service_name: str, *, service_id: str | None = None) -> Record:
        """As `RegistryClient.heartbeat`."""
        return self._hold(self._talk.heartbeat(service_name, service_id))

    def unregister(
        self,
        service_name: str,
        *,
        service_id: str | None = None,
        all: bool = False,  # noqa: A002 - the interface's word
    ) -> list[Record]:
        """As `RegistryClient.unregister`."""
        return self._hold(self._talk.unregister(service_name, service_id, all))

    def resolve(
        self,
        service_name: str,
        *,
        policy: str | None = None,
        key: str | None = None,
        zone: str | None = None,
        capability: str | None = None,
    ) -> dict[str, Json]:
        """As `RegistryClient.resolve`."""
        wishes = {"policy": policy, "key": key, "zone": zone, "capability": capability}
        return self._hold(self._talk.resolve(service_name, wishes))

    def drain(self, service_name: str, *, service_id: str | None = None) -> Record:
        """As `RegistryClient.drain`."""
        return self._hold(self._talk.steer(service_name, service_id, "drain"))

    def enable(self, service_name: str, *, service_id: str | None = None) -> Record:
        """As `RegistryClient.enable`."""
        return self._hold(self._talk.steer(service_name, service_id, "enable"))

    def health(self) -> Health:
        """As `RegistryClient.health`."""
        return self._hold(self._talk.health())

    def watch(self, service_name: str) -> Iterator[list[Record]]:
        """As `RegistryClient.watch`."""
        seen: Seen | None = None
        while True:
            seen = self._hold(self._talk.news(service_name, seen))
            yield seen.instances

    def registered(
        self, service_name: str, service_url: str, capabilities: Iterable[str] = (), **optional: Json
    ) -> "Registered":
        """Keep an instance listed from now on, until `end` of what is returned, the end of its `with` block, or that of
        the process.

        A daemon thread beats. Otherwise as `RegistryClient.registered`: nothing is raised.
        """
        return Registered(self._hold, Keeping(self._talk, wish(service_name, service_url, capabilities, optional)))

    def _hold(self, talk: Talk[_T], ended: threading.Event | None = None) -> _T:
        """Hold the talk to its end; what it returns. With `ended` it is broken off at the next pause after that."""
        try:
            step = next(talk)
            while True:
                if isinstance(step, Pause):
                    if (ended or threading.Event()).wait(step.seconds):
                        raise _Ended
                    step = next(talk)
                    continue
                try:
                    answer = self._look(step) if isinstance(step, Look) else self._send(step)
                except RegistryUnavailable as reason:
                    step = talk.throw(reason)
                else:
                    step = talk.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # what the talk returns is its _T
        finally:
            talk.close()

    def _look(self, look: Look) -> Answer:
        from registry.primary import primary  # here, because few clients need Redis

        return asyncio.run(primary(self._redis_url, look.name, self._timeout))

    def _send(self, ask: Ask) -> Answer:
        try:
            parts = urlsplit(self.saga_url)
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(parts.hostname or "", parts.port, timeout=self._timeout + ask.patience)
            with contextlib.closing(connection):
                connection.request(ask.method, parts.path + ask.path, ask.body, self._headers)
                response = connection.getresponse()
                raw = response.read(MAX_ANSWER + 1)
                check_size(len(raw))
                return Answer(status=response.status, body=raw)
        except (OSError, http.client.HTTPException, ValueError) as reason:
            raise unavailable(self.saga_url, reason, self._timeout) from None


class _Ended(Exception):
    """A talk was broken off."""


class Registered:
    """An instance that a daemon thread keeps listed; made by `SyncRegistryClient.registered`."""

    def __init__(self, hold: Callable[..., Any], keeping: Keeping) -> None:
        self._hold = hold
        self._keeping = keeping
        self._ended = threading.Event()
        # A fork of this process has neither the thread nor the right to end what this one keeps.
        self._process = os.getpid()
        hold(keeping.begin())
        self._beating = threading.Thread(target=self._beat, name=f"heartbeats of {keeping.name}", daemon=True)
        self._beating.start()
        atexit.register(self.end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Stop beating and unregister; a second time does nothing."""
        if self._ended.is_set() or os.getpid() != self._process:
            return
        self._ended.set()
        self._beating.join()
        self._hold(self._keeping.end())
        atexit.unregister(self.end)

    def _beat(self) -> None:
        with contextlib.suppress(_Ended):
            self._hold(self._keeping.beats(), self._ended)
