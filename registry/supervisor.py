"""The service manager of this machine, where it runs a server of ours: systemd, or launchd on macOS."""

import os
import shutil
import subprocess
import sys
from typing import Final

#: Seconds that a restart may take; the server drains in that time.
_PATIENCE: Final = 120


class CannotRestart(Exception):
    """The message says why, and what to do instead."""


def restart(unit: str) -> str:
    """Restart the service `unit`; the command that did it. Raises `CannotRestart`."""
    command = _command(unit)
    if command is None:
        raise CannotRestart(
            "no service manager (systemctl or launchctl) is on this machine's path:"
            " stop the server with Ctrl-C or SIGTERM, and start it again"
        )
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603 - it is the user's own
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRestart(f"{' '.join(command)} did not succeed: {error}") from None
    if done.returncode != 0:
        said = " ".join(f"{done.stderr} {done.stdout}".split()) or f"exit code {done.returncode}"
        raise CannotRestart(f"{' '.join(command)} did not succeed: {said}")
    return " ".join(command)


def _command(unit: str) -> list[str] | None:
    if sys.platform == "darwin":
        found = shutil.which("launchctl")
        return None if found is None else [found, "kickstart", "-k", f"gui/{os.getuid()}/{unit}"]
    found = shutil.which("systemctl")
    return None if found is None else [found, "restart", "--", unit]
