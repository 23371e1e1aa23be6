"""Watches a run until it ends, and tells each step and each undo once it is over."""

from collections.abc import Callable
from typing import Final

import click

from runner.cli.documents import Run, Step, Undo
from runner.cli.http import Server, Unreachable
from runner.cli.pace import Pace
from runner.cli.screen import Screen
from runner.cli.show import column_widths, order, step_line, undo_line

#: Exit code by how a run stands when there is nothing left to watch.
EXIT_CODES: Final[dict[str, int]] = {
    "completed": 0,
    "compensated": 10,
    "failed": 11,
    "parked": 12,
    "cancelled": 13,
}

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 1.0
_GROWTH: Final = 1.3
#: A runner that is restarted is waited for so long.
_PATIENCE_WITHOUT_ANSWER_S: Final = 30.0

#: Enough room that lines told one by one mostly stand in columns.
_WIDTHS: Final = (16, 10)


def follow(server: Server, run_id: str, pace: Pace, *, limit_s: float, tell: Callable[[Run], None]) -> Run:
    """The run as it is when it has ended or is parked; `tell` gets every state seen on the way there.

    Raises `click.ClickException` after `limit_s` seconds, or when the runner stays away.
    """
    path = f"/api/v1/runs/{run_id}"
    begun = heard = pace.clock.monotonic()
    pause = _FIRST_PAUSE_S
    status = "running"
    while (now := pace.clock.monotonic()) - begun < limit_s:
        try:
            run = server.get(path, Run)
        except Unreachable:
            if now - heard >= _PATIENCE_WITHOUT_ANSWER_S:
                raise
        else:
            heard, status = now, run.status
            tell(run)
            if status in EXIT_CODES:
                return run
        pace.pause(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE_S)
    raise click.ClickException(f"still {status} after {limit_s:g} s; see how it goes on: saga runs show {run_id}")


class Teller:
    """Writes a line for each step and undo that is over, and each wait that begins; each once."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._told: set[tuple[str, str, str]] = set()

    def __call__(self, run: Run) -> None:
        news = sorted((step for step in run.steps if self._is_news(step)), key=lambda step: order(step.ended_at))
        self._screen.lines([step_line(step, column_widths([step], _WIDTHS)) for step in news])
        undone = [(step, step.undo) for step in run.steps if step.undo is not None and self._is_over(step, step.undo)]
        undone.sort(key=lambda pair: order(pair[1].ended_at))
        self._screen.lines([undo_line(step, undo, column_widths([step], _WIDTHS)) for step, undo in undone])

    def _is_news(self, step: Step) -> bool:
        over = step.status in ("completed", "failed")
        return (over or bool(step.waiting_for)) and self._first(step, "over" if over else "waits")

    def _is_over(self, step: Step, undo: Undo) -> bool:
        return undo.status in ("completed", "failed") and self._first(step, "undone")

    def _first(self, step: Step, what: str) -> bool:
        key = (step.path, step.direction, what)
        new = key not in self._told
        self._told.add(key)
        return new
