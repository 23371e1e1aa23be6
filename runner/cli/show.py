"""Runs as lines: one per step and undo, a head that says the outcome, and the whole with its timeline."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Final

from runner.cli.documents import Failure, Run, RunLine, Step, Undo
from runner.cli.screen import UNDO, Line, look
from runner.cli.timeline import Axis, Interval

_BAR_COLUMNS: Final = 32
_LONGEST_DETAIL: Final = 160

#: Steps that let time pass; everything else works.
_IDLE_KINDS: Final = frozenset({"wait", "listen"})
#: Steps that hold other steps: their time is their steps'.
_BLOCK_KINDS: Final = frozenset({"switch", "fork", "for", "run"})


def order(moment: datetime | None) -> float:
    """Where a time stands among others; behind all of them where it has not come yet."""
    return inf if moment is None else moment.timestamp()


def lasting(span_s: float) -> str:
    """A span of time in its two largest units: `41 ms`, `1.9 s`, `2 min 5 s`, `3 h 12 min`, `2 d`."""
    if span_s < 0.9995:
        return f"{max(span_s, 0) * 1_000:.0f} ms"
    if span_s < 59.95:
        return f"{span_s:.1f} s"
    whole = round(span_s)
    for unit, size, lower, lower_size in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // lower_size
            return f"{whole // size} {unit}" + (f" {rest} {lower}" if rest else "")
    raise AssertionError("a minute is longer than 59.95 seconds")


def took(thing: RunLine | Step | Undo) -> float | None:
    """Seconds from its start to its end; None while it has none."""
    if thing.started_at is None or thing.ended_at is None:
        return None
    return (thing.ended_at - thing.started_at).total_seconds()


def told(error: Failure | None) -> str:
    """An error in one line: `409 no courier for nowhere`."""
    if error is None:
        return ""
    text = " ".join(f"{error.kind} {error.detail}".split())
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + "…"


def step_line(step: Step, widths: tuple[int, int], bar: str = "") -> Line:
    """`✓ reserve  stock  #1  41 ms`, with the error behind it where there is one."""
    status = step.status
    note = told(step.error) if status == "failed" else ""
    if status in ("running", "waiting") and step.waiting_for:
        status, note = "waiting", f"waits for {step.waiting_for}"
    elif status not in ("completed", "failed"):
        note = status
    return _line(look(status), step, step.attempts, took(step), note, widths, bar)


def undo_line(step: Step, undo: Undo, widths: tuple[int, int], bar: str = "") -> Line:
    """`↺ charge  payment  88 ms`; a failed undo has the cross, its error, and says that it is one."""
    if undo.status == "completed":
        return _line(UNDO, step, 0, took(undo), "", widths, bar)
    note = f"undo {undo.status}" + (f": {told(undo.error)}" if undo.error is not None else "")
    return _line(look(undo.status), step, undo.attempts, took(undo), note, widths, bar)


def _line(
    sign: tuple[str, str],
    step: Step,
    attempts: int,
    duration_s: float | None,
    note: str,
    widths: tuple[int, int],
    bar: str,
) -> Line:
    glyph, style = sign
    return (
        (f"{glyph} ", style),
        (f"{label(step):<{widths[0]}}  ", ""),
        (f"{step.target or step.kind:<{widths[1]}}  ", "dim"),
        (f"{f'#{attempts}' if attempts else '':<4}", "dim"),
        (f"{'' if duration_s is None else lasting(duration_s):>12}", ""),
        *((("  ", ""), (f"│{bar}│", style)) if bar else ()),
        (f"  {note}" if note else "", style),
    )


def label(step: Step) -> str:
    """A step's name, set in by how deep it stands; in a `for` with its item: `charge[3]`."""
    *above, last = step.path.split("/")
    name = step.name or (step.kind if last.isdigit() else last)
    depth = sum(not part.isdigit() for part in above)
    item = f"[{above[-1]}]" if above and above[-1].isdigit() else ""
    return f"{'  ' * depth}{name}{item}"


def column_widths(steps: Sequence[Step], least: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """How wide the names and targets of these steps are, and no less than `least`."""
    names = (len(label(step)) for step in steps)
    targets = (len(step.target or step.kind) for step in steps)
    return max(least[0], *names), max(least[1], *targets)


def summary(run: Run, link: str) -> Line:
    """`compensated in 1.9 s  http://...`, the last word on a run."""
    duration_s = took(run)
    spent = "" if duration_s is None else f" in {lasting(duration_s)}"
    reason = f" ({run.reason})" if run.reason else ""
    return (run.status, look(run.status)[1]), (f"{spent}{reason}  {link}", "")


def whole(run: Run, *, now: float) -> Iterator[Line]:
    """A run with all its steps on one time axis. `now` (seconds since the epoch) ends what has no end yet."""
    glyph, style = look(run.status)
    duration_s = took(run)
    spent = "" if duration_s is None else f"  in {lasting(duration_s)}"
    yield (f"{glyph} {run.status}", style), (f"  {run.saga} v{run.version}{spent}", "bold")
    yield from _facts(run)
    steps = [step for step in run.steps if step.status != "pending"]
    if not steps:
        return
    axis = _axis(run, steps, now)
    widths = column_widths(steps)
    yield ()
    yield (("steps", "bold"),)
    for step in steps:
        interval = _interval(step, now)
        sign = "·" if step.kind in _IDLE_KINDS else "─" if step.kind in _BLOCK_KINDS else "█"
        yield step_line(step, widths, axis.bar(interval, sign) if interval else " " * axis.width)
    undone = [(step, step.undo) for step in steps if step.undo is not None]
    undone.sort(key=lambda pair: order(pair[1].started_at))
    if undone:
        yield ()
        yield (("undo", "bold"),)
    for step, undo in undone:
        interval = _interval(undo, now)
        yield undo_line(step, undo, widths, axis.bar(interval, "█") if interval else " " * axis.width)


def _facts(run: Run) -> Iterator[Line]:
    """What a person asks first about a run."""
    facts = [
        ("run", run.id),
        ("started", run.started_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("labels", "  ".join(f"{name}={value}" for name, value in run.labels.items())),
        ("reason", run.reason or ""),
        ("error", _error(run.error)),
        *(("left over", f"{one.step} ({one.outcome})") for one in run.leftovers),
        *(("undo failed", f"{one.step}: {told(one)}") for one in run.undo_errors),
    ]
    for name, value in facts:
        if value:
            yield (f"{name:<12}", "dim"), (value, "")


def _error(error: Failure | None) -> str:
    return f"{error.step}: {told(error)}" if error is not None and error.step else told(error)


def _interval(thing: RunLine | Step | Undo, now: float) -> Interval | None:
    if thing.started_at is None:
        return None
    start = thing.started_at.timestamp()
    return start, max(now if thing.ended_at is None else thing.ended_at.timestamp(), start)


def _axis(run: Run, steps: Sequence[Step], now: float) -> Axis:
    working = [step for step in steps if step.kind not in _IDLE_KINDS | _BLOCK_KINDS]
    intervals = [_interval(step, now) for step in working]
    intervals += [_interval(step.undo, now) for step in steps if step.undo is not None]
    span = _interval(run, now)
    assert span is not None
    return Axis(span, [interval for interval in intervals if interval], width=_BAR_COLUMNS)
