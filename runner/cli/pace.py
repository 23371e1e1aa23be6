"""Time for commands that watch a run: a clock, and how to let time pass."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import click

from registry.base.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The clock that a command reads, and its way of waiting (seconds)."""

    clock: Clock = field(default_factory=SystemClock)
    pause: Callable[[float], None] = time.sleep


#: Hands a command its pace: the context's own, else the machine's.
pass_pace = click.make_pass_decorator(Pace, ensure=True)
