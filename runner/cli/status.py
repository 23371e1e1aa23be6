"""`saga status`: is there a runner, and is it ready."""

import sys

import click

from runner.cli.documents import Health, Readiness
from runner.cli.http import Server, server_option
from runner.cli.screen import Screen, print_json


@click.command("status")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@server_option
def status(output: str, server: str) -> None:
    """Say whether a runner answers and is ready; exit code 1 where it is not."""
    runner = Server(server, timeout_s=5)
    health = runner.send("GET", "/health")
    ready = runner.send("GET", "/ready")
    version = health.read(Health).version
    is_ready = ready.status != 503
    if is_ready:
        ready.read(Readiness)
    if output == "json":
        print_json({"server": runner.url, "version": version, "ready": is_ready})
    else:
        sign = ("✓ ready", "green") if is_ready else ("✕ not ready", "red")
        Screen().lines([(sign, (f"  {runner.url}  {version}", ""))])
    sys.exit(0 if is_ready else 1)
