"""Both clients under both event loops: every test of outcomes runs over http and over https."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest
import trustme
import uvloop

from runner.adapters.streams.http import HttpSink
from tests.support.services import Script, Service, serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """A scheme, an event loop, and the trust between the two ends."""

    #: `http` or `https`.
    scheme: str
    #: `asyncio` or `uvloop`.
    loop: str
    server_context: ssl.SSLContext
    client_context: ssl.SSLContext

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run `scenario` to its end in a new event loop."""
        factory = uvloop.new_event_loop if self.loop == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(scenario)

    def service(
        self, script: Script, *, host: str = "127.0.0.1", name: str | None = None
    ) -> AbstractAsyncContextManager[Service]:
        """A scripted service of this scheme."""
        return serve(script, tls=self.server_context if self.scheme == "https" else None, host=host, name=name)

    @contextlib.asynccontextmanager
    async def sink(self, **settings: Any) -> AsyncIterator[HttpSink]:
        """A sink that trusts the services, closed at the end."""
        sink = HttpSink(**{"ssl_context": self.client_context, **settings})
        try:
            yield sink
        finally:
            await sink.close()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who signs the services' certificates."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 and localhost."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """Verifies as the default context does, and knows the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=["http-asyncio", "http-uvloop", "https-asyncio", "https-uvloop"])
def net(request: pytest.FixtureRequest, server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> Net:
    scheme, loop = request.param.split("-")
    return Net(scheme=scheme, loop=loop, server_context=server_context, client_context=client_context)
