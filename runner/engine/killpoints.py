"""Numbered places where the runner can be made to die, so that a test can show that none of them matters.

Off, as it always is where people use it, `reached` does nothing: the modules that call it bind a builtin that only
looks at its argument, which is what costs least. Set `SAGA_KILL_POINT` (the command line reads it and calls `arm`
first) and each of them binds one that counts:

- `NAME:HIT` or `NUMBER:HIT`: the process kills itself (SIGKILL) when it is at that point for the HIT-th time.
- `count:FILE`: every hit is a line in FILE, the point's name.

A point stands where what is before it is done and what is behind it is not.
"""

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

#: The variable that switches a point on.
VARIABLE: Final = "SAGA_KILL_POINT"

#: Every point; its number is its place in this list, from 1.
POINTS: Final = (
    # The journal's file at the start.
    "file.locked",
    "file.made",
    "sqlite.opened",
    # A message becomes a run, and is answered.
    "dispatch.bundle",
    "dispatch.bundled",
    "dispatch.record",
    "dispatch.recorded",
    "dispatch.accepted",
    "dispatch.answer",
    "http.answered",
    "start.create",
    "start.created",
    # A run is driven.
    "drive.append",
    "drive.appended",
    "drive.side-by-side",
    "drive.outcome",
    "drive.fired",
    "drive.merged",
    "drive.released",
    "drive.ended",
    # A request leaves, and what came of it is known, but not yet to the journal.
    "send.forward",
    "sent.forward",
    "send.undo",
    "sent.undo",
    "send.catch",
    "sent.catch",
    "send.pivot",
    "sent.pivot",
    "put.record",
    "put.done",
    # What follows a failed run.
    "programs.follow-up",
    "programs.followed",
    # Recovery.
    "recover.look",
    "recover.found",
    "recover.adopted",
    "recover.beat",
    "recover.sweep",
    "recover.swept",
    "adopt.claim",
    "adopt.claimed",
    "programs.read",
    "adopt.folded",
    "adopt.taken-up",
    # The SQLite store: between the parts of a batch, and of one operation.
    "sqlite.appended",
    "sqlite.asked",
    "sqlite.sweep",
    "writer.gathered",
    "writer.begun",
    "writer.operation",
    "writer.commit",
    "writer.committed",
    "writer.told",
    "writer.deliver",
    "ledger.created",
    "ledger.extended",
    "ledger.spawn",
    "ledger.claim",
    "ledger.signal",
    "ledger.inbox",
    "ledger.bundle",
    "ledger.sweep-run",
    "ledger.sweep-bundles",
    "changes.runs",
    "ledger.written",
    "ledger.committed",
)

#: Modules that bind `reached` when they are imported.
_BINDING: Final = ("runner.engine.drive", "runner.adapters.stores.sqlite")


#: Say that a point of `POINTS` is reached. Off: the runner goes on.
reached: Callable[[str], object] = len


def arm(plan: str) -> None:
    """Switch a point on, or the counting, as `plan` (the variable's value; empty: nothing) says.

    Raises ValueError where the plan cannot be read, RuntimeError where modules have bound `reached` already.
    """
    global reached
    if not plan:
        return
    if early := [name for name in _BINDING if name in sys.modules]:
        raise RuntimeError(f"{VARIABLE} comes too late: {early[0]} is imported already; arm before that.")
    point, _, rest = plan.rpartition(":")
    if plan.startswith("count:"):
        reached = _counting(Path(plan.removeprefix("count:")))
        return
    if point.isdecimal() and 1 <= int(point) <= len(POINTS):
        point = POINTS[int(point) - 1]
    if point not in POINTS or not rest.isdecimal() or not int(rest):
        raise ValueError(
            f"{VARIABLE}={plan} names no kill point; write NAME:HIT or NUMBER:HIT (1 to {len(POINTS)}), or count:FILE."
        )
    reached = _killing(point, int(rest))


def _counting(path: Path) -> Callable[[str], None]:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def count(point: str) -> None:
        os.write(file, f"{point}\n".encode())

    return count


def _killing(wanted: str, hit: int) -> Callable[[str], None]:
    hits: Counter[str] = Counter()
    lock = threading.Lock()  # the store's thread comes by, too

    def kill(point: str) -> None:
        if point != wanted:
            return
        with lock:
            hits[point] += 1
            if hits[point] == hit:
                os.kill(os.getpid(), signal.SIGKILL)

    return kill
