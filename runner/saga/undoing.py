"""What is to be undone, and what would be left: read off the tree, never off the clock.

A sequence is undone in reverse, branches in reverse declaration, items by falling index. A step is undone where it
completed or its outcome is unknown; what was provably refused, or never begun, is not.
"""

from collections.abc import Iterable, Iterator

from runner.saga.definition import Step
from runner.saga.journal import Leftover
from runner.saga.tree import COMPLETED, Block, Frame, Plan, Spot


def plan_for_frame(frame: Frame) -> Plan:
    """Everything in a saga that failed or was turned."""
    return Plan(frame, list(_below(frame.block)))


def plan_for_caught(spot: Spot) -> Plan:
    """What a failed step leaves behind: itself, where its outcome is unknown, and what is below it."""
    entries: list[Spot | Plan] = [spot] if spot.unknown and _wants_undo(spot) else []
    for block in reversed(list(spot.stretch())):
        entries.extend(_below(block))
    return Plan(spot.frame, entries)


def leftovers_of_frame(frame: Frame) -> list[Leftover]:
    """Effects of a turned saga that are, or may be, still there; in the order in which the steps ran."""
    return list(_left_in(frame.block))


def leftovers_of_completed(frame: Frame) -> list[Leftover]:
    """Of a saga that completed: what its caught steps left behind; what stood in for them is wanted."""
    return list(_caught_in(frame.block))


def _caught_in(block: Block) -> Iterator[Leftover]:
    for spot in block.spots:
        if spot.caught:
            yield from _left_at(spot, spot.blocks)
            if spot.catch_block is not None:
                yield from _caught_in(spot.catch_block)
        elif spot.blocks or spot.catch_block is not None:
            for below in spot.stretch():
                yield from _caught_in(below)


def _below(block: Block) -> Iterator[Spot | Plan]:
    for spot in reversed(block.spots):
        yield from _at(spot)


def _at(spot: Spot) -> Iterator[Spot | Plan]:
    if spot.catch_block is not None:
        yield from _below(spot.catch_block)
    if spot.phase == COMPLETED or spot.unknown or spot.undo is not None:
        if _wants_undo(spot):
            yield spot
        if spot.step.compensate is not None and not _is_leaf(spot.step):
            # On `run` it stands in place of the cascade, and so does `none`, or an undo that has been tried.
            return
    for block in reversed(spot.blocks):
        if block.scope.frame is spot.frame:
            yield from _below(block)
        else:
            cascade = Plan(block.scope.frame, list(_below(block)))
            if cascade.entries:
                yield cascade


def _wants_undo(spot: Spot) -> bool:
    return bool(spot.step.compensate) and spot.undo is None


def _left_in(block: Block) -> Iterator[Leftover]:
    for spot in block.spots:
        yield from _left_at(spot, spot.stretch())


def _left_at(spot: Spot, below: Iterable[Block]) -> Iterator[Leftover]:
    """What the spot and these blocks of it leave."""
    step = spot.step
    if spot.undone or (step.compensate == () and _is_leaf(step)):
        pass
    elif step.verb.KEY == "run" and step.compensate is not None and spot.phase == COMPLETED:
        if step.compensate:
            yield Leftover(step=spot.path, outcome="done")
        return
    elif (step.verb.effects or (spot.undo is not None and _is_leaf(step))) and (
        spot.phase == COMPLETED or spot.unknown
    ):
        yield Leftover(step=spot.path, outcome="done" if spot.phase == COMPLETED else "unknown")
    if spot.undone and step.verb.KEY == "run":
        return
    for block in below:
        yield from _left_in(block)


def _is_leaf(step: Step) -> bool:
    return step.verb.KEY != "run"
