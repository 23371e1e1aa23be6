"""The record budget: a run has at most `MOST_RECORDS` records, so that a journal stays one that can be folded quickly.

Looked at before a step begins, and before it is tried again: a step that its records have no room for fails with
`exhausted` before its first effect, and the saga turns. What undoes and ends a run is not counted and always has room:
records inside an undo, and `X`, `Y`, `Z`. Nor are signals (`G`): they come from outside, where no step could fail.

A loop of many turns does not use it up: its records go into a snapshot (`K`) window by window, and that counts as one.
"""

from collections.abc import Mapping
from typing import Final

from runner.saga.definition import Saga, Step
from runner.saga.journal import UNDO
from runner.saga.state import State
from runner.saga.tree import Spot

#: Records that a run may have.
MOST_RECORDS: Final = 10_000
#: A loop of more turns has a snapshot behind each so many,
WINDOW: Final = 1_000
#: and behind a turn with which so many records have come since the last one.
WINDOW_RECORDS: Final = 4_000
#: Up to so many reserved ones there is room for any step.
NEARLY_SPENT: Final = MOST_RECORDS - 2
#: Sagas inside sagas that are looked into beforehand.
_DEEPEST: Final = 20


def shortage(run: State, spot: Spot, *, again: bool = False) -> str:
    """Why the step cannot begin, or be tried `again`, as a sentence; empty where it can."""
    if spot.block.dir == UNDO:
        return ""
    need = 1 if again else _records_of(spot.step)
    if not need or run.reserved + need <= MOST_RECORDS:
        return ""
    run.exact = True
    return f"{spot.path} needs {need} more, and {_told(run)}"


def shortage_of_loop(run: State, spot: Spot, items: int) -> str:
    """Why so many turns of a loop cannot be, as a sentence; empty where they may, or nobody can know."""
    if spot.block.dir == UNDO:
        return ""
    [steps] = spot.step.verb.blocks()
    links: Mapping[str, Saga] = run.program.links
    if not _is_certain(steps, links):
        return ""
    turn = _least(steps, links)
    if items <= WINDOW:
        fullest = run.reserved + items * turn
    else:
        window = max(1, min(WINDOW, WINDOW_RECORDS // max(1, turn)))
        fullest = max(run.reserved + turn, run.mark + items // window + window * turn)
    if fullest <= MOST_RECORDS:
        return ""
    run.exact = True
    return f"the {items} items of {spot.path} need {fullest - run.reserved} at least, and {_told(run)}"


def window_is_full(run: State, turns: int) -> bool:
    """Whether a long loop that has had so many turns is to have a snapshot now."""
    since = run.stored - run.mark
    return since >= WINDOW_RECORDS or (since > 0 and turns % WINDOW == 0)


def _told(run: State) -> str:
    return (
        f"of the {MOST_RECORDS} records that a run may have {run.reserved} are there, or kept for steps under way: "
        "let runs of their own do parts of it (an `emit` starts one), or loop over fewer items"
    )


def _records_of(step: Step) -> int:
    """Records of the step itself, where its first attempt succeeds."""
    verb = step.verb
    if verb.KEY in ("call", "emit"):
        return 2 if verb.effects else 1
    return 2 if verb.KEY in ("wait", "listen") else 0


def _least(steps: tuple[Step, ...], links: Mapping[str, Saga]) -> int:
    """Records that these steps need at least; what may be skipped needs none."""
    need = 0
    for step in steps:
        if step.when is not None:
            continue
        need += _records_of(step)
        verb = step.verb
        if verb.KEY == "fork":
            need += sum(_least(branch, links) for branch in verb.blocks())
        elif verb.KEY == "for":
            [turn] = verb.blocks()
            need += verb.fewest * _least(turn, links)  # type: ignore[attr-defined]  # a `for` knows its turns
        elif verb.KEY == "run":
            need += _least(links[verb.saga].steps, links)  # type: ignore[attr-defined]  # a `run` names one
    return need


def _is_certain(steps: tuple[Step, ...], links: Mapping[str, Saga], depth: int = 0) -> bool:
    """Whether nothing ends these steps early (a `return`, a `raise`), or makes their records fewer (a long loop)."""
    for step in steps:
        verb = step.verb
        if verb.KEY in ("return", "raise") or (verb.KEY == "for" and verb.long):  # type: ignore[attr-defined]  # as above
            return False
        lists = [*verb.blocks(), *(entry.steps for entry in step.catch or ())]
        if verb.KEY == "run":
            if depth == _DEEPEST:
                return False
            lists.append(links[verb.saga].steps)  # type: ignore[attr-defined]  # a `run` names one
        if not all(_is_certain(one, links, depth + (verb.KEY == "run")) for one in lists):
            return False
    return True
