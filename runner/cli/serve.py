"""`saga dev` and `saga run`: the commands that serve until they are stopped."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from registry.base.values import Json
    from runner.settings import Settings

_PORT = click.IntRange(0, 65_535)


@click.command("dev")
@click.option("--config", metavar="FILE", help="The settings file.  [default: SAGA_CONFIG, or saga.yml]")
@click.option(
    "--definitions", "definitions", multiple=True, type=click.Path(path_type=Path), metavar="DIR",
    help="Files or folders of definitions; may be said several times (definitions).  [default: definitions]",
)  # fmt: skip
@click.option("--port", type=_PORT, help="The runner's port (runner.port).  [default: 8080]")
@click.option("--registry-port", type=_PORT, help="The registry's; 0: not served (registry.port).  [default: 8030]")
@click.option("--stock-port", type=_PORT, default=9001, show_default=True, help="The demo service stock's.")
@click.option("--payment-port", type=_PORT, default=9002, show_default=True, help="The demo service payment's.")
@click.option("--courier-port", type=_PORT, default=9003, show_default=True, help="The demo service courier's.")
def dev(
    config: str | None,
    definitions: tuple[Path, ...],
    port: int | None,
    registry_port: int | None,
    stock_port: int,
    payment_port: int,
    courier_port: int,
) -> None:
    """Run everything on this machine: runner, registry, journal under .saga/, and three demo services.

    Nothing else needs to be installed. Definitions are read again when they are saved. Settings are read as `saga
    run` reads them, where there are any; what makes it one process on this machine is not up to them.
    """
    settings = read_settings(
        config,
        {
            "runner.port": port,
            "runner.host": "127.0.0.1",
            "registry.port": registry_port,
            "definitions": [str(path.absolute()) for path in definitions] or None,
            "streams.http.type": "http",
            "streams.placed.type": "inprocess",
            "journal.url": "sqlite:.saga/journal.db",
        },
    )

    from runner.app import commands

    sys.exit(commands.dev(settings, stock=stock_port, payment=payment_port, courier=courier_port))


@click.command("run")
@click.option("--config", metavar="FILE", help="The settings file.  [default: SAGA_CONFIG, or saga.yml]")
@click.option("--host", help="Address to listen on (runner.host).")
@click.option("--port", type=_PORT, help="Port to listen on (runner.port).")
@click.option("--workers", type=click.IntRange(1), help="Processes on one port (runner.workers).")
@click.option("--insecure", is_flag=True, help="Let other machines in although nobody is authenticated.")
def run(config: str | None, host: str | None, port: int | None, workers: int | None, insecure: bool) -> None:
    """Run the runner; settings from the settings file, over it the environment, over that these options."""
    from runner import settings as house

    settings = read_settings(config, {"runner.host": host, "runner.port": port, "runner.workers": workers})
    refusals = house.refusals(settings, insecure=insecure)
    for sentence in refusals:
        click.echo(f"refused: {sentence}", err=True)
    if refusals:
        raise click.ClickException("the runner does not start with these settings")
    for sentence in house.not_yet(settings):
        click.echo(f"note: {sentence}", err=True)

    from runner.engine import killpoints

    try:  # before anything that has kill points is imported
        killpoints.arm(house.machine_environment().get(killpoints.VARIABLE, ""))
    except ValueError as unreadable:
        raise click.ClickException(str(unreadable)) from unreadable

    from runner.app import commands

    sys.exit(commands.run(settings))


def read_settings(config: str | None, overrides: "dict[str, Json] | None" = None) -> "Settings":
    """The settings of this process. Where they are wrong: every sentence on stderr, and exit code 1."""
    from runner import settings as house

    try:
        return house.load(
            environment=house.machine_environment(),
            config=config,
            overrides=overrides,
            host_name=house.machine_name(),
        )
    except house.SettingsInvalid as invalid:
        for sentence in invalid.sentences:
            click.echo(sentence, err=True)
        count = len(invalid.sentences)
        errors = "1 error" if count == 1 else f"{count} errors"
        raise click.ClickException(f"{errors} in the settings: mend what is said above") from None
