"""`saga run` and `saga dev`: from settings to exit code."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from registry.base.guest import CannotListen, settle_memory
from runner.adapters.telemetry.logs import configure
from runner.app.wiring import VERSION, Runner, load_definitions, runner
from runner.definitions.findings import as_text
from runner.definitions.load import Loaded
from runner.ports import StoreUnavailable
from runner.settings import Settings, refusals

log = structlog.get_logger("saga.runner")


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
        stop = _stop_asked()  # before anybody can see that it is ready
        async with runner(settings, loaded) as serving:
            await serving.keeper.start()
            log.info("serving", url=serving.url, registry=serving.registry_url, sagas=len(loaded.catalog))
            await stop.wait()
            log.info("stopping")

    return _serve(main)


def dev(settings: Settings, *, stock: int, payment: int, courier: int) -> int:
    """`saga dev`: everything in this process, with the demo shop on these ports and reload on save; the exit code."""
    from runner.shop.serve import Ports, Shop

    # One process on this machine, whatever else the environment says of other programs.
    settings = replace(settings, registry=replace(settings.registry, url=None))
    ports = Ports(stock=stock, payment=payment, courier=courier)
    refused = refusals(settings)
    for sentence in refused:
        _complain(f"refused: {sentence}")
    if refused:
        return 1
    configure(format="console", level="warn")
    loaded = load_definitions(settings)
    _tell_findings(loaded)

    async def main() -> None:
        stop = _stop_asked()
        async with runner(settings, loaded) as serving:
            path = settings.folder / ".saga" / "shop.db"
            async with Shop(path, ports=ports, registry_url=serving.registry_url) as shop:
                await serving.keeper.start()
                _banner(serving, dict(shop.urls))
                watching = asyncio.create_task(_watch(serving))
                await stop.wait()
                watching.cancel()
                await serving.drain()

    return _serve(main)


def _serve(main: Callable[[], Coroutine[None, None, None]]) -> int:
    import uvloop

    try:
        settle_memory()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            loop.run(main())
    except (CannotListen, StoreUnavailable, OSError) as error:
        _complain(f"error: {error}")
        return 1
    return 0


def _stop_asked() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT from now on; a second one means at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            # What is in flight is the journal's.
            loop.add_signal_handler(number, os._exit, 130)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    return stop


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
        f"  registry  {serving.registry_url or 'not served'}    (embedded)",
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
