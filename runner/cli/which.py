"""`saga which`: the choice among the sagas of a path, offline, with the reason why each other one lost."""

from typing import TYPE_CHECKING

import click

from runner.cli.serve import read_settings

if TYPE_CHECKING:
    from runner.definitions.load import Loaded
    from runner.routing.router import Selection


@click.command("which")
@click.argument("method", metavar="METHOD")
@click.argument("path", metavar="PATH")
@click.option("--stream", default="http", show_default=True, help="The stream it comes on; METHOD counts on HTTP only.")
@click.option("--version", "version", type=click.IntRange(0), help="The version that is asked for.")
@click.option("--config", metavar="FILE", help="The settings file.  [default: SAGA_CONFIG, or saga.yml]")
def which(method: str, path: str, stream: str, version: int | None, config: str | None) -> None:
    """Say which saga answers METHOD PATH by the definitions that the settings name, and why no other one does.

    PATH is what a saga says, without the prefix of a stream. Roles are not asked: they never select. Exit code: 1
    where none answers.
    """
    from runner.definitions.load import load
    from runner.definitions.world import UNKNOWN
    from runner.routing.router import Chosen, select
    from runner.settings import world_of

    settings = read_settings(config)
    kinds = world_of(settings).streams or {}
    if not settings.is_default and stream not in kinds:
        raise click.ClickException(f"the settings have no stream `{stream}`; they have {', '.join(kinds)}")
    loaded = load(settings.definitions, UNKNOWN if settings.is_default else world_of(settings), settings.folder)
    if loaded.errors:
        click.echo("Files with errors are left out; see them: saga check", err=True)
    found = select(
        loaded.catalog.by_path(path),
        stream=stream,
        runner=settings.runner.name,
        method=method.upper() if kinds.get(stream) == "http" else "",
        version=version,
    )
    for line in _told(loaded, path, found):
        click.echo(line)
    if not isinstance(found, Chosen):
        raise click.ClickException(_refusal(found, path))


def _told(loaded: "Loaded", path: str, found: "Selection") -> "list[str]":
    from runner.routing.router import Chosen

    lines = []
    if isinstance(found, Chosen):
        saga = found.saga
        executed = "{}@{}".format(*saga.executed)
        runs = "" if executed == saga.ref else f", runs the steps of {executed}"
        lines.append(f"✓ {saga.ref}  answers{runs}")
    lines += [f"✕ {ref}  {why}" for ref, why in found.lost]
    idle = [saga for saga in loaded.catalog if saga.path == path and saga.status != "active"]
    return lines + [f"✕ {saga.ref}  is {saga.status}" for saga in idle]


def _refusal(found: "Selection", path: str) -> str:
    from runner.routing.router import NotAllowed, NotFound

    if isinstance(found, NotAllowed):
        return f"405: {path} takes {', '.join(found.allow)}; ask with one of these"
    assert isinstance(found, NotFound)
    return f"404: {found.why}; see what there is: saga check, saga list"
