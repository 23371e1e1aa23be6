"""What of a verb can be wrong beyond its shape, seen at the step alone: keys that stand together or apart."""

import re
from collections.abc import Callable
from typing import Final

from runner.definitions.draft import Draft
from runner.definitions.findings import Findings
from runner.definitions.node import LIST, MAPPING, TEXT, Node
from runner.saga.fault import is_built_in

#: Context names, which a `for` may not take for its items.
CONTEXT: Final = frozenset({"input", "event", "saga", "steps", "vars", "error", "index", "output", "response"})

_RAISED: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,127}|[A-Za-z][A-Za-z0-9+.-]*:[^\s]{1,500}")
_LITERAL_PATH: Final = re.compile(r"[^${]*")


def check_verb(draft: Draft, node: Node, findings: Findings) -> None:
    """Findings for the value `node` of the draft's verb."""
    check = _CHECKS.get(draft.kind)
    if check is not None:
        check(draft, node, findings)


def _call(_: Draft, node: Node, findings: Findings) -> None:
    if node.kind != MAPPING:
        return
    has = node.value.__contains__
    if has("service") and has("url"):
        findings.add("SG111", node.key("url"), "`service` and `url` exclude each other", "keep `service`")
    elif not has("service") and not has("url"):
        findings.add("SG103", node, "`call` needs `service`", "the name of the service in the registry")
    if has("url") and has("path"):
        findings.add("SG111", node.key("path"), "`path` belongs to `service`", "write the path into `url`")
    if has("body") and has("graphql"):
        findings.add("SG111", node.key("body"), "`graphql` stands instead of `body`", "keep one of the two")
    method = node.get("method")
    if method is None and not has("body") and not has("graphql"):
        findings.add(
            "SG103",
            node,
            "`call` needs `method`: it is POST only where `body` or `graphql` stands",
            "write `method: GET`, or what you mean",
        )
    path = node.get("path")
    if path is not None and path.kind == TEXT and not path.value.startswith(("/", "${")):
        findings.add("SG113", path, f"`{path.value[:80]}` does not start with /", f"write /{path.value[:60]}")


def _switch(_: Draft, node: Node, findings: Findings) -> None:
    if node.kind != LIST:
        return
    last = len(node.value) - 1
    for index, case in enumerate(node.value):
        if case.kind != MAPPING:
            continue
        has = case.value.__contains__
        if has("otherwise"):
            for key in ("when", "steps"):
                if has(key):
                    findings.add(
                        "SG111",
                        case.key(key),
                        f"`{key}` cannot stand beside `otherwise`",
                        "make it a case of its own",
                    )
            if index != last:
                findings.add("SG111", case.key("otherwise"), "`otherwise` is the last case", "move it to the end")
            continue
        for key in ("when", "steps"):
            if not has(key):
                findings.add("SG103", case, f"a case needs `{key}`", "write {when, steps}, or {otherwise: steps}")


def _for(draft: Draft, node: Node, findings: Findings) -> None:
    if node.kind != MAPPING:
        return
    has = node.value.__contains__
    if has("in") and not has("each"):
        findings.add("SG103", node, "`for` needs `each` with `in`", "the name that expressions call the item by")
    if has("each") and not has("in"):
        findings.add("SG111", node.key("each"), "`each` names nothing without `in`", "add `in`, or remove `each`")
    if not has("in"):
        for key in ("until", "max"):
            if not has(key):
                findings.add("SG103", node, f"a `for` without `in` needs `{key}`", "write `in`, or `until` and `max`")
    parallel = node.get("parallel")
    if has("until") and parallel is not None and parallel.value != 1:
        findings.add(
            "SG111",
            node.key("until"),
            "`until` cannot stand beside `parallel`",
            "side by side there is no turn after which to ask",
        )
    each = node.get("each")
    if each is not None and each.kind == TEXT:
        taken = {_item_name(list_.owner) for list_, _ in draft.chain if list_.owner is not None}
        if each.value in CONTEXT or each.value in taken:
            findings.add(
                "SG234",
                each,
                f"`{each.value}` is a name of the context already",
                "choose another name for the item",
            )


def _item_name(draft: Draft) -> str:
    value = draft.node.get("for")
    each = value.get("each") if value is not None and draft.kind == "for" else None
    return each.value if each is not None and each.kind == TEXT else ""


def _raise(_: Draft, node: Node, findings: Findings) -> None:
    kind = node.get("type")
    if kind is None or kind.kind != TEXT or "${" in kind.value:
        return
    if is_built_in(kind.value):
        findings.add("SG226", kind, f"`{kind.value}` is a built-in error kind", "choose a word of your own")
    elif not _RAISED.fullmatch(kind.value):
        findings.add(
            "SG104",
            kind,
            f"`{kind.value[:80]}` is not a type",
            "a word like `payment-refused`, or an absolute URI",
        )


_CHECKS: Final[dict[str, Callable[[Draft, Node, Findings], None]]] = {
    "call": _call,
    "switch": _switch,
    "for": _for,
    "raise": _raise,
}
