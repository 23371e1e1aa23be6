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
    found = list(pages(Server(server), filters))
    if output == "json":
        print_json({"sagas": [saga for _, reply in found for saga in reply.json()["sagas"]]})
        return
    rows = [
        (
            (saga.id, "bold"),
            (str(saga.version), ""),
            (saga.status, "green" if saga.status == "active" else "dim"),
            (saga.domain or "", ""),
            (saga.path or "-", ""),
            (saga.name or "", ""),
        )
        for page, _ in found
        for saga in page.sagas
    ]
    Screen().table(("ID", "VERSION", "STATUS", "DOMAIN", "PATH", "NAME"), rows)
    if not rows:
        click.echo("No sagas; check your definitions: saga check", err=True)
