"""Checks between sagas: what is run, what is raised within reach, who answers, and whether anybody asks."""

from collections.abc import Iterator, Sequence
from typing import Final

from runner.definitions.check_header import records_stream, serves_http
from runner.definitions.draft import CATCH, UNDO, Draft, SagaDraft
from runner.definitions.findings import Findings, meant
from runner.definitions.link import Index
from runner.definitions.node import LIST, NUMBER, TEXT, Node
from runner.definitions.subject import Subject
from runner.saga.definition import BUILT_IN_KINDS

#: How deep sagas may run sagas.
MAX_RUNS: Final = 20

_CLASSES: Final = ("any", "4xx", "5xx")


def runs(subject: Subject, findings: Findings) -> None:
    """Whether the chains of `run` end, and whether a saga with a pivot is run by one."""
    for draft in subject.saga.runs():
        target = subject.targets.get(id(draft))
        if target is None:
            continue
        place = _reference(draft)
        if _may_hold_pivot(target) and not draft.pivot:
            hint = "write `pivot: true` here, on a step of the saga's own list"
            findings.add(
                "SG227",
                place,
                f"`{target.saga.ref}` holds a pivot, so the step that runs it is one, too",
                hint,
            )
        chain = _too_deep(subject, target)
        if chain:
            names = " -> ".join(one.saga.id for one in chain[:6])
            circle = chain[-1] in chain[:-1]
            wrong = (
                f"sagas run each other in a circle: {names}" if circle else f"sagas run sagas more than {MAX_RUNS} deep"
            )
            findings.add(
                "SG206",
                place,
                wrong,
                "let the inner one do without the outer" if circle else "flatten the chain",
            )


def _reference(draft: Draft) -> Node:
    value = draft.node.get("run")
    return (value.get("saga") if value is not None else None) or draft.node


def _may_hold_pivot(subject: Subject) -> bool:
    return subject.saga.pivot is not None


def _too_deep(start: Subject, first: Subject) -> list[Subject]:
    """A path of runs from `start` over `first` that comes back to `start` or is too long.

    Empty if there is none.
    """
    stack: list[tuple[Subject, list[Subject]]] = [(first, [start, first])]
    best: dict[int, int] = {}
    while stack:
        subject, path = stack.pop()
        if subject is start or len(path) > MAX_RUNS + 1:
            return path
        if best.get(id(subject), 0) >= len(path):
            continue
        best[id(subject)] = len(path)
        stack.extend((target, [*path, target]) for target in subject.targets.values())
    return []


def kinds(subject: Subject, findings: Findings) -> None:
    """Whether each error kind that is named is built in or raised within reach."""
    saga = subject.saga
    for draft in saga.drafts:
        retry = draft.node.get("retry")
        if retry is not None:
            _known(retry.get("errors"), set(), findings)
        catch = draft.node.get("catch")
        if catch is None or catch.kind != LIST:
            continue
        reach = _raised_below(subject, draft)
        if reach is not None:
            for entry in catch.value:
                _known(entry.get("errors"), reach, findings)
    policy = saga.node.get("compensation")
    retry = policy.get("retry") if policy is not None else None
    if retry is not None:
        undone = {kind for draft in saga.drafts if draft.under(UNDO) for kind in _types(draft)}
        _known(retry.get("errors"), undone, findings)


def _known(node: Node | None, raised: set[str], findings: Findings) -> None:
    for item in node.value if node is not None and node.kind == LIST else ():
        if item.kind not in (TEXT, NUMBER):
            continue
        kind = str(item.value)
        if kind in BUILT_IN_KINDS or kind in _CLASSES or kind in raised:
            continue
        if len(kind) == 3 and kind.isdigit() and 300 <= int(kind) <= 599:
            continue
        known = [*BUILT_IN_KINDS, *_CLASSES, *raised]
        hint = meant(
            kind,
            known,
            "built-in kinds, a status, a class, `any`, or a type that a `raise` below this step has",
        )
        if kind.isdigit() or kind == "3xx":
            hint = "a status from 400 to 599; an answer that leads elsewhere is `redirect`"
        findings.add("SG210", item, f"nothing within reach fails with `{kind[:80]}`", hint)


