"""One document to one `SagaDraft`: shapes first, then names, then every expression compiled against what it may see.

All errors are found, not only the first. `build.py` makes the nouns of a draft that has none.
"""

import re
from pathlib import PurePath
from typing import Any, Final

from runner.definitions.draft import (
    AT_CATCH,
    AT_END,
    AT_START,
    AT_STEP,
    AT_UNTIL,
    BRANCH,
    CASE,
    CATCH,
    ITEM,
    MAIN,
    UNDO,
    Draft,
    SagaDraft,
    Site,
    StepList,
)
from runner.definitions.expressions import fill
from runner.definitions.findings import Findings, listed, nearest
from runner.definitions.header import HEADER
from runner.definitions.node import LIST, MAPPING, NULL, TEXT, Node, told
from runner.definitions.shapes import ShapeReader, takes
from runner.definitions.verbs import check_verb
from runner.saga.shape import SLUG, Either, Many, Record
from runner.steps import ALLOWED, KINDS, STEP_KEYS

#: Header keys whose expressions see no step, and those that see the whole run.
_BEFORE: Final = frozenset({"labels", "idempotencyKey", "cache"})
_ROLES: Final = {"switch": CASE, "fork": BRANCH, "for": ITEM}
#: Verbs whose steps need no name anywhere.
_NAMELESS: Final = frozenset({"raise", "return"})
_KNOWN: Final = frozenset({*STEP_KEYS, *KINDS})
_CATCH: Final[Record] = next(
    one.of
    for one in STEP_KEYS["catch"].shape.of  # type: ignore[union-attr]  # an Either, as declared
    if isinstance(one, Many) and isinstance(one.of, Record)
)
#: Read apart from the others, because their steps and expressions stand at places of their own.
_APART: Final = frozenset({"catch", "compensate"})


def parse(node: Node, findings: Findings, *, stem: str = "") -> SagaDraft | None:
    """The saga that a document says; None where it is no mapping. `stem` is the id where none is written."""
    if node.kind != MAPPING:
        hint = "a document is one saga: keys like `id`, `path` and `steps`; separate sagas with ---"
        findings.add("SG102", node, f"a mapping is expected here, not {told(node)}", hint)
        return None
    return _SagaReader(findings).saga(node, stem)


def stem_of(file: str) -> str:
    """The id that a file gives its saga: `order.saga.yaml` is `order`."""
    return PurePath(file).name.partition(".")[0]


