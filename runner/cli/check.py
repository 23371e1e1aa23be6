"""`saga check` and `saga schema`: definitions, offline."""

import sys
from dataclasses import replace
from pathlib import Path

import click

from runner.cli.serve import read_settings


@click.command("check")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--config", metavar="FILE", help="The settings file.  [default: SAGA_CONFIG, or saga.yml]")
@click.option("--registry", metavar="URL", help="Ask this registry, too, which services are there.")
@click.option("--strict", is_flag=True, help="Exit with 1 on a warning, too.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
def check(paths: tuple[Path, ...], config: str | None, registry: str | None, strict: bool, output: str) -> None:
    """Check the definitions at and below PATHs, or those that the settings name.

    Names of streams, states, retries, variables and services are checked where there are settings that could
    have them. With --registry a warning names each service that has no live instance there and no address in the
    settings. Exit code: 1 on an error, with --strict on a warning, too.
    """
    from runner.definitions.command import check_command
    from runner.definitions.world import UNKNOWN
    from runner.settings import world_of

    settings = read_settings(config)
    world = UNKNOWN if settings.is_default else world_of(settings)
    if registry is not None:
        fallback = {name for name, service in settings.services.items() if service.url}
        world = replace(world, services=fallback | _alive(registry), registry=registry)
    wanted = paths or tuple(_short(path) for path in settings.definitions)
    text, code = check_command(wanted, world, settings.folder, output, strict)
    click.echo(text, nl=False)
    sys.exit(code)


def _alive(registry: str) -> set[str]:
    """Names of the services with a live instance."""
    from registry.client import RegistryError, SyncRegistryClient

    try:
        return {record["service_name"] for record in SyncRegistryClient(registry).services()}
    except RegistryError as reason:
        raise click.ClickException(" ".join(str(reason).split())) from None


def _short(path: Path) -> Path:
    """The path as one would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@click.command("schema")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write it there.")
def schema(output: Path | None) -> None:
    """Write the JSON Schema of definitions, by which editors complete and explain every key."""
    from runner.definitions.schema import render_schema

    document = render_schema()
    if output is None:
        click.echo(document, nl=False)
        return
    try:
        output.write_bytes(document)
    except OSError as error:
        raise click.ClickException(
            f"{output} cannot be written ({error.strerror}); name another file with -o"
        ) from None
    click.echo(f"Wrote {output}", err=True)
