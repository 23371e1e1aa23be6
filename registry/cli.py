"""The registry's part of the command line: the group `service` and the command `registry`.

What is slow to load is imported inside the functions, so that `--help` answers at once. A failure is one line
on stderr and exit code 1.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from registry.client import Record, RegistryClient
    from registry.settings import Settings

_F = TypeVar("_F", bound=Callable[..., Any])
_COLUMNS = ("service_name", "service_url", "service_id", "capabilities", "zone", "version", "last_heartbeat")


def _at(command: _F) -> _F:
    """The option that every client command has."""
    return click.option(
        "--saga-url",
        envvar="SAGA_SERVICE_URL",
        default="http://localhost:8030",
        show_default=True,
        help="The registry to ask.",
    )(command)


def _output(command: _F) -> _F:
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="How to print the answer.",
    )(command)


@click.group("service")
def service() -> None:
    """List, find and register services."""


@service.command("list")
@click.option("--capability", help="Only services that offer it.")
@click.option("--tag", help="Only instances with this tag.")
@click.option("--zone", help="Only instances of this zone.")
@click.option("--prefix", help="Only names that begin so.")
@_output
@_at
def list_services(saga_url: str, output: str, **filters: str | None) -> None:
    """List all registered services."""

    async def ask(client: "RegistryClient") -> None:
        found = await client.services(**{name: value for name, value in filters.items() if value})
        if output == "json":
            _print_json({"services": found, "count": len(found)})
        else:
            _print_table([one for each in found for one in each.get("instances", [each])])

    _run(saga_url, ask)


@service.command("register")
@click.option("--name", required=True, help="Name of the service.")
@click.option("--url", required=True, help="Where it is reached.")
@click.option("--capabilities", default="", help="Comma-separated: rest, graphql, grpc, mcp.")
@click.option("--id", "service_id", help="Its own identity; without it the registry makes one.")
@click.option("--weight", type=float, help="Share of new calls; 0 gets none.")
@click.option("--zone", help="Where it runs.")
@click.option("--version", help="What it runs.")
@click.option("--ttl", type=float, help="Seconds it lives without a heartbeat.")
@click.option("--keep-alive", is_flag=True, help="Beat until Ctrl-C, then unregister.")
@_output
@_at
def register(
    saga_url: str, output: str, name: str, url: str, capabilities: str, keep_alive: bool, **optional: Any
) -> None:
    """Register a service, or renew it."""
    words = [word.strip() for word in capabilities.split(",") if word.strip()]
    given = {member: value for member, value in optional.items() if value is not None}

    async def ask(client: "RegistryClient") -> None:
        listed = await client.register(name, url, words, **given)
        _print_records([listed], output)
        if keep_alive:
            given["service_id"] = listed["service_id"]
            async with client.registered(name, url, words, **given):
                await _until_stopped("Kept alive until Ctrl-C.", err=True)

    _run(saga_url, ask)


@service.command("get")
@click.argument("name")
@_output
@_at
def get(saga_url: str, output: str, name: str) -> None:
    """Show a service and its instances."""

    async def ask(client: "RegistryClient") -> None:
        found = await client.discover(name)
        if output == "json":
            _print_json(found)
        else:
            _print_table(found.get("instances", [found]))

    _run(saga_url, ask)


@service.command("unregister")
@click.argument("name")
@click.option("--id", "service_id", help="This instance; without it the one of this machine.")
@click.option("--all", "everything", is_flag=True, help="All instances of the service.")
@_at
def unregister(saga_url: str, name: str, service_id: str | None, everything: bool) -> None:
    """Remove a service."""

    async def ask(client: "RegistryClient") -> None:
        await client.unregister(name, service_id=service_id, all=everything)
        click.echo(f"{name} is unregistered.")

    _run(saga_url, ask)


@service.command("heartbeat")
@click.argument("name")
@click.option("--id", "service_id", help="This instance; without it the one of this machine.")
@_output
@_at
def heartbeat(saga_url: str, output: str, name: str, service_id: str | None) -> None:
    """Start the time to live of a service anew."""

    async def ask(client: "RegistryClient") -> None:
        _print_records([await client.heartbeat(name, service_id=service_id)], output)

    _run(saga_url, ask)


@click.command("registry")
@click.option("--host", help="Address to listen on; default HOST or 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; default PORT or 8030.")
def registry(host: str | None, port: int | None) -> None:
    """Serve the registry until it is stopped."""
    import logging

    from registry.base.env import WrongSettings
    from registry.settings import LEVELS, Settings, environment

    given = {"HOST": host, "PORT": None if port is None else str(port)}
    values = {**environment(), **{name: value for name, value in given.items() if value is not None}}
    try:
        settings = Settings.read(values)
    except WrongSettings as wrong:
        raise click.ClickException(str(wrong)) from None
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("registry").setLevel(LEVELS[settings.saga_log])
    import uvloop

    with _one_line(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(_serve(settings))


async def _serve(settings: "Settings") -> None:
    from registry.app import serve
    from registry.base.guest import settle_memory

    settle_memory()
    async with serve(settings) as serving:
        await _until_stopped(f"registry on {serving.url}, directory {serving.directory.facts().redis}")


async def _until_stopped(announced: str, *, err: bool = False) -> None:
    """Say so, and wait for Ctrl-C or a polite end; both are heeded from the moment it is said."""
    import signal

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    click.echo(announced, err=err)
    try:
        await stopped.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _run(saga_url: str, ask: "Callable[[RegistryClient], Awaitable[None]]") -> None:
    from registry.client import RegistryClient

    async def session() -> None:
        async with RegistryClient(saga_url) as client:
            await ask(client)

    with _one_line():
        asyncio.run(session())


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Foreseen failures as one line and exit code 1."""
    from registry.base.guest import CannotListen
    from registry.client import RegistryError

    try:
        yield
    except (RegistryError, CannotListen) as reason:
        raise click.ClickException(" ".join(str(reason).split())) from None


def _print_records(records: "list[Record]", output: str) -> None:
    if output == "json":
        _print_json(records[0])
    else:
        _print_table(records)


def _print_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_table(records: "list[Record]") -> None:
    rows = [tuple(column.removeprefix("service_").upper() for column in _COLUMNS)]
    rows += [tuple(_cell(one.get(column)) for column in _COLUMNS) for one in records]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "-" if value is None else str(value)
