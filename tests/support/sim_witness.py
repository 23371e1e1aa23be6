"""What ought to happen sometimes, counted: a judge who never sees it has not been put to the test."""

from collections.abc import Iterator

from runner.saga.advance import advance
from runner.saga.definition import PARALLEL
from runner.saga.journal import (
    UNDO,
    Begun,
    Done,
    Ended,
    Record,
    Refused,
    RetryPlanned,
    ScopeTurned,
    Signalled,
    Turned,
    Unknown,
    Waiting,
)
from runner.saga.tree import FAILED, Block, Spot
from tests.support.sim_chronicle import Appended, Chronicle, Left
from tests.support.sim_fate import Fate, take_into
from tests.support.sim_plan import Played, Told


def witness(played: Played, seen: Chronicle) -> None:
    """Count into `seen` what happened in this world."""
    for what, many in played.chronicle.seen.items():
        seen.seen[what] = seen.seen.get(what, 0) + many
    appended: dict[str, list[Appended]] = {}
    undoers: dict[str, str] = {}
    for event in played.chronicle.events:
        if isinstance(event, Appended):
            appended.setdefault(event.run, []).append(event)
        elif isinstance(event, Left) and ".undo" in event.key:
            undoers.setdefault(event.run, event.owner)
    for run, told in played.runs.items():
        seen.count(f"ended {told.row.status}")
        writers = [one for one in appended.get(run, ()) for _ in range(one.count)]
        if writers and writers[0].by:
            seen.count("onFail started")
        _of_journal(told.records, writers, undoers.get(run, ""), seen)
        _of_tree(run, told, seen)


def _of_journal(records: list[Record], writers: list[Appended], undoer: str, seen: Chronicle) -> None:
    """`undoer`: who sent the first request of an undo."""
    fates: dict[str, Fate] = {}
    crashed: set[str] = set()
    turned = False
    for at, record in enumerate(records):
        if 0 < at < len(writers) and writers[at].epoch != writers[at - 1].epoch:
            seen.count("takeover during undo" if turned else "takeover")
        if isinstance(record, Turned):
            turned = True
            seen.count(f"turned by {record.cause}")
            if undoer not in ("", writers[at].owner):
                seen.count("crash between turn and first undo")
        elif isinstance(record, ScopeTurned):
            seen.count("scope turned")
        elif isinstance(record, Signalled):
            busy = any(fate.open for fate in fates.values())
            name = record.name if record.name.startswith("$") else "signal"
            seen.count(f"{name} {'during flight' if busy else 'at rest'}")
        elif isinstance(record, RetryPlanned):
            seen.count("retry planned for an undo" if record.dir == UNDO else "retry planned")
        elif isinstance(record, Waiting):
            seen.count("waited")
        elif isinstance(record, Ended):
            for _ in record.leftovers:
                seen.count("left over")
            for _ in record.undo_errors:
                seen.count("undo given up")
        elif isinstance(record, Begun | Done | Refused | Unknown):
            fate = fates.get(record.path, Fate())
            if isinstance(record, Begun) and record.path in crashed:
                seen.count("resent after crash")
                crashed.discard(record.path)
            if isinstance(record, Unknown) and record.crash:
                crashed.add(record.path)
            if isinstance(record, Refused) and fate.unknown:
                seen.count("unknown then refused")
            if isinstance(record, Refused | Unknown):
                seen.count(f"{type(record).__name__.lower()} {record.fault.kind}")
        take_into(fates, record)


def _of_tree(run: str, told: Told, seen: Chronicle) -> None:
    """What the run's tree has come to: verbs by their end, catches, depths, policies."""
    state = advance(told.made.program, run, told.records)
    for spot in _spots(state.root.block):
        step, frame = spot.step, spot.frame
        seen.count(f"{step.verb.KEY} {spot.phase}")
        if spot.fault is not None and spot.phase == FAILED:
            seen.count(f"failed with {spot.fault.kind}")
        if spot.caught:
            seen.count("caught by steps" if spot.catch_block is not None else "caught by output")
        if step.pivot and spot.block.dir != UNDO:
            seen.count(f"pivot {spot.phase}{', once unknown' if spot.unknown else ''}")
        if step.idempotent is False and spot.unknown:
            seen.count("unknown and not idempotent")
        if step.verb.KEY == "run" and frame.depth:
            seen.count("run inside a run")
        if spot.undo is not None:
            policy = spot.frame.saga.compensation
            seen.count(f"undo {spot.undo.status}, {'side by side' if policy.order == PARALLEL else 'in turn'}")
            if spot.undo.fault is not None:
                seen.count(f"undo exhausted: {policy.on_exhausted}")
            if len(spot.undo.block.spots) > 1:
                seen.count("undo of two steps")


def _spots(block: Block) -> Iterator[Spot]:
    for spot in block.spots:
        yield spot
        for below in spot.stretch():
            yield from _spots(below)
        if spot.undo is not None:
            yield from _spots(spot.undo.block)