class _SagaReader:
    """Reads one document."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._shapes = ShapeReader(findings)
        self._shapes.steps = self._inner_steps
        self._saga: SagaDraft
        #: The step whose keys are being read; None while the header is.
        self._draft: Draft | None = None

    def saga(self, node: Node, stem: str) -> SagaDraft:
        id_node, version = node.get("id"), node.get("version")
        written = id_node.value if id_node is not None and isinstance(id_node.value, str) else ""
        number = version.value if version is not None and type(version.value) is int else 1
        self._saga = SagaDraft(node, written or stem, number)
        self._header(node)
        if id_node is None and not re.fullmatch(SLUG, stem):
            wrong = f"the file's name gives the id `{stem}`, which is not a slug"
            self._findings.add("SG103", node, wrong, "write `id: ...`, or rename the file")
        saga = self._saga
        saga.holes = self._shapes.holes
        for draft in saga.drafts:
            if draft.name:
                self._register(draft)
        fill(saga, self._findings)
        return saga

    def _header(self, node: Node) -> None:
        shapes, box = self._shapes, self._saga.box
        keys = HEADER.keys
        at_start, at_end = Site(AT_START), Site(AT_END)
        for name, (key, value) in node.value.items():
            entry = keys.get(name)
            if entry is None:
                shapes.unknown(key, keys, "a saga")
            elif value.kind == NULL and NULL not in takes(entry.shape):
                if not entry.nullable:
                    self._findings.add("SG102", key, f"`{name}` has no value", "give it one, or remove it")
            else:
                shapes.site = at_start if name in _BEFORE else at_end
                shapes.read(entry.shape, value, box, name)

    def _register(self, draft: Draft) -> None:
        earlier = self._saga.by_name.setdefault(draft.name, draft)
        if earlier is not draft:
            node = draft.node.get("name") or draft.within.node
            hint = f"line {earlier.node.line} has it already; names are unique in a saga, in branches and undos, too"
            self._findings.add("SG201", node, f"the step name `{draft.name}` stands twice", hint)

    # -- lists of steps ---------------------------------------------------------------------------

    def _inner_steps(self, node: Node, box: Any, key: Any) -> None:
        """Steps below the header or below a verb."""
        draft = self._draft
        if draft is None:
            list_ = StepList(MAIN, None, node, box, key, "steps")
            self._saga.main = list_
            self._list(list_, (), ())
            return
        role = _ROLES[draft.kind]
        label = self._shapes.label if role != ITEM else None
        words = {CASE: f"{draft.place}.switch[{label}]", BRANCH: f"{draft.place}.{label}"}
        list_ = StepList(role, draft, node, box, key, words.get(role, f"{draft.place}.for"))
        self._list(list_, (*draft.trail, label), draft.chain)

    def _list(self, list_: StepList, trail: tuple[str | None, ...], chain: tuple[tuple[StepList, int], ...]) -> None:
        shapes, node = self._shapes, list_.node
        kept = self._draft, shapes.site, shapes.label
        if list_.owner is not None:
            list_.owner.lists.append(list_)
        if node.kind == MAPPING:
            list_.alone = True
            items = [node]
        elif node.kind == LIST:
            items = node.value
            if not items and list_.role != MAIN:
                self._findings.add("SG110", node, "an empty list of steps does nothing", "write `set: null` for that")
        else:
            self._findings.add(
                "SG102", node, f"a list of steps is expected here, not {told(node)}", "write - name: ..."
            )
            items = []
        for index, item in enumerate(items):
            self._step(item, list_, index, trail, chain)
        self._draft, shapes.site, shapes.label = kept

    def _step(
        self,
        node: Node,
        list_: StepList,
        index: int,
        trail: tuple[str | None, ...],
        chain: tuple[tuple[StepList, int], ...],
    ) -> None:
        if node.kind != MAPPING:
            hint = f"write {node.value}: ..." if node.kind == TEXT and node.value in KINDS else ""
            self._findings.add("SG102", node, f"a step is a mapping, not {told(node)}", hint)
            return
        name_node = node.get("name")
        name = name_node.value if name_node is not None and isinstance(name_node.value, str) else ""
        if name_node is None and list_.alone and list_.role == BRANCH:
            name = trail[-1] or ""
        segment = name or str(index)
        place = name or (list_.place if list_.alone else f"{list_.place}[{index}]")
        verbs = [key for key in node.value if key in KINDS]
        chain = (*chain, (list_, index))
        draft = Draft(node, verbs[0] if verbs else "", name, segment, place, (*trail, segment), chain)
        list_.items.append(draft)
        self._saga.drafts.append(draft)
        if not verbs:
            self._no_verb(node)
        for other in verbs[1:]:
            wrong = f"a step has one verb, and this one has `{verbs[0]}` already"
            self._findings.add("SG108", node.key(other), wrong, f"make `{other}` a step of its own")
        if name_node is None and not name and draft.kind not in _NAMELESS and not list_.alone and not draft.under(UNDO):
            self._findings.add(
                "SG115",
                node,
                "this step has no name",
                "write `name: ...`: expressions and messages call it so",
            )
        self._keys(draft)

    def _no_verb(self, node: Node) -> None:
        for key in node.value:
            if key not in _KNOWN and (near := nearest(key, KINDS)):
                self._findings.add("SG107", node.key(key), f"`{key[:80]}` is no verb", f"did you mean `{near}`?")
                return
        self._findings.add("SG107", node, "this step has no verb", f"it needs one of {listed(KINDS)}")

    def _keys(self, draft: Draft) -> None:
        shapes, box, kind = self._shapes, draft.box, draft.kind
        self._draft, shapes.site = draft, Site(AT_STEP, draft)
        for name, (key, value) in draft.node.value.items():
            verb = KINDS.get(name)
            if verb is not None:
                if name == kind:
                    self._verb(draft, value, key)
                continue
            entry = STEP_KEYS.get(name)
            if entry is None:
                if kind or not nearest(name, KINDS):
                    shapes.unknown(key, _KNOWN, "a step")
                continue
            allowed = ALLOWED.get(name)
            if kind and allowed is not None and kind not in allowed:
                hint = f"it stands on {listed(word for word in KINDS if word in allowed)}"
                self._findings.add("SG109", key, f"`{name}` cannot stand on `{kind}`", hint)
            elif value.kind == NULL:
                self._findings.add("SG102", key, f"`{name}` has no value", "give it one, or remove it")
            elif name == "catch":
                self._catch(draft, value)
            elif name == "compensate":
                self._compensate(draft, value)
            else:
                shapes.read(entry.shape, value, box, name)
                self._draft, shapes.site = draft, Site(AT_STEP, draft)

    def _verb(self, draft: Draft, value: Node, key: Node) -> None:
        shapes, kind = self._shapes, draft.kind
        shape = KINDS[kind].SHAPE
        if value.kind == NULL and NULL not in takes(shape):
            self._findings.add("SG102", key, f"`{kind}` has no value", "give it one")
            return
        holes = len(shapes.holes)
        if kind == "for":
            # `until` is asked after each turn, so it alone looks from within the loop.
            before, after = shapes.site, Site(AT_UNTIL, draft)
            shapes.read(shape, value, draft.box, kind)
            until = value.get("until")
            for hole in shapes.holes[holes:]:
                if hole.site is before and until is not None and hole.key == "until":
                    hole.site = after
        else:
            shapes.read(shape, value, draft.box, kind)
        check_verb(draft, value, self._findings)

    def _catch(self, draft: Draft, node: Node) -> None:
        shapes = self._shapes
        if node.kind != LIST:
            shape = STEP_KEYS["catch"].shape
            hint = "write it as a list of entries: - errors: [...]" if node.kind == MAPPING else ""
            if node.kind == MAPPING:
                self._findings.add("SG102", node, "a list is expected here, not a mapping", hint)
            else:
                assert isinstance(shape, Either)
                shapes.read(shape, node, draft.box, "catch")
            return
        if not node.value:
            self._findings.add("SG110", node, "an empty `catch` takes nothing", "remove it, or write `catch: continue`")
            return
        draft.box["catch"] = draft.catches
        for index, item in enumerate(node.value):
            entry: dict[str, Any] = {}
            draft.catches.append(entry)
            if item.kind != MAPPING:
                self._findings.add(
                    "SG102", item, f"an entry of `catch` is a mapping, not {told(item)}", "errors: [...]"
                )
                continue
            site = Site(AT_CATCH, draft)
            shapes.site = site
            steps = item.get("steps")
            if steps is not None:
                label = f"$catch.{index}"
                place = f"{draft.place}.catch[{index}]"
                site_steps = StepList(CATCH, draft, steps, entry, "steps", place)
                self._list(site_steps, (*draft.trail, label), draft.chain)
                self._draft, shapes.site = draft, site
            for name, (key, value) in item.value.items():
                known = _CATCH.keys.get(name)
                if known is None:
                    shapes.unknown(key, _CATCH.keys, "an entry of `catch`")
                elif name == "steps":
                    continue
                elif value.kind == NULL and NULL not in takes(known.shape):
                    self._findings.add("SG102", key, f"`{name}` has no value", "give it one, or remove it")
                else:
                    shapes.site = Site(AT_CATCH, draft, site_steps) if name == "output" and steps is not None else site
                    shapes.read(known.shape, value, entry, name)
            if "errors" not in item.value:
                self._findings.add("SG103", item, "an entry of `catch` needs `errors`", "name the kinds, or [any]")
            if "steps" not in item.value and "output" not in item.value:
                hint = "`output: null` goes on with nothing"
                self._findings.add("SG103", item, "an entry of `catch` needs `steps`, `output` or both", hint)
        shapes.site = Site(AT_STEP, draft)

    def _compensate(self, draft: Draft, node: Node) -> None:
        if node.kind == TEXT:
            if node.value == "none":
                draft.box["compensate"] = ()
            else:
                hint = "write `none`, or the step that undoes this one"
                self._findings.add("SG104", node, f"`{node.value[:80]}` is not known here", hint)
            return
        list_ = StepList(UNDO, draft, node, draft.box, "compensate", f"{draft.place}.compensate")
        self._list(list_, (*draft.trail, "$undo"), draft.chain)
        self._draft, self._shapes.site = draft, Site(AT_STEP, draft)
