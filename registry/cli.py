"""The registry's part of the command line: the group `service` and the command `registry`.

What is slow to load is imported inside the functions, so that `--help` answers at once. A failure is one line
on stderr and exit code 1.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from registry.client import Record, RegistryClient
    from registry.settings import Settings

_F = TypeVar("_F", bound=Callable[..., Any])
_COLUMNS = ("service_name", "service_url", "service_id", "capabilities", "zone", "version", "last_heartbeat")


def _saga_url() -> str:
    from registry.settings import registry_url

    return registry_url()


def saga_url_option(command: _F) -> _F:
    """The option of every command that asks a registry."""
    return click.option(
        "--saga-url",
        envvar="SAGA_SERVICE_URL",
        default=_saga_url,
        show_default="saga_service_url of ~/.saga/config.toml, else http://localhost:8030",
        show_envvar=True,
        metavar="URL",
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


def _instance(command: _F) -> _F:
    """The argument and the option of every command about one instance."""
    which = click.option("--id", "service_id", help="This instance; without it the only one that can be meant.")
    return click.argument("name")(which(command))


@click.group("service")
def service() -> None:
    """List, find and register services."""


@service.command("list")
@click.option("--capability", help="Only services that offer it.")
@click.option("--tag", help="Only instances with this tag.")
@click.option("--zone", help="Only instances of this zone.")
@click.option("--prefix", help="Only names that begin so.")
@_output
@saga_url_option
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
@saga_url_option
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
@saga_url_option
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
@_instance
@click.option("--all", "everything", is_flag=True, help="All instances of the service.")
@_output
@saga_url_option
def unregister(saga_url: str, output: str, name: str, service_id: str | None, everything: bool) -> None:
    """Remove a service."""

    async def ask(client: "RegistryClient") -> None:
        removed = await client.unregister(name, service_id=service_id, all=everything)
        if output == "json":
            _print_json({"service_name": name, "removed": removed})
        else:
            click.echo(f"{name} is unregistered.")

    _run(saga_url, ask)


@service.command("heartbeat")
@_instance
@_output
@saga_url_option
def heartbeat(saga_url: str, output: str, name: str, service_id: str | None) -> None:
    """Start the time to live of a service anew."""

    async def ask(client: "RegistryClient") -> None:
        _print_records([await client.heartbeat(name, service_id=service_id)], output)

    _run(saga_url, ask)


@service.command("resolve")
@click.argument("name")
@click.option("--policy", help="round_robin, weighted_random, least_inflight or consistent_hash.")
@click.option("--key", help="What consistent_hash goes by.")
@click.option("--zone", help="Instances of this zone first.")
@click.option("--capability", help="Only instances that offer it.")
@_output
@saga_url_option
def resolve(saga_url: str, output: str, name: str, **wishes: str | None) -> None:
    """Say which instance of NAME a call would get, and why not the others. NAME may be NAME@VERSION."""

    async def ask(client: "RegistryClient") -> None:
        found = await client.resolve(name, **wishes)
        if output == "json":
            _print_json(found)
        else:
            _print_rows(("verdict", "service_url", "service_id", "detail"), found["reasons"])

    _run(saga_url, ask)


@service.command("drain")
@_instance
@_output
@saga_url_option
def drain(saga_url: str, output: str, name: str, service_id: str | None) -> None:
    """Give an instance no new calls until it is enabled again."""

    async def ask(client: "RegistryClient") -> None:
        _print_records([await client.drain(name, service_id=service_id)], output)

    _run(saga_url, ask)


@service.command("enable")
@_instance
@_output
@saga_url_option
def enable(saga_url: str, output: str, name: str, service_id: str | None) -> None:
    """Give a drained instance calls again."""

    async def ask(client: "RegistryClient") -> None:
        _print_records([await client.enable(name, service_id=service_id)], output)

    _run(saga_url, ask)


@service.command("watch")
@click.argument("name", required=False)
@_output
@saga_url_option
def watch(saga_url: str, output: str, name: str | None) -> None:
    """Show the instances of NAME, and again after each change, until Ctrl-C; without NAME each change of any service.

    With -o json one line each.
    """

    async def ask(client: "RegistryClient") -> None:
        if name is None:
            async for event in client.changes():
                _print_change({"event": event.kind, "service_name": event.service_name}, event.instances, output)
        else:
            async for instances in client.watch(name):
                _print_change({"service_name": name}, instances, output)

    _run(saga_url, ask, stoppable=True)


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


@click.command("restart")
@click.option("--unit", help="Its name there.  [default: saga, or com.saga.service on macOS]")
def restart(unit: str | None) -> None:
    """Restart the server that systemd or launchd runs on this machine."""
    import sys

    from registry.supervisor import CannotRestart
    from registry.supervisor import restart as restarted

    try:
        done = restarted(unit or ("com.saga.service" if sys.platform == "darwin" else "saga"))
    except CannotRestart as reason:
        raise click.ClickException(str(reason)) from None
    click.echo(f"Restarted: {done}")


async def _serve(settings: "Settings") -> None:
    from registry.app import serve
    from registry.base.guest import settle_memory

    settle_memory()
    async with serve(settings) as serving:
        await _until_stopped(f"registry on {serving.url}, directory {serving.directory.facts().redis}")


async def _until_stopped(announced: str, *, err: bool = False) -> None:
    """Say so, and wait for Ctrl-C or a polite end; both are heeded from the moment it is said."""
    stopped = asyncio.Event()
    with _heeding(stopped.set):
        click.echo(announced, err=err)
        await stopped.wait()


@contextlib.contextmanager
def _heeding(stop: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C and a polite end call `stop` in the block."""
    import signal

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _run(
    saga_url: str, ask: "Callable[[RegistryClient], Coroutine[Any, Any, None]]", *, stoppable: bool = False
) -> None:
    """Ask to the end; where `stoppable`, Ctrl-C is an end like any other."""
    from registry.client import RegistryClient

    async def session() -> None:
        async with RegistryClient(saga_url) as client:
            if not stoppable:
                await ask(client)
                return
            asking = asyncio.create_task(ask(client))
            with _heeding(asking.cancel):
                await asyncio.wait((asking,))
            if not asking.cancelled():
                asking.result()

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


def _print_change(told: dict[str, str], instances: "Sequence[Record]", output: str) -> None:
    if output == "json":
        _print_json({**told, "instances": instances}, indent=None)
        return
    click.echo(" ".join(filter(None, told.values())))
    if instances:
        _print_table(list(instances))


def _print_json(value: Any, indent: int | None = 2) -> None:
    import json

    click.echo(json.dumps(value, indent=indent, ensure_ascii=False))


def _print_table(records: "list[Record]") -> None:
    _print_rows(_COLUMNS, records)


def _print_rows(columns: Sequence[str], records: Sequence[Mapping[str, Any]]) -> None:
    rows = [tuple(column.removeprefix("service_").upper() for column in columns)]
    rows += [tuple(_cell(one.get(column)) for column in columns) for one in records]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "-" if value is None else str(value)
