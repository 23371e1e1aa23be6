"""Runs as lines: one per step and undo, a head that says the outcome, and the whole with its timeline."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from registry.base.values import Json
from runner.cli.screen import UNDO, Line, look
from runner.cli.timeline import Axis, Interval

_BAR_COLUMNS: Final = 32
_LONGEST_DETAIL: Final = 160

#: Steps that let time pass; everything else works.
_IDLE_KINDS: Final = frozenset({"wait", "listen"})
#: Steps that hold other steps: their time is their steps'.
_BLOCK_KINDS: Final = frozenset({"switch", "fork", "for", "run"})


def seconds(moment: str | None) -> float | None:
    """An ISO 8601 time as seconds since the epoch."""
    return None if moment is None else datetime.fromisoformat(moment).timestamp()


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


def took(thing: Json) -> float | None:
    """Seconds from `startedAt` to `endedAt`; None while it has no end."""
    start, end = seconds(thing.get("startedAt")), seconds(thing.get("endedAt"))
    return None if start is None or end is None else end - start


def told(error: Json) -> str:
    """An error in one line: `409 no courier for nowhere`."""
    if not isinstance(error, dict):
        return ""
    text = " ".join(str(error[key]) for key in ("kind", "detail") if error.get(key))
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + "…"


def step_line(step: Json, widths: tuple[int, int], bar: str = "") -> Line:
    """`✓ reserve  stock  #1  41 ms`, with the error behind it where there is one."""
    status = str(step["status"])
    attempts = step.get("attempts") or 0
    waiting = step.get("waitingFor")
    note = told(step.get("error")) if status == "failed" else ""
    if status in ("running", "waiting") and waiting:
        status, note = "waiting", f"waits for {waiting if isinstance(waiting, str) else describe(waiting)}"
    elif status not in ("completed", "failed"):
        note = status
    return _line(look(status), step, attempts, took(step), note, widths, bar)


def undo_line(step: Json, widths: tuple[int, int], bar: str = "") -> Line:
    """`↺ charge  payment  88 ms`; a failed undo has the cross, its error, and says that it is one."""
    undo = step["undo"]
    status = str(undo["status"])
    if status == "completed":
        return _line(UNDO, step, 0, took(undo), "", widths, bar)
    note = f"undo {status}" + (f": {told(undo['error'])}" if undo.get("error") else "")
    return _line(look(status), step, undo.get("attempts") or 0, took(undo), note, widths, bar)


def _line(
    sign: tuple[str, str],
    step: Json,
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
        (f"{step.get('target') or step.get('kind') or '':<{widths[1]}}  ", "dim"),
        (f"{f'#{attempts}' if attempts else '':<4}", "dim"),
        (f"{'' if duration_s is None else lasting(duration_s):>12}", ""),
        *((("  ", ""), (f"│{bar}│", style)) if bar else ()),
        (f"  {note}" if note else "", style),
    )


def label(step: Json) -> str:
    """A step's name, set in by how deep it stands; in a `for` with its item: `charge[3]`."""
    *above, last = str(step["path"]).split("/")
    name = step.get("name") or (step.get("kind") if last.isdigit() else last)
    depth = sum(not part.isdigit() for part in above)
    item = f"[{above[-1]}]" if above and above[-1].isdigit() else ""
    return f"{'  ' * depth}{name}{item}"


def describe(waiting: Json) -> str:
    """What a step waits for, from its plain document."""
    if isinstance(waiting, dict):
        return ", ".join(f"{name} {value}" for name, value in waiting.items() if value is not None)
    return str(waiting)


def column_widths(steps: Sequence[Json], least: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """How wide the names and targets of these steps are, and no less than `least`."""
    names = (len(label(step)) for step in steps)
    targets = (len(str(step.get("target") or step.get("kind") or "")) for step in steps)
    return max(least[0], *names), max(least[1], *targets)


def summary(run: Json, link: str) -> Line:
    """`compensated in 1.9 s  http://...`, the last word on a run."""
    duration_s = took(run)
    status = str(run["status"])
    spent = "" if duration_s is None else f" in {lasting(duration_s)}"
    reason = f" ({run['reason']})" if run.get("reason") else ""
    return (status, look(status)[1]), (f"{spent}{reason}  {link}", "")


def whole(run: Json, *, now: float) -> Iterator[Line]:
    """A run with all its steps on one time axis. `now` (seconds since the epoch) ends what has no end yet."""
    status = str(run["status"])
    glyph, style = look(status)
    duration_s = took(run)
    spent = "" if duration_s is None else f"  in {lasting(duration_s)}"
    yield (f"{glyph} {status}", style), (f"  {run['saga']} v{run['version']}{spent}", "bold")
    yield from _facts(run)
    steps = [step for step in run["steps"] if step["status"] != "pending"]
    if not steps:
        return
    axis = _axis(run, steps, now)
    widths = column_widths(steps)
    yield ()
    yield (("steps", "bold"),)
    for step in steps:
        interval = _interval(step, now)
        sign = "·" if step.get("kind") in _IDLE_KINDS else "─" if step.get("kind") in _BLOCK_KINDS else "█"
        yield step_line(step, widths, axis.bar(interval, sign) if interval else " " * axis.width)
    undone = sorted((s for s in steps if s.get("undo")), key=lambda step: step["undo"].get("startedAt") or "~")
    if undone:
        yield ()
        yield (("undo", "bold"),)
    for step in undone:
        interval = _interval(step["undo"], now)
        yield undo_line(step, widths, axis.bar(interval, "█") if interval else " " * axis.width)


def _facts(run: Json) -> Iterator[Line]:
    """What a person asks first about a run."""
    started = datetime.fromisoformat(run["startedAt"]).astimezone(UTC)
    facts = [
        ("run", str(run["id"])),
        ("started", started.strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("labels", "  ".join(f"{name}={value}" for name, value in (run.get("labels") or {}).items())),
        ("reason", str(run.get("reason") or "")),
        ("error", _error(run.get("error"))),
        *(("left over", f"{one['step']} ({one['outcome']})") for one in run.get("leftovers") or ()),
        *(("undo failed", f"{one['step']}: {told(one)}") for one in run.get("undoErrors") or ()),
    ]
    for name, value in facts:
        if value:
            yield (f"{name:<12}", "dim"), (value, "")


def _error(error: Json) -> str:
    text = told(error)
    return f"{error['step']}: {text}" if text and error.get("step") else text


def _interval(thing: Json, now: float) -> Interval | None:
    start, end = seconds(thing.get("startedAt")), seconds(thing.get("endedAt"))
    return None if start is None else (start, max(now if end is None else end, start))


def _axis(run: Json, steps: Sequence[Json], now: float) -> Axis:
    working = [step for step in steps if step.get("kind") not in _IDLE_KINDS | _BLOCK_KINDS]
    intervals = [_interval(step, now) for step in working]
    intervals += [_interval(step["undo"], now) for step in steps if step.get("undo")]
    span = _interval(run, now)
    assert span is not None
    return Axis(span, [interval for interval in intervals if interval], width=_BAR_COLUMNS)
