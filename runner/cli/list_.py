"""`saga list`: the sagas that a runner serves."""

import click

from runner.cli.http import Server, pages, server_option
from runner.cli.screen import Screen, print_json


@click.command("list")
@click.option("--domain", help="Only sagas of this domain.")
@click.option("--status", type=click.Choice(["active", "draft", "inactive"]), help="Only sagas of this status.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@server_option
def list_sagas(domain: str | None, status: str | None, output: str, server: str) -> None:
    """List the sagas that a runner serves."""
    filters = [(name, value) for name, value in (("domain", domain), ("status", status)) if value]
    sagas = pages(Server(server), "/api/v1/sagas", "sagas", filters)
    if output == "json":
        print_json({"sagas": sagas})
        return
    rows = [
        (
            (saga["id"], "bold"),
            (str(saga["version"]), ""),
            (saga["status"], "green" if saga["status"] == "active" else "dim"),
            (saga.get("domain") or "", ""),
            (saga.get("path") or "-", ""),
            (saga.get("name") or "", ""),
        )
        for saga in sagas
    ]
    Screen().table(("ID", "VERSION", "STATUS", "DOMAIN", "PATH", "NAME"), rows)
    if not rows:
        click.echo("No sagas; check your definitions: saga check", err=True)
