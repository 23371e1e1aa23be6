"""What sagas are to each other: which one a reference means, and what a redirect makes of two documents."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from registry.base.values import Json
from runner.definitions.draft import SagaDraft
from runner.definitions.findings import Findings, listed, meant
from runner.definitions.node import MAPPING, Node, node_of, plain
from runner.definitions.parse import parse

#: How long a chain of redirects may be.
MAX_HOPS: Final = 10

#: What the target of a redirect decides alone, and what it decides where the entry says nothing.
OF_TARGET: Final = (
    "steps",
    "output",
    "timeout",
    "durable",
    "circuitBreaker",
    "autoFail",
    "compensation",
    "onFail",
)
OF_EITHER: Final = ("cache", "schema")


@dataclass(slots=True)
class Index:
    """Sagas by id, for references."""

    _by_id: dict[str, list[SagaDraft]] = field(default_factory=dict)

    def add(self, saga: SagaDraft) -> SagaDraft | None:
        """Takes it in; gives the one that already has its id and version, if there is one."""
        versions = self._by_id.setdefault(saga.id, [])
        earlier = next((one for one in versions if one.version == saga.version), None)
        if earlier is None:
            versions.append(saga)
        return earlier

    def ids(self) -> Iterable[str]:
        """Every id."""
        return self._by_id

    def versions(self, reference: str) -> list[SagaDraft]:
        """Every saga that `id` or `id@version` may mean, the highest version first."""
        name, _, version = reference.partition("@")
        found = self._by_id.get(name, [])
        if version:
            found = [saga for saga in found if saga.version == int(version)]
        return sorted(found, key=lambda saga: -saga.version)

    def find(self, reference: str, runner: str | None) -> SagaDraft | None:
        """The highest active version allowed on this runner (None: on any)."""
        return next((s for s in self.versions(reference) if s.active and s.allowed_on(runner)), None)

    def missing(self, reference: str, runner: str | None) -> tuple[str, str, str]:
        """Code, sentence and hint for a reference that `find` does not answer."""
        found = self.versions(reference)
        if not found:
            name = reference.partition("@")[0]
            if name in self._by_id:
                has = listed(saga.ref for saga in self._by_id[name])
                return "SG203", f"there is no saga `{reference}`", f"there is {has}"
            return (
                "SG203",
                f"there is no saga `{reference}`",
                meant(name, self._by_id, "is its file among those read?"),
            )
        if any(saga.active for saga in found):
            hint = f"add {runner} to its `runners`"
            return "SG204", f"the saga `{reference}` is not allowed on the runner `{runner}`", hint
        return "SG204", f"the saga `{reference}` is not active", "set its `status: active`"


def redirected(
    entry: SagaDraft, index: Index, runner: str | None, findings: Findings
) -> tuple[SagaDraft, SagaDraft] | None:
    """The entry with its target's steps, and the target.

    None where the redirect leads nowhere, with a finding.
    """
    node = entry.node.get("redirectTo")
    hops = [entry]
    while "redirectTo" in hops[-1].box:
        reference = hops[-1].box["redirectTo"]
        here = runner if entry.allowed_on(runner) else None
        target = index.find(reference, here)
        if target is None:
            code, sentence, hint = index.missing(reference, here)
            if len(hops) > 1:
                # The hop that cannot go on has the finding; saying it again for each entry would hide it.
                return None
            findings.add(
                "SG407" if code == "SG204" else code,
                node or entry.node,
                sentence,
                "until then this path answers 404" if code == "SG204" else hint,
            )
            return None
        if target in hops:
            loop = " -> ".join(saga.id for saga in [*hops[hops.index(target) :], target])
            findings.add(
                "SG205",
                node or entry.node,
                f"the redirect leads round in a circle: {loop}",
                "let one of them have the steps",
            )
            return None
        hops.append(target)
        if len(hops) > MAX_HOPS + 1:
            findings.add(
                "SG205",
                node or entry.node,
                f"the redirect has more than {MAX_HOPS} hops",
                "redirect to the saga that has the steps",
            )
            return None
    for key in OF_TARGET:
        if key in entry.node.value:
            hint = f"remove it; `{hops[-1].ref}` decides"
            findings.add("SG408", entry.node.key(key), f"`{key}` has no effect beside `redirectTo`", hint)
    merged = hops[-1].node
    for hop in reversed(hops[:-1]):
        merged = merge(hop.node, merged)
    saga = parse(merged, findings, stem=entry.id)
    if saga is None:
        return None
    saga.executed = (hops[-1].id, hops[-1].version)
    saga.hop_roles = tuple(tuple(hop.box["roles"]) for hop in hops[1:] if hop.box.get("roles"))
    return saga, hops[-1]


def merge(entry: Node, target: Node) -> Node:
    """One document of an entry and the target of its `redirectTo`."""
    pairs = {key: pair for key, pair in entry.value.items() if key not in OF_TARGET}
    for key in (*OF_TARGET, *OF_EITHER):
        if key in target.value and key not in pairs:
            pairs[key] = target.value[key]
    static, own = target.get("extraPayload"), entry.get("extraPayload")
    if static is not None:
        both = static if own is None else node_of(overlay(plain(static), plain(own)), own)
        pairs["extraPayload"] = (
            entry.key("extraPayload") if own is not None else target.key("extraPayload"),
            both,
        )
    return Node(MAPPING, pairs, entry.line, entry.column, "", entry.source)


def overlay(below: Json, above: Json) -> Json:
    """Mappings merged deeply; anything else of `above` replaces what is below."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    merged = dict(below)
    for key, value in above.items():
        merged[key] = overlay(below[key], value) if key in below else value
    return merged
