"""The settings of a runner: read once, checked as a whole, never changed.

`load` gives the one frozen tree or raises `SettingsInvalid` with every error at once; `refusals` says why a
runner must not start with it, `not_yet` what it accepts without doing it.
"""

from runner.settings.environment import machine_environment, machine_name
from runner.settings.load import DEFAULT_FILE, SettingsInvalid, load
from runner.settings.readiness import is_loopback, not_yet, refusals
from runner.settings.secret import Secret
from runner.settings.shown import Shown, shown_values
from runner.settings.tree import Settings
from runner.settings.world import world_of

__all__ = [
    "DEFAULT_FILE",
    "Secret",
    "Settings",
    "SettingsInvalid",
    "Shown",
    "is_loopback",
    "load",
    "machine_environment",
    "machine_name",
    "not_yet",
    "refusals",
    "shown_values",
    "world_of",
]
