"""`saga runs cancel | retry | skip | resolve | resume`: what an operator does about runs, one or many."""

import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote

import click

from registry.base.values import Json
from runner.cli.documents import Accepted, Runs
from runner.cli.http import Server, server_option

#: Runs that one `--where` acts on at most; more: say it again.
MOST: Final = 1_000
_FILTERS: Final = ("saga", "status", "label", "since")


def _where(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, str]:  # noqa: ARG001 -- click's
    wanted: dict[str, str] = {}
    try:
        words = shlex.split(value or "")
    except ValueError as error:
        raise click.BadParameter(f"{value!r} cannot be read ({error}); quote what has spaces") from None
    for word in words:
        name, given, text = word.partition("=")
        if name not in _FILTERS or not given or not text:
            raise click.BadParameter(f"write {' '.join(f'{one}=...' for one in _FILTERS)}, not {word!r}")
        if name in wanted:
            raise click.BadParameter(f"say {name}= once: only one of the two would count")
        wanted[name] = text
    return wanted


def _json(ctx: click.Context, param: click.Parameter, value: str | None) -> Json:  # noqa: ARG001 -- click's
    try:
        return None if value is None else (json.loads(value),)
    except ValueError as error:
        raise click.BadParameter(f"is not JSON ({error}); a text needs its quotes: '\"done\"'") from None


def _acting(command: Callable[..., None]) -> Callable[..., None]:
    """What they have in common: which runs, why, and where."""
    for option in (
        click.argument("run_ids", metavar="[RUN]...", nargs=-1),
        click.option(
            "--where", callback=_where, metavar="FILTER", help="Many: 'saga=ID status=parked label=NAME:VALUE'."
        ),
        click.option("--reason", default="", help="Why; it is kept with the run."),
        server_option,
    ):
        command = option(command)
    return command


_step = click.option("--step", metavar="PATH", help="Which parked step, where there are several.")
_output = click.option("--output", "given", callback=_json, metavar="JSON", help="Stands for the step's output.")


@click.command("cancel")
@_acting
def cancel(run_ids: tuple[str, ...], where: dict[str, str], reason: str, server: str) -> None:
    """Stop runs and undo what they did."""
    _act("cancel", run_ids, where, server, _body(reason), tell=_asked_to_turn)


@click.command("retry")
@_acting
@_step
@click.option("--render", is_flag=True, help="Render the request anew, instead of sending the same bytes.")
def retry(
    run_ids: tuple[str, ...], where: dict[str, str], reason: str, server: str, step: str | None, render: bool
) -> None:
    """Try again what is parked: the same bytes, counters at zero."""
    _act("retry", run_ids, where, server, _body(reason, step=step, render=render or None))


@click.command("skip")
@_acting
@_step
@_output
def skip(
    run_ids: tuple[str, ...],
    where: dict[str, str],
    reason: str,
    server: str,
    step: str | None,
    given: tuple[Json] | None,
) -> None:
    """Go on without the parked step; in an undo it becomes a leftover."""
    _act("skip", run_ids, where, server, _body(reason, given, step=step))


@click.command("resolve")
@_acting
@_step
@_output
@click.option("--done/--not-done", default=None, required=True, help="Whether the step has had its effect.")
def resolve(
    run_ids: tuple[str, ...],
    where: dict[str, str],
    reason: str,
    server: str,
    step: str | None,
    given: tuple[Json] | None,
    done: bool,
) -> None:
    """Settle a step whose outcome is unknown."""
    _act("resolve", run_ids, where, server, _body(reason, given, step=step, done=done))


@click.command("resume")
@_acting
def resume(run_ids: tuple[str, ...], where: dict[str, str], reason: str, server: str) -> None:
    """Let runs be taken up again that their runner left alone (poison, definition-missing)."""
    _act("resume", run_ids, where, server, _body(reason))


def _body(reason: str, given: tuple[Json] | None = None, **said: Any) -> dict[str, Json]:
    """What was said, without what was not; an output of null counts as said."""
    body = {name: value for name, value in {**said, "reason": reason or None}.items() if value is not None}
    return body | ({"output": given[0]} if given is not None else {})


def _asked_to_turn(run: str) -> None:
    click.echo(f"Asked to turn; see how it ends: saga runs show {run}", err=True)


def _act(
    action: str,
    run_ids: tuple[str, ...],
    where: dict[str, str],
    server: str,
    body: dict[str, Json],
    *,
    tell: Callable[[str], None] = click.echo,
) -> None:
    if bool(run_ids) == bool(where):
        raise click.UsageError("name runs, or say --where 'saga=ID status=parked', and not both")
    peer = Server(server)
    failed = 0
    for run in run_ids or _found(peer, where):
        reply = peer.send(
            "POST",
            f"/api/v1/runs/{quote(run, safe='')}/{action}",
            body=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        if reply.status < 400:
            reply.read(Accepted)
            tell(run)
        elif len(run_ids) == 1:
            raise click.ClickException(f"{reply.problem()}; see how it stands: saga runs show {run}")
        else:
            failed += 1
            click.echo(f"{run}: {reply.problem()}", err=True)
    if failed:
        raise click.ClickException(f"{failed} could not be; see how they stand: saga runs show RUN")


def _found(peer: Server, where: dict[str, str]) -> Iterator[str]:
    page = peer.get("/api/v1/runs", Runs, [*where.items(), ("limit", str(MOST))])
    for run in page.runs:
        yield run.id
    if not page.runs:
        click.echo("No run is so.", err=True)
    elif page.next:
        click.echo(f"There are more than {MOST}; say it again when these are done.", err=True)
