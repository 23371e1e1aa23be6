"""The command line `saga`.

Nothing but click is imported here, and the list of commands is a table, so that `saga --help` answers at
once: a command's module is imported when the command is used. stdout is data, stderr is talk; exit code 1 is
a failure of the tool itself, in one line that names what to try next; 2 is a usage error.
"""

from importlib import import_module
from typing import Final

import click

#: Command -> (where it is, its line in the help), in the order of the help.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "dev": ("runner.cli.serve:dev", "Run everything on this machine, with demo services and reload on save."),
    "run": ("runner.cli.serve:run", "Run the runner with the settings of saga.yml and the environment."),
    "check": ("runner.cli.check:check", "Check definitions: every error of every file in one go."),
    "which": ("runner.cli.which:which", "Say which saga answers a request, and why no other one does."),
    "explain": ("runner.cli.explain:explain", "Explain the code of a problem or finding."),
    "doctor": ("runner.cli.doctor:doctor", "Show every setting and where it came from; try every connection."),
    "schema": ("runner.cli.check:schema", "Write the JSON Schema of definitions, for editors."),
    "call": ("runner.cli.call:call", "Start a saga and print its reply."),
    "list": ("runner.cli.list_:list_sagas", "List the sagas that a runner serves."),
    "runs": ("runner.cli.runs:runs", "List, show, watch and cancel runs."),
    "status": ("runner.cli.status:status", "Say whether a runner and a registry answer and are ready."),
    "service": ("registry.cli:service", "List, find and register services."),
    "registry": ("registry.cli:registry", "Serve the service registry."),
    "restart": ("registry.cli:restart", "Restart the server that systemd or launchd runs."),
}


class Commands(click.Group):
    """A group that imports a command when it is used, and not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="saga-runner", message="%(prog)s %(version)s")
def main() -> None:
    """Business transactions as YAML: call services, and undo what was done when a step fails."""
