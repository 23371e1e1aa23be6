"""`saga runs`: what has been run, and one run with its timeline or as it runs."""

import re
import sys
from datetime import UTC
from typing import Final
from urllib.parse import quote

import click

from registry.base.clock import iso
from runner.cli.act import cancel, resolve, resume, retry, skip
from runner.cli.documents import Run, RunLine, Runs
from runner.cli.follow import EXIT_CODES, Teller, follow
from runner.cli.http import Server, server_option
from runner.cli.pace import Pace, pass_pace
from runner.cli.screen import Screen, Span, look, print_json
from runner.cli.show import lasting, summary, took, whole

_STATUSES: Final = (
    "running", "waiting", "compensating", "completed", "compensated", "failed", "parked", "cancelled",
)  # fmt: skip
_AGO: Final = re.compile(r"([0-9]+)(s|m|h|d)", re.ASCII)
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@click.group("runs")
def runs() -> None:
    """List, show, watch and cancel runs, and help those that are parked."""


def _label(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001 -- click's
    if value is not None and not re.fullmatch(r"[^:]+:.+", value):
        raise click.BadParameter("write NAME:VALUE, for example orderId:42")
    return value


@runs.command("list")
@click.option("--saga", metavar="ID", help="Only runs of this saga.")
@click.option("--status", type=click.Choice(_STATUSES), help="Only runs that stand so.")
@click.option("--label", metavar="NAME:VALUE", callback=_label, help="Only runs with this label.")
@click.option("--since", metavar="TIME", help="Only runs started since: an ISO time, or 30s, 10m, 2h, 7d ago.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="At most so many.")
@click.option("--cursor", help="Go on where a page ended: what it said as `next`.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@server_option
@pass_pace
def list_runs(
    pace: Pace,
    saga: str | None,
    status: str | None,
    label: str | None,
    since: str | None,
    limit: int,
    cursor: str | None,
    output: str,
    server: str,
) -> None:
    """List runs, the newest first."""
    filters = {
        "saga": saga,
        "status": status,
        "label": label,
        "since": _moment(since, pace),
        "limit": str(limit),
        "cursor": cursor,
    }
    reply = Server(server).send(
        "GET", "/api/v1/runs", query=[(name, value) for name, value in filters.items() if value]
    )
    page = reply.read(Runs)
    if output == "json":
        print_json(reply.json())
        return
    Screen().table(("STATUS", "SAGA", "STARTED", "TOOK", "RUN", "LABELS"), [_row(run) for run in page.runs])
    if not page.runs:
        click.echo("No runs; start one: saga call ID -i '{}'", err=True)
    elif page.next:
        click.echo(
            f"There are more than {limit}; go on with --cursor {page.next},"
            " or narrow it with --saga, --status, --label or --since.",
            err=True,
        )


def _moment(since: str | None, pace: Pace) -> str | None:
    """An ISO time as it is; a span as the time so long ago."""
    span = _AGO.fullmatch(since) if since else None
    return iso(pace.clock.now() - int(span[1]) * _UNIT_S[span[2]]) if span else since


def _row(run: RunLine) -> tuple[Span, ...]:
    glyph, style = look(run.status)
    duration_s = took(run)
    return (
        (f"{glyph} {run.status}", style),
        (f"{run.saga} v{run.version}", ""),
        (run.started_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"), ""),
        ("" if duration_s is None else lasting(duration_s), ""),
        (run.id, ""),
        (" ".join(f"{name}={value}" for name, value in run.labels.items()), "dim"),
    )


@runs.command("show")
@click.argument("run_id", metavar="RUN")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@server_option
@pass_pace
def show(pace: Pace, run_id: str, output: str, server: str) -> None:
    """Show one run: its outcome, steps, undo and times."""
    reply = Server(server).send("GET", f"/api/v1/runs/{quote(run_id, safe='')}")
    if reply.status >= 400:
        raise click.ClickException(f"{reply.problem()}; see which there are: saga runs list")
    run = reply.read(Run)
    if output == "json":
        print_json(reply.json())
    else:
        Screen().lines(list(whole(run, now=pace.clock.now())))


@runs.command("watch")
@click.argument("run_id", metavar="RUN")
@click.option(
    "--timeout", "limit_s", type=click.FloatRange(min=0, min_open=True), default=3_600.0, show_default=True,
    metavar="SECONDS", help="Give up watching after so long; the run goes on.",
)  # fmt: skip
@server_option
@pass_pace
def watch(pace: Pace, run_id: str, limit_s: float, server: str) -> None:
    """Show the steps and undo of a run as they happen, until it ends or is parked.

    Exit code: 0 completed, 10 compensated, 11 failed, 12 parked, 13 cancelled.
    """
    peer = Server(server)
    name = quote(run_id, safe="")
    run = follow(peer, name, pace, limit_s=limit_s, tell=Teller(Screen()))
    Screen().lines([summary(run, peer.link(f"/api/v1/runs/{name}"))])
    sys.exit(EXIT_CODES[run.status])


for command in (cancel, retry, skip, resolve, resume):
    runs.add_command(command)
