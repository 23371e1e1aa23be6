"""The composition root: settings become adapters, adapters become ports, ports become a runner that serves."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Final

import structlog

from registry.app import serve as serve_registry
from registry.base.clock import Clock, SystemClock
from registry.base.guest import CannotListen, Guest, listening, url_of
from registry.chooser import Chooser
from registry.directories.memory import MemoryDirectory
from registry.form import read_registration
from registry.settings import Settings as RegistrySettings
from runner.adapters.stores.memory import MemoryJournals
from runner.adapters.stores.sqlite import SqliteJournals
from runner.adapters.streams.http.sink import HttpSink
from runner.adapters.streams.http.source import HttpSource
from runner.adapters.streams.inprocess import InProcessStreams
from runner.adapters.telemetry.logs import configure
from runner.adapters.web.admin import management
from runner.definitions.catalog import Catalog
from runner.definitions.findings import as_text
from runner.definitions.load import Loaded, load
from runner.engine.dispatch import Dispatcher, Limits
from runner.engine.drive import Driver
from runner.engine.operate import Operator
from runner.engine.perform import Performer, Target
from runner.engine.records import Records
from runner.engine.recover import Keeper
from runner.guards.serving import refusal
from runner.ports import Journals, StoreUnavailable
from runner.saga.definition import Saga
from runner.settings import Settings, SettingsInvalid, refusals
from runner.settings import load as load_settings
from runner.settings.streams import HttpStream, InProcessStream
from runner.settings.world import world_of

log = structlog.get_logger("saga.runner")

VERSION: Final = version_of("saga-runner")
#: Seconds between two beats of the runner's own registry entry.
BEAT: Final = 10.0


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
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    not_ready: str = ""

    def reload(self) -> Loaded:
        """Read the definitions again; the last good set stays in service where there is an error."""
        loaded = load_definitions(self.settings)
        if not loaded.errors:
            self.dispatcher.serve(loaded.catalog)
            self.loaded = loaded
        return loaded


def load_definitions(settings: Settings) -> Loaded:
    """The definitions that the settings name, checked against them; services may come and go in the registry."""
    return load(list(settings.definitions), replace(world_of(settings), services=None), settings.folder)


@contextlib.asynccontextmanager
async def runner(settings: Settings, loaded: Loaded, *, clock: Clock | None = None) -> AsyncIterator[Runner]:
    """Serve until the block ends, then stop in order. Raises CannotListen and StoreUnavailable at the start."""
    clock = clock or SystemClock()
    mine = settings.runner
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listening(mine.host, mine.port, "the runner"))
        journals = _journals(settings, clock)
        await journals.open(f"{mine.name}#{secrets.token_hex(8)}")
        stack.push_async_callback(journals.close)
        directory = MemoryDirectory(clock)
        registry_url = None
        if settings.registry.url is None and settings.registry.port:
            registry = await stack.enter_async_context(
                serve_registry(
                    RegistrySettings(host=mine.host, port=settings.registry.port),
                    clock=clock,
                    directory=directory,
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
        fallback = {name: service.url for name, service in settings.services.items() if service.url}
        performer = Performer(
            sink=sink,
            services=Chooser(directory, clock, fallback=fallback),
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
        streams.connect(Records(dispatcher).take)
        keeper = Keeper(
            driver=driver,
            journals=journals,
            clock=clock,
            retention=settings.journal.retention_s,
            most_live=mine.max_in_flight,
        )
        serving = Runner(
            settings=settings,
            url="",
            registry_url=registry_url,
            loaded=loaded,
            dispatcher=dispatcher,
            driver=driver,
            keeper=keeper,
        )
        source = HttpSource(
            dispatcher=dispatcher,
            management=management(
                dispatcher=dispatcher,
                operator=Operator(driver=driver, journals=journals, wake=keeper.wake),
                clock=clock,
                version=VERSION,
                ready=lambda: serving.not_ready,
            ),
            streams={
                alias: stream.prefix for alias, stream in settings.streams.items() if isinstance(stream, HttpStream)
            },
            clock=clock,
            max_body=mine.max_body_bytes,
        )
        guest = Guest(source, listener, grace=5)
        await keeper.start()
        await guest.open()
        serving.url = url_of(mine.host, guest.port)
        entry = asyncio.create_task(_listed(directory, mine.name, mine.advertise_url or serving.url))
        try:
            yield serving
        finally:
            serving.not_ready = "the runner is stopping"
            dispatcher.accepting = False
            entry.cancel()
            for listing in directory.snapshot(mine.name):
                await directory.withdraw(mine.name, listing.service_id)
            await keeper.stop()
            await driver.stop(mine.drain_timeout_s)
            await dispatcher.starter.stop()
            await guest.close()


async def _listed(directory: MemoryDirectory, name: str, url: str) -> None:
    """Keep the runner's own entry in the registry alive."""
    registration = read_registration(
        {"service_name": name, "service_url": url, "capabilities": ["rest"]}, default_ttl=3 * BEAT
    )
    while True:
        await directory.register(registration)
        await asyncio.sleep(BEAT)


