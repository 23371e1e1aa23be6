"""`saga doctor`: what the settings are, where each came from, and whether a runner could start with them."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from runner.cli.screen import Screen, print_json

if TYPE_CHECKING:
    from runner.cli.checkup import Check
    from runner.cli.screen import Span
    from runner.settings import Settings, Shown

_LOOKS: Final[dict[str, "Span"]] = {
    "ok": ("✓ ok", "green"),
    "warning": ("! warning", "yellow"),
    "error": ("✕ error", "red"),
}


@click.command("doctor")
@click.option("--config", metavar="FILE", help="The settings file.  [default: SAGA_CONFIG, or saga.yml]")
@click.option("--insecure", is_flag=True, help="Look as for `saga run --insecure`.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def doctor(config: str | None, insecure: bool, output: str) -> None:
    """Show every setting with where it came from, and try every connection; secrets are masked.

    Nothing is started or changed, and a runner at work is not disturbed. Exit code: 1 where something keeps
    `saga run` from starting.
    """
    from runner import settings as house
    from runner.cli.checkup import ERROR, Check, checkup

    settings: Settings | None = None
    try:
        settings = house.load(environment=house.machine_environment(), config=config, host_name=house.machine_name())
        values = house.shown_values(settings)
        checks = list(checkup(settings, insecure=insecure))
    except house.SettingsInvalid as invalid:
        values = ()
        checks = [Check(name="settings", status=ERROR, told=sentence) for sentence in invalid.sentences]
    ready = all(check.status != ERROR for check in checks)
    if output == "json":
        print_json(
            {
                "file": str(settings.file) if settings is not None and settings.file else None,
                "settings": [{"key": one.key, "value": one.value, "origin": one.origin} for one in values],
                "checks": [check.plain() for check in checks],
                "ready": ready,
            }
        )
    else:
        _print(Screen(), values, checks, ready=ready)
    sys.exit(0 if ready else 1)


def _print(screen: Screen, values: "Sequence[Shown]", checks: "Sequence[Check]", *, ready: bool) -> None:
    if values:
        screen.table(
            ("SETTING", "VALUE", "FROM"),
            [
                (
                    (one.key, ""),
                    (_written(one.value), "" if one.origin != "default" else "dim"),
                    (one.origin, "" if one.origin != "default" else "dim"),
                )
                for one in values
            ],
        )
        screen.lines([()])
    screen.table(
        ("CHECK", "RESULT", "WHAT IT SAYS"),
        [((check.name, ""), _LOOKS[check.status], (check.told, "")) for check in checks],
    )
    end = ("A runner works with these settings.", "green")
    broken = ("A runner cannot start with these settings: mend what is marked as error.", "red")
    screen.lines([(), (end if ready else broken,)])


def _written(value: object) -> str:
    """A value on one line: text as it is, anything else as JSON; a dash where there is none."""
    if value is None:
        return "-"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
