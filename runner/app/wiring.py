"""The composition root: settings become adapters, adapters become ports, ports become a runner that serves."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version as version_of
from typing import Final

import structlog

from registry.app import serve as serve_registry
from registry.base.clock import Clock, SystemClock
from registry.base.guest import Guest, listening, url_of
from registry.chooser import Chooser
from registry.directories.kept import KeptDirectory
from registry.directories.memory import MemoryDirectory
from registry.directories.redis_address import read_address
from registry.directories.remote import RemoteDirectory
from registry.directory import AddressBook, Directory
from registry.settings import Settings as RegistrySettings
from runner.adapters.stores.memory import MemoryJournals
from runner.adapters.stores.sqlite import SqliteJournals
from runner.adapters.streams.http.sink import HttpSink
from runner.adapters.streams.http.source import HttpSource
from runner.adapters.streams.inprocess import InProcessStreams
from runner.adapters.web.admin import management
from runner.adapters.web.pages import pages
from runner.app.entry import Entry
from runner.definitions.bundle import reach
from runner.definitions.catalog import Catalog
from runner.definitions.load import Loaded, load
from runner.engine.dispatch import Dispatcher, Limits
from runner.engine.drive import Driver
from runner.engine.operate import Operator
from runner.engine.perform import Performer, Target
from runner.engine.records import Records
from runner.engine.recover import Keeper
from runner.guards.serving import refusal
from runner.ports import Journals, StoreError
from runner.saga.definition import Saga
from runner.settings import Settings
from runner.settings.streams import HttpStream, InProcessStream
from runner.settings.world import world_of
from runner.steps.call import called

log = structlog.get_logger("saga.runner")

VERSION: Final = version_of("saga-runner")
#: Seconds that whoever asks whether the runner is ready waits for the journal.
PATIENCE: Final = 2.0


@dataclass(slots=True, kw_only=True)
class Runner:
    """A runner that serves."""

    settings: Settings
    url: str
    registry_url: str | None
    loaded: Loaded
    dispatcher: Dispatcher
    driver: Driver
    keeper: Keeper
    directory: AddressBook
    entry: Entry
    #: Names of the services that its sagas call and that have no address in the settings.
    called: frozenset[str]
    #: Why it is not ready; empty where it is.
    not_ready: str = ""

    @property
    def missing(self) -> list[str]:
        """Services that its sagas call and nobody could reach now."""
        return sorted(name for name in self.called if not self.directory.snapshot(name))

    async def unready(self) -> str:
        """Why it is not ready, as a sentence; empty where it is."""
        if self.not_ready:
            return self.not_ready
        try:
            async with asyncio.timeout(PATIENCE):
                await self.driver.journals.ping()
        except (StoreError, TimeoutError):
            return "the journal does not answer"
        return ""

    async def drain(self) -> None:
        """Take nothing new, and let the runs in flight finish while what they call still answers."""
        self.not_ready = "the runner is stopping"
        self.dispatcher.accepting = False
        await self.entry.withdraw()
        await self.keeper.stop()
        await self.driver.stop(self.settings.runner.drain_timeout_s)
        await self.dispatcher.starter.stop()

    def reload(self) -> Loaded:
        """Read the definitions again; the last good set stays in service where there is an error."""
        loaded = load_definitions(self.settings)
        if not loaded.errors:
            self.dispatcher.serve(loaded.catalog)
            self.loaded = loaded
            self.called = _called(self.settings, loaded)
        return loaded


def load_definitions(settings: Settings) -> Loaded:
    """The definitions that the settings name, checked against them; services may come and go in the registry."""
    return load(list(settings.definitions), replace(world_of(settings), services=None), settings.folder)


@contextlib.asynccontextmanager
async def runner(settings: Settings, loaded: Loaded, *, clock: Clock | None = None) -> AsyncIterator[Runner]:
    """Serve until the block ends, then stop in order. Raises CannotListen and StoreUnavailable at the start.

    Runs that an earlier process left are gone on with from `keeper.start()` on: the caller's, so that services which
    it brings along answer by then.
    """
    clock = clock or SystemClock()
    mine = settings.runner
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listening(mine.host, mine.port, "the runner"))
        journals = _journals(settings, clock)
        await journals.open(f"{mine.name}#{secrets.token_hex(8)}")
        stack.push_async_callback(journals.close)
        embedded = _embedded(settings, clock) if settings.registry.url is None else None
        directory = embedded or _elsewhere(settings, clock)
        await directory.open()
        stack.push_async_callback(directory.close)
        registry_url = settings.registry.url
        if embedded is not None and settings.registry.port:
            registry = await stack.enter_async_context(
                serve_registry(
                    RegistrySettings(host=mine.host, port=settings.registry.port),
                    clock=clock,
                    directory=embedded,
                )
            )
            registry_url = registry.url
        sink = HttpSink(
            max_connections=settings.http.max_connections,
            max_response_bytes=settings.http.max_response_bytes,
            allowed_networks=tuple(str(network) for network in settings.http.allowed_networks),
        )
        stack.push_async_callback(sink.close)
        streams = InProcessStreams(
            [alias for alias, stream in settings.streams.items() if isinstance(stream, InProcessStream)]
        )
        performer = Performer(
            sink=sink,
            services=Chooser(directory, clock, fallback=_fallback(settings)),
            streams=streams,
            clock=clock,
            targets=_targets(settings),
        )
        driver = Driver(journals=journals, performer=performer, clock=clock)
        dispatcher = Dispatcher(
            driver=driver,
            journals=journals,
            runner=mine.name,
            limits=Limits(in_flight=mine.max_in_flight, reply_timeout=mine.reply_timeout_s),
            variables=settings.vars,
            refused=refused_by_reach,
        )
        dispatcher.serve(loaded.catalog)
        streams.connect(Records(dispatcher, max_body=mine.max_body_bytes).take)
        keeper = Keeper(
            driver=driver,
            journals=journals,
            clock=clock,
            retention=settings.journal.retention_s,
            most_live=mine.max_in_flight,
        )
        url = url_of(mine.host, int(listener.getsockname()[1]))
        serving = Runner(
            settings=settings,
            url=url,
            registry_url=registry_url,
            loaded=loaded,
            dispatcher=dispatcher,
            driver=driver,
            keeper=keeper,
            directory=directory,
            entry=Entry(directory, mine.name, mine.advertise_url or url),
            called=_called(settings, loaded),
        )
        manager = management(
            dispatcher=dispatcher,
            operator=Operator(driver=driver, journals=journals, wake=keeper.wake),
            watchers=driver.watchers,
            clock=clock,
            version=VERSION,
            ready=lambda: serving.unready(),
            missing=lambda: serving.missing,
        )
        manager.include_router(pages(lambda: dispatcher.catalog))
        source = HttpSource(
            dispatcher=dispatcher,
            management=manager,
            streams={
                alias: stream.prefix for alias, stream in settings.streams.items() if isinstance(stream, HttpStream)
            },
            clock=clock,
            max_body=mine.max_body_bytes,
        )
        guest = Guest(source, listener, grace=5)
        await guest.open()
        serving.entry.announce()
        try:
            yield serving
        finally:
            await serving.drain()
            await guest.close()


def refused_by_reach(saga: Saga, catalog: Catalog) -> str:
    """Why the saga is not served here, itself or one that it runs; empty where it is."""
    return refusal(entry.saga for entry in reach(catalog, saga.ref).values())


def _fallback(settings: Settings) -> dict[str, str]:
    """Where services are that nobody has registered."""
    return {name: service.url for name, service in settings.services.items() if service.url}


def _called(settings: Settings, loaded: Loaded) -> frozenset[str]:
    return called(loaded.catalog.active) - _fallback(settings).keys()


def _embedded(settings: Settings, clock: Clock) -> Directory:
    """The directory of the runner's own registry; beside a journal in a file it is kept in one, too."""
    journal = settings.journal.url.path
    return MemoryDirectory(clock) if journal is None else KeptDirectory(clock, journal.parent / "directory.json")


def _elsewhere(settings: Settings, clock: Clock) -> AddressBook:
    """What the registry knows that the settings name: by its URL, or straight from Redis."""
    if settings.registry.url != "redis":
        return RemoteDirectory(settings.registry.url or "", clock)
    from registry.directories.redis import RedisDirectory  # here, because redis is slow to load

    assert settings.redis is not None, "the settings were checked"
    return RedisDirectory(read_address(settings.redis.url.reveal()), clock)


def _journals(settings: Settings, clock: Clock) -> Journals:
    where = settings.journal.url
    if where.store == "memory":
        return MemoryJournals(clock, name=settings.runner.name)
    assert where.path is not None
    return SqliteJournals(where.path, clock, name=settings.runner.name)


def _targets(settings: Settings) -> dict[str, Target]:
    return {
        name: Target(
            headers=tuple((header, secret.reveal()) for header, secret in service.headers.items()),
            concurrency=service.concurrency,
        )
        for name, service in settings.services.items()
        if service.headers or service.concurrency is not None
    }
