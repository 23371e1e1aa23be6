"""`saga call`: start a saga over HTTP as any caller would, and print its reply."""

import json
import sys
from pathlib import Path
from typing import Final

import click
import msgspec

from registry.base.values import Json
from runner.cli.documents import Run
from runner.cli.follow import EXIT_CODES, Teller, follow
from runner.cli.http import Reply, Server, pages, server_option
from runner.cli.pace import Pace, pass_pace
from runner.cli.screen import Screen, print_json
from runner.cli.show import summary
from runner.definitions.findings import nearest

#: Verbs whose input is the query.
_QUERY_METHODS: Final = ("GET", "HEAD", "DELETE")


@click.command("call")
@click.argument("target", metavar="ID_OR_PATH")
@click.option("-i", "--input", "given", metavar="JSON|@FILE|-", help="The input; - reads stdin.  [default: {}]")
@click.option("--follow", "following", is_flag=True, help="Show steps and undo as they happen (on stderr).")
@click.option("--key", metavar="KEY", help="Idempotency key: the same key gets the same run.")
@click.option("-X", "--method", help="HTTP verb.  [default: the saga's first]")
@click.option(
    "--timeout", "limit_s", type=click.FloatRange(min=0, min_open=True), default=3_600.0, show_default=True,
    metavar="SECONDS", help="Give up watching after so long; the run goes on.",
)  # fmt: skip
@server_option
@pass_pace
def call(
    pace: Pace,
    target: str,
    given: str | None,
    following: bool,
    key: str | None,
    method: str | None,
    limit_s: float,
    server: str,
) -> None:
    """Start the saga ID (or ID@VERSION, or whatever answers at a PATH) and print its reply.

    Exit code: 0 completed, 10 compensated, 11 failed, 12 parked, 13 cancelled; 1 where no run came of it.
    """
    value = _input(given)
    runner = Server(server)
    path, version, verb = _address(runner, target, method)
    headers = {"Accept": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    if version is not None:
        headers["X-Saga-Version"] = version
    if following:
        headers["Prefer"] = "respond-async"
    if verb in _QUERY_METHODS:
        reply = runner.send(verb, path, query=_query(value), headers=headers)
    else:
        headers["Content-Type"] = "application/json"
        reply = runner.send(verb, path, body=json.dumps(value).encode(), headers=headers)
    sys.exit(_finish(runner, reply, pace, following=following, limit_s=limit_s))


def _input(given: str | None) -> Json:
    """The input that `-i` names."""
    if given is None:
        return {}
    try:
        if given == "-":
            text = sys.stdin.read()
        elif given.startswith("@"):
            text = Path(given[1:]).read_text(encoding="utf-8")
        else:
            text = given
        return json.loads(text)
    except OSError as error:
        raise click.BadParameter(f"{given[1:]} cannot be read ({error.strerror})", param_hint="-i") from None
    except ValueError as error:
        raise click.BadParameter(f"this is not JSON: {error}", param_hint="-i") from None


def _address(server: Server, target: str, method: str | None) -> tuple[str, str | None, str]:
    """Path, version (None: the one that answers) and verb of what is to be called."""
    by_path = target.startswith("/")
    wanted, _, version = (target, "", "") if by_path else target.partition("@")
    sagas = [saga for page, _ in pages(server) for saga in page.sagas]
    found = [saga for saga in sagas if (saga.path if by_path else saga.id) == wanted]
    if version:
        found = [saga for saga in found if str(saga.version) == version]
    found.sort(key=lambda saga: (saga.status == "active", saga.version), reverse=True)
    if not found and not by_path:
        close = nearest(wanted, (saga.id for saga in sagas))
        raise click.ClickException(
            f"{server.url} serves no saga `{target}`; " + (f"did you mean {close}?" if close else "try: saga list")
        )
    if not found:
        return target, version or None, (method or "POST").upper()
    saga = found[0]
    if not saga.path:
        raise click.ClickException(f"the saga `{target}` has no path, so only timers and other sagas start it")
    return saga.path, version or None, (method or next(iter(saga.methods), "POST")).upper()


def _query(value: Json) -> list[tuple[str, str]]:
    """An input as a query: lists repeat, null is left out."""
    if not isinstance(value, dict):
        raise click.BadParameter("the input of GET and DELETE is a mapping: it goes into the query", param_hint="-i")
    return [
        (name, item if isinstance(item, str) else json.dumps(item))
        for name, items in value.items()
        for item in (items if isinstance(items, list) else [items])
        if item is not None
    ]


def _finish(server: Server, reply: Reply, pace: Pace, *, following: bool, limit_s: float) -> int:
    """Print what came, watch what is not over, and say how it ended as an exit code."""
    run_id = reply.headers.get("x-saga-run") or reply.headers.get("location", "").rpartition("/")[2]
    outcome = str(reply.document().get("outcome", "")) if reply.status >= 400 else ""
    if following and run_id and reply.status == 202:
        run = follow(server, run_id, pace, limit_s=limit_s, tell=Teller(Screen(talk=True)))
        Screen(talk=True).lines([summary(run, server.link(f"/api/v1/runs/{run_id}"))])
        print_json(run.output if run.status == "completed" else msgspec.to_builtins(run.error))
        return EXIT_CODES[run.status]
    _print_body(reply)
    if outcome in EXIT_CODES:
        return EXIT_CODES[outcome]
    if outcome and run_id:  # answered while its undo still runs: the end decides
        run = follow(server, run_id, pace, limit_s=limit_s, tell=lambda _: None)
        return EXIT_CODES[run.status]
    if reply.status >= 300:
        raise click.ClickException(f"{reply.problem()}; see what is served: saga list")
    if reply.status == 202 and run_id:
        status = server.get(f"/api/v1/runs/{run_id}", Run).status
        if status not in EXIT_CODES:
            click.echo(f"The run goes on; see how: saga runs show {run_id}", err=True)
        return EXIT_CODES.get(status, 0)
    return 0


def _print_body(reply: Reply) -> None:
    """The reply's body on stdout: JSON in lines, anything else as it is."""
    if not reply.body:
        return
    if "json" in reply.headers.get("content-type", ""):
        print_json(reply.json())
    else:
        click.echo(reply.body, nl=False)