def _types(draft: Draft) -> Iterator[str]:
    value = draft.box.get("raise")
    if isinstance(value, dict) and "type" in value:
        yield value["type"]


def _raised_below(subject: Subject, draft: Draft) -> set[str] | None:
    """Types that a step can fail with; None where a saga that it runs is not known."""
    below = [draft]
    for list_ in draft.lists:
        if list_.role not in (CATCH, UNDO):
            for item in list_.items:
                below += [item, *item.inside()]
    return _raised(subject, below)


def _raised(subject: Subject, drafts: Sequence[Draft]) -> set[str] | None:
    found = {kind for draft in drafts for kind in _types(draft)}
    for draft in drafts:
        if draft.kind != "run":
            continue
        target = subject.targets.get(id(draft))
        if target is None:
            return None
        for one in target.reach():
            if any(run.kind == "run" and id(run) not in one.targets for run in one.saga.drafts):
                return None
            found.update(kind for inner in one.saga.drafts for kind in _types(inner))
    return found


def reached(subjects: Sequence[Subject], drafts: Sequence[SagaDraft], index: Index, findings: Findings) -> None:
    """Whether something reaches each saga: a path, a timer, or another saga."""
    named: set[int] = set()
    for draft in drafts:
        references = [draft.box.get("onFail"), draft.box.get("redirectTo")]
        references += [run.box["run"].get("saga") for run in draft.runs() if isinstance(run.box.get("run"), dict)]
        for reference in references:
            if isinstance(reference, str):
                named.update(id(saga) for saga in index.versions(reference)[:1])
                found = index.find(reference, None)
                named.update(() if found is None else (id(found),))
    by_ref = {draft.ref: draft for draft in drafts}
    for subject in subjects:
        node = subject.saga.node
        own = by_ref.get(subject.saga.ref)
        if not subject.saga.active or "path" in node.value or "timer" in node.value or id(own) in named:
            continue
        hint = "give it a `path` or a `timer`, or name it in another saga's `run`, `onFail` or `redirectTo`"
        findings.add("SG404", node, f"nothing reaches the saga `{subject.saga.id}`", hint)


def ties(subjects: Sequence[Subject], findings: Findings) -> None:
    """Whether two sagas are equally good for one request, so that only their order decides."""
    groups: dict[tuple[str, int], list[Subject]] = {}
    for subject in subjects:
        box = subject.saga.box
        if subject.saga.active and isinstance(box.get("path"), str) and subject.saga.allowed_on(subject.world.runner):
            groups.setdefault((box["path"], subject.saga.version), []).append(subject)
    for group in groups.values():
        for at, later in enumerate(group):
            earlier = next((one for one in group[:at] if _tie(one, later)), None)
            if earlier is not None:
                first = earlier.saga
                place = f"{first.file}:{first.node.line}"
                hint = f"`{first.ref}` ({place}) is declared first and wins; give one a higher `version`"
                findings.add(
                    "SG406",
                    later.saga.node.key("path"),
                    f"`{later.saga.ref}` and `{first.ref}` are equally good for `{later.saga.box['path']}`",
                    hint,
                )


def _tie(a: Subject, b: Subject) -> bool:
    for key in ("streams", "runners"):
        mine, its = set(a.saga.box.get(key, ())), set(b.saga.box.get(key, ()))
        if bool(mine) != bool(its) or (mine and not mine & its):
            return False
    mine, its = set(a.saga.box.get("methods", ())), set(b.saga.box.get("methods", ()))
    if not mine or not its or mine & its or records_stream(a.saga.box["path"]):
        return True
    # Methods that do not meet keep them apart, but records have no method.
    shared = set(a.saga.box.get("streams", ())) & set(b.saga.box.get("streams", ()))
    known = a.world.streams
    return bool(shared and known is not None and any(known.get(alias) != "http" for alias in shared)) or not (
        serves_http(a) or serves_http(b) or known is None
    )
