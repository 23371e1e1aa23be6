"""Runs the command line inside the test's process, on a clock that moves only when the command waits."""

from click.testing import CliRunner, Result

from registry.base.clock import ManualClock
from runner.cli import main
from runner.cli.pace import Pace


def saga(*arguments: str, stdin: str | None = None, env: dict[str, str] | None = None) -> Result:
    """What `saga ARGUMENTS` printed and its exit code. An exception that nobody foresaw fails the test."""
    clock = ManualClock()
    pace = Pace(clock=clock, pause=clock.advance)
    result = CliRunner(env={"SAGA_RUNNER_URL": "", "SAGA_CONFIG": "", **(env or {})}).invoke(
        main, arguments, input=stdin, obj=pace, prog_name="saga"
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
