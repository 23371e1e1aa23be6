"""`saga status`: are a runner and a registry there, and are they ready."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click
from click.core import ParameterSource

from registry.cli import saga_url_option
from runner.cli.documents import Health, Readiness
from runner.cli.http import Server, server_option
from runner.cli.screen import Line, Screen, print_json

if TYPE_CHECKING:
    from registry.client import Health as RegistryHealth

_T = TypeVar("_T")


@click.command("status")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@server_option
@saga_url_option
@click.pass_context
def status(ctx: click.Context, output: str, server: str, saga_url: str) -> None:
    """Say whether a runner and a registry answer and are ready; exit code 1 where one is not, or none is there.

    With --server or --saga-url only that one is asked. Without, both are, and one may be missing unless the environment
    says where it is.
    """
    running = _asked(ctx, "server", lambda: _runner(server))
    listing = _asked(ctx, "saga_url", lambda: _registry(saga_url))
    if running is None and listing is None:
        raise click.ClickException(
            f"no runner answers at {server}, and no registry at {saga_url}; start both with `saga dev`"
        )
    version, is_ready = running or (None, False)
    is_healthy = listing is not None and listing["status"] == "healthy"
    if output == "json":
        print_json({"server": server, "version": version, "ready": is_ready, "registry": listing})
    else:
        lines = []
        if running is not None:
            lines.append(_line(is_ready, "ready", f"{server}  {version}"))
        if listing is not None:
            told = f"{saga_url}  {listing['version']}  registry, redis {listing['redis']}"
            lines.append(_line(is_healthy, "healthy", told))
        Screen().lines(lines)
    sys.exit(0 if (running is None or is_ready) and (listing is None or is_healthy) else 1)


def _asked(ctx: click.Context, name: str, ask: Callable[[], _T]) -> _T | None:
    """What `ask` gives; None for who is not asked for, or is missing and may be."""
    options = {option: ctx.get_parameter_source(option) for option in ("server", "saga_url")}
    if ParameterSource.COMMANDLINE in options.values() and options[name] is not ParameterSource.COMMANDLINE:
        return None
    try:
        return ask()
    except click.ClickException:
        if options[name] is not ParameterSource.DEFAULT:
            raise
        return None


def _runner(url: str) -> tuple[str, bool]:
    """Its version, and whether it is ready."""
    runner = Server(url, timeout_s=5)
    health = runner.send("GET", "/health")
    ready = runner.send("GET", "/ready")
    version = health.read(Health).version
    is_ready = ready.status != 503
    if is_ready:
        ready.read(Readiness)
    return version, is_ready


def _registry(url: str) -> "RegistryHealth":
    from registry.client import RegistryError, SyncRegistryClient

    try:
        return SyncRegistryClient(url).health()
    except RegistryError as reason:
        raise click.ClickException(" ".join(str(reason).split())) from None


def _line(well: bool, word: str, told: str) -> Line:
    sign = (f"✓ {word}", "green") if well else (f"✕ not {word}", "red")
    return (sign, (f"  {told}", ""))