def refused_by_reach(saga: Saga, catalog: Catalog) -> str:
    """Why the saga is not served here, itself or one that it runs; empty where it is."""
    seen: dict[str, Saga] = {}
    waiting = [saga.ref]
    while waiting:
        ref = waiting.pop(0)
        entry = catalog.entry(ref)
        if entry is None or ref in seen:
            continue
        seen[ref] = entry.saga
        waiting.extend(entry.links.values())
    return refusal(seen.values())


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


# ---------------------------------------------------------------------- the two commands


def run(settings: Settings) -> int:
    """`saga run`: serve until SIGTERM or SIGINT; the exit code."""
    configure(format=settings.telemetry.log_format, level=settings.telemetry.log_level)
    loaded = load_definitions(settings)
    _tell_findings(loaded)
    if loaded.errors:
        return 1
    for sentence in loaded.not_yet:
        log.warning("not in force yet", what=sentence)

    async def main() -> None:
        async with runner(settings, loaded) as serving:
            log.info("serving", url=serving.url, registry=serving.registry_url, sagas=len(loaded.catalog))
            await _told_to_stop()
            log.info("stopping")

    return _serve(main)


def dev(
    *,
    definitions: Sequence[Path],
    port: int,
    registry_port: int,
    stock_port: int,
    payment_port: int,
    courier_port: int,
) -> int:
    """`saga dev`: everything in this process, with the demo shop and reload on save; the exit code.

    A `saga.yml` in the folder counts for what these arguments do not say (`vars`, `retries`, `services`, ...).
    """
    from runner.shop.serve import Ports, Shop

    ports = Ports(stock=stock_port, payment=payment_port, courier=courier_port)
    try:
        settings = load_settings(
            environment={},
            overrides={
                "runner.port": port,
                "runner.host": "127.0.0.1",
                "registry.port": registry_port,
                "definitions": [str(path.absolute()) for path in definitions],
                "streams.http.type": "http",
                "streams.placed.type": "inprocess",
                "journal.url": "sqlite:.saga/journal.db",
            },
        )
    except SettingsInvalid as invalid:
        for sentence in invalid.sentences:
            _complain(sentence)
        return 1
    for sentence in refusals(settings):
        _complain(f"refused: {sentence}")
        return 1
    configure(format="console", level="warn")
    loaded = load_definitions(settings)
    _tell_findings(loaded)

    async def main() -> None:
        async with runner(settings, loaded) as serving:
            path = settings.folder / ".saga" / "shop.db"
            async with Shop(path, ports=ports, registry_url=serving.registry_url) as shop:
                _banner(serving, dict(shop.urls))
                watching = asyncio.create_task(_watch(serving))
                await _told_to_stop()
                watching.cancel()

    return _serve(main)


def _serve(main: Callable[[], Coroutine[None, None, None]]) -> int:
    import uvloop

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            loop.run(main())
    except (CannotListen, StoreUnavailable, OSError) as error:
        _complain(f"error: {error}")
        return 1
    return 0


async def _told_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        # A second signal means at once: what is in flight is the journal's.
        loop.add_signal_handler(number, os._exit, 130)


async def _watch(serving: Runner) -> None:
    """Read the definitions again when a file is saved."""
    from watchfiles import awatch

    folders: Sequence[Path] = [path for path in serving.settings.definitions if path.exists()]
    schemas = serving.settings.folder / "schemas"
    if schemas.is_dir():
        folders = [*folders, schemas]
    async for _ in awatch(*folders):
        loaded = serving.reload()
        _tell_findings(loaded)
        if loaded.errors:
            _say("the last good definitions stay in service")
        else:
            _say(f"reloaded: {len(loaded.catalog)} sagas in service")


def _tell_findings(loaded: Loaded) -> None:
    if loaded.findings:
        _say(as_text(loaded.findings))


def _banner(serving: Runner, shop: dict[str, str]) -> None:
    order = (
        '{"orderId":"o-1","customer":"ada","lines":[{"sku":"tea","qty":2,"price":4.5}],'
        '"total":9,"address":{"city":"Paris"}}'
    )
    lines = [
        f"Saga Runner {VERSION}, everything in this one process",
        "",
        f"  runner    {serving.url}    API {serving.url}/api/v1/openapi.json",
        f"  registry  {serving.registry_url or 'not served'}    (in memory)",
        f"  journal   {serving.settings.journal.url}",
        f"  streams   {', '.join(serving.settings.streams)}    (in-process ones, no broker)",
        *(f"  {name:<9} {url}    demo service, effects at {url}/effects" for name, url in shop.items()),
        f"  sagas     {len(serving.loaded.catalog.active)} from {', '.join(map(str, serving.settings.definitions))},"
        " read again when saved",
        "",
        "Place an order:",
        f"  curl -s {serving.url}/orders/place -H 'content-type: application/json' -d '{order}'",
        'Then one that is undone: the same with "city":"nowhere". Stop with Ctrl-C.',
    ]
    _say("\n".join(lines))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - people read it


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - people read it
