"""What an expression can see from where it stands: context names, and which steps may have run by then.

Two paths down the tree of lists are compared, the reader's and the target's. Where they part decides: before,
after, beside, or in another world (an undo, a loop's item, the other branch).
"""

from typing import Final

from runner.definitions.draft import (
    AT_CATCH,
    AT_END,
    AT_START,
    AT_STEP,
    AT_UNTIL,
    BRANCH,
    CATCH,
    ITEM,
    UNDO,
    Draft,
    Site,
    StepList,
)
from runner.saga.reads import ROOTS

#: Nothing is wrong.
_SEEN: Final = ("", "")


def roots_at(site: Site, sees: tuple[str, ...] = ()) -> frozenset[str]:
    """The context names at a place; `sees` are those that its key adds."""
    draft = site.draft
    if draft is None:
        return ROOTS
    if len(draft.chain) == 1 and site.mode == AT_STEP and not sees:
        return ROOTS
    extra = set(sees)
    if site.mode == AT_CATCH:
        extra.add("error")
    loops = [draft] if site.mode == AT_UNTIL else []
    for list_, _ in draft.chain:
        if list_.role in (CATCH, UNDO):
            extra.add("error")
        elif list_.role == ITEM and list_.owner is not None:
            loops.append(list_.owner)
    for loop in loops:
        extra.add("index")
        value = loop.box.get("for")
        each = loop.node.get("for")
        name = each.get("each") if each is not None else None
        if name is not None and isinstance(name.value, str):
            extra.add(name.value)
        elif isinstance(value, dict) and "each" in value:
            extra.add(value["each"])
    return ROOTS | extra


def readable(site: Site, target: Draft, field: str) -> tuple[str, str]:
    """Code and sentence of what forbids reading `field` of `target` from `site`; empty where nothing does."""
    name = target.name
    if site.mode == AT_START:
        return "SG306", f"no step has begun when this is computed, so there is no `steps.{name}`"
    reader = site.draft
    if reader is None:
        assert site.mode == AT_END
        return _hidden(name, [list_ for list_, _ in target.chain])
    undo = _last(reader, UNDO)
    if undo is not None and not any(list_ is undo for list_, _ in target.chain):
        # An undo sees the whole run as it was, but for other undos and for the items of other loops.
        around = [list_ for list_, _ in reader.chain]
        return _hidden(name, [list_ for list_, _ in target.chain if list_ not in around])
    return _forward(site, reader, target, field)


def _forward(site: Site, reader: Draft, target: Draft, field: str) -> tuple[str, str]:
    name = target.name
    depth = _parting(reader, target)
    here, there = reader.chain[depth:], target.chain[depth:]
    # Lists that lead from where the two part down to the target.
    below = (
        [list_ for list_, _ in there[1:]]
        if here and there and here[0][0] is there[0][0]
        else [list_ for list_, _ in there]
    )
    if not here and not there:
        return _self(site, target, field)
    if not there:
        # The target is a step around the reader: its catch sees it whole, its inner steps see its key.
        if here[0][0].role in (CATCH, UNDO) or field == "key" or _turns(target):
            return _SEEN
        return "SG306", f"`{name}` is still running here; only `steps.{name}.key` is known"
    if not here:
        return _own_inner(site, reader, target, field, [list_ for list_, _ in there])
    hidden = _hidden(name, below)
    mine, its = here[0], there[0]
    if mine[0] is its[0]:
        if hidden[0]:
            return hidden
        if its[1] < mine[1] or field == "key" or _turn_before(reader, depth):
            return _SEEN
        return "SG306", f"`{name}` comes later, so it cannot have run yet; only `steps.{name}.key` is known"
    if hidden[0]:
        return hidden
    if mine[0].role == BRANCH and its[0].role == BRANCH:
        return "SG304", f"`{name}` runs in a branch beside this one, so it may have run or not"
    if mine[0].role == CATCH and its[0].role != CATCH:
        return _SEEN
    if field == "key" or _turn_before(reader, depth - 1):
        return _SEEN
    if its[0].role == CATCH:
        owner = its[0].owner.place if its[0].owner is not None else ""
        return "SG306", f"`{name}` runs only when `{owner}` has failed, so it cannot have run yet"
    return "SG306", f"`{name}` stands in another case of the same `switch`, so it cannot have run"


def _self(site: Site, target: Draft, field: str) -> tuple[str, str]:
    if field == "key" or site.mode == AT_CATCH or _turns(target):
        return _SEEN
    name = target.name
    return "SG306", f"`{name}` is this step itself and has not run yet; only `steps.{name}.key` is known"


def _own_inner(site: Site, reader: Draft, target: Draft, field: str, lists: list[StepList]) -> tuple[str, str]:
    """A step below the reader itself."""
    first, name = lists[0], target.name
    if site.mode == AT_UNTIL and first.role == ITEM:
        return _hidden(name, lists[1:])
    hidden = _hidden(name, lists)
    if hidden[0]:
        return hidden
    if site.mode == AT_CATCH and (first.role != CATCH or first is site.steps):
        return _SEEN
    # A catch entry's output is read before its list of steps is complete in no case: the entry is its owner.
    if field == "key" or _turns(reader):
        return _SEEN
    return (
        "SG306",
        f"`{name}` stands inside this step, so it cannot have run yet; only `steps.{name}.key` is known",
    )


def _hidden(name: str, lists: list[StepList]) -> tuple[str, str]:
    """What keeps a step out of sight from outside the lists around it."""
    for list_ in lists:
        if list_.role == ITEM:
            owner = list_.owner.name if list_.owner is not None else ""
            wanted = f"; read `steps.{owner}.output`" if owner else ""
            return (
                "SG305",
                f"`{name}` runs once per item of a `for`, so there is no single one to read from outside{wanted}",
            )
        if list_.role == UNDO:
            return "SG306", f"`{name}` runs only in an undo, so it cannot have run yet"
    return _SEEN


def _parting(a: Draft, b: Draft) -> int:
    """How many pairs of list and index the two paths share."""
    depth = 0
    for (list_a, index_a), (list_b, index_b) in zip(a.chain, b.chain, strict=False):
        if list_a is not list_b or index_a != index_b:
            break
        depth += 1
    return depth


def _turns(draft: Draft) -> bool:
    """Whether it stands in a sequential loop, so that there is a turn before."""
    return _turn_before(draft, len(draft.chain) - 1)


def _turn_before(draft: Draft, depth: int) -> bool:
    """Whether the innermost loop around the list at `depth` of the path runs its turns one after the other."""
    for list_, _ in reversed(draft.chain[: depth + 1]):
        if list_.role == ITEM and list_.owner is not None:
            loop = list_.owner.node.get("for")
            parallel = loop.get("parallel") if loop is not None else None
            return parallel is None or parallel.value == 1
        if list_.role == UNDO:
            return False
    return False


def _last(draft: Draft, role: str) -> StepList | None:
    return next((list_ for list_, _ in reversed(draft.chain) if list_.role == role), None)
