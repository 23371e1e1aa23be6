"""Checks of a saga's steps: what needs the whole saga, or the settings."""

import re
from typing import Final

from runner.definitions.check_header import state_known
from runner.definitions.draft import ITEM, UNDO, Draft
from runner.definitions.findings import Findings, listed, meant
from runner.definitions.node import MAPPING, TEXT, node_of
from runner.definitions.shapes import ShapeReader
from runner.definitions.subject import Check, Subject, where
from runner.steps import RETRY

_OUTSIDE: Final = frozenset({"call", "emit", "listen", "run"})
_NOT_IN_UNDO: Final = frozenset({"listen", "wait", "return", "run"})
_NOT_VOLATILE: Final = frozenset({"emit", "run", "wait", "listen"})
_SECRETS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"})
_OPEN_URL: Final = re.compile(r"http://(?!localhost[:/]|localhost$|127\.|\[::1\])", re.IGNORECASE)


def _auto_fail(subject: Subject, findings: Findings) -> None:
    if subject.saga.box.get("autoFail") is not False:
        return
    for draft in subject.saga.drafts:
        if draft.kind in _OUTSIDE and draft.node.get("catch") is None and not draft.under(UNDO):
            hint = "write `catch: continue`, or a list of entries"
            findings.add(
                "SG220",
                draft.node.key(draft.kind),
                f"with `autoFail: false` the step `{draft.place}` must say what happens when it fails",
                hint,
            )


def _pivot(subject: Subject, findings: Findings) -> None:
    first: Draft | None = None
    for draft in subject.saga.drafts:
        if not draft.pivot:
            continue
        key = draft.node.key("pivot")
        if draft.under(UNDO):
            findings.add("SG223", key, "an undo holds no pivot", "remove `pivot`")
        elif not draft.top:
            findings.add(
                "SG221",
                key,
                "the pivot stands in the saga's own list of steps",
                "move the step out, or the pivot elsewhere",
            )
        elif first is not None:
            findings.add(
                "SG221",
                key,
                f"a saga has one pivot, and `{first.place}` is it already",
                "keep the one after which nothing may be undone",
            )
        elif draft.box.get("compensate", ()) != () or draft.lists_of(UNDO):
            findings.add(
                "SG221",
                draft.node.key("compensate"),
                "the pivot is never undone",
                "remove `compensate`, or `pivot`",
            )
        if first is None and draft.top:
            first = draft


def _after_pivot(subject: Subject, findings: Findings) -> None:
    pivot = subject.saga.pivot
    if pivot is None:
        return
    turn = pivot.chain[0][1]
    for draft in subject.saga.drafts:
        if draft.chain[0][1] <= turn:
            continue
        if draft.kind == "raise":
            findings.add(
                "SG222",
                draft.node.key("raise"),
                f"after the pivot `{pivot.place}` nothing is raised",
                "the saga only goes forward there; decide before it",
            )
        elif draft.lists_of(UNDO):
            findings.add(
                "SG222",
                draft.node.key("compensate"),
                f"after the pivot `{pivot.place}` nothing is undone",
                "remove it, or move the step before the pivot",
            )


def _undo_contents(subject: Subject, findings: Findings) -> None:
    for draft in subject.saga.drafts:
        if draft.kind in _NOT_IN_UNDO and draft.under(UNDO):
            code = "SG224" if draft.kind == "return" else "SG223"
            findings.add(
                code,
                draft.node.key(draft.kind),
                f"`{draft.kind}` cannot stand in an undo",
                "an undo calls, emits, computes and decides",
            )


def _return(subject: Subject, findings: Findings) -> None:
    for draft in subject.saga.drafts:
        if draft.kind != "return" or draft.under(UNDO):
            continue
        for list_, _ in draft.chain:
            owner = list_.owner
            if owner is None:
                continue
            if owner.kind == "fork" and list_.role == "branch":
                findings.add(
                    "SG224",
                    draft.node.key("return"),
                    "`return` cannot stand in a `fork`",
                    f"return after `{owner.place}`",
                )
                break
            if list_.role == ITEM and _parallel(owner):
                findings.add(
                    "SG224",
                    draft.node.key("return"),
                    "`return` cannot stand in a parallel `for`",
                    f"return after `{owner.place}`",
                )
                break


def _parallel(draft: Draft) -> bool:
    value = draft.box.get("for")
    return isinstance(value, dict) and value.get("parallel", 1) != 1


def _durable(subject: Subject, findings: Findings) -> None:
    if subject.saga.box.get("durable") is not False:
        return
    for draft in subject.saga.drafts:
        if draft.kind in _NOT_VOLATILE:
            findings.add(
                "SG225",
                draft.node.key(draft.kind),
                f"with `durable: false` there is no `{draft.kind}`",
                "only GET and HEAD calls, set, switch, fork, for, return and raise",
            )
        elif draft.effects and not draft.under(UNDO):
            findings.add(
                "SG225",
                draft.node.key("call"),
                "with `durable: false` only GET and HEAD are called",
                "write the run to the journal: remove `durable: false`",
            )
        for key in ("compensate", "pivot"):
            if draft.node.get(key) is not None and draft.box.get(key) is not False:
                findings.add(
                    "SG225",
                    draft.node.key(key),
                    f"with `durable: false` there is no `{key}`",
                    "nothing that only reads is undone",
                )


def _undone(subject: Subject, findings: Findings) -> None:
    if subject.saga.box.get("durable") is False:
        return
    pivot = subject.saga.pivot
    turn = pivot.chain[0][1] if pivot is not None else len(subject.saga.drafts)
    for draft in subject.saga.drafts:
        if not draft.effects or draft.pivot or draft.chain[0][1] > turn or draft.under(UNDO):
            continue
        if draft.node.get("compensate") is None:
            hint = "write the step that undoes it, or `compensate: none` if it has no effect that matters"
            findings.add(
                "SG401",
                draft.node.key(draft.kind),
                f"`{draft.place}` has effects, and nothing undoes it",
                hint,
            )


def _lost_response(subject: Subject, findings: Findings) -> None:
    for hole in subject.saga.holes:
        reader = hole.site.draft
        if reader is None or not hole.steps:
            continue
        for list_, _ in reader.chain:
            owner = list_.owner
            if list_.role != UNDO or owner is None or not owner.name:
                continue
            for field in ("output", "response"):
                if (owner.name, field) in hole.steps:
                    words = f"steps.{owner.name}.{field}"
                    hint = f"name the effect by `steps.{owner.name}.key`, which is known before the step runs"
                    findings.add(
                        "SG402",
                        hole.node,
                        f"if the answer of `{owner.name}` is lost, `{words}` is null here",
                        hint,
                        offset=where(hole, words),
                    )


def _waits(subject: Subject, findings: Findings) -> None:
    limit = subject.saga.box.get("timeout")
    if not isinstance(limit, int):
        return
    for draft in subject.saga.drafts:
        span = draft.box.get("wait")
        if isinstance(span, int) and span > limit and not draft.under(UNDO):
            findings.add(
                "SG231",
                draft.node.get("wait") or draft.node,
                "the saga's `timeout` is over before this `wait` is",
                "wait less, or give the saga a longer `timeout`",
            )


def _zero_times(subject: Subject, findings: Findings) -> None:
    for draft in subject.saga.drafts:
        if draft.box.get("timeout") == 0:
            findings.add(
                "SG105",
                draft.node.get("timeout") or draft.node,
                "0 leaves no time",
                "write a duration of 1ms or more",
            )


def _retries(subject: Subject, findings: Findings) -> None:
    """Named policies: from here on they stand in the step as if written there."""
    known = subject.world.retries
    for draft in subject.saga.drafts:
        name, node = draft.box.get("retry"), draft.node.get("retry")
        if not isinstance(name, str) or node is None:
            continue
        box: dict[str, object] = {}
        policy: object = {}
        if known is not None and name not in known:
            hint = meant(name, known, f"the settings have {listed(sorted(known))}")
            findings.add("SG209", node, f"the settings have no retry policy `{name}`", hint)
        elif known is not None:
            policy = known[name]
        value = node_of(policy, node)
        written = Findings()
        ShapeReader(written).record(RETRY, value, box, f"`retries.{name}`")
        for wrong in written.sorted():
            findings.add("SG209", node, f"`retries.{name}` of the settings: {wrong.message}", wrong.hint)
        draft.box["retry"] = box
        draft.node.value["retry"] = (draft.node.key("retry"), value)


def _names(subject: Subject, findings: Findings) -> None:
    """Streams, services, states and variables that the settings must have."""
    world = subject.world
    for draft in subject.saga.drafts:
        value, node = draft.box.get(draft.kind), draft.node.get(draft.kind)
        if not isinstance(value, dict) or node is None:
            continue
        if draft.kind == "emit" and world.streams is not None and (alias := value.get("stream")):
            place = node.get("stream") or node
            if alias not in world.streams:
                hint = meant(alias, world.streams, f"the settings have {listed(sorted(world.streams))}")
                findings.add("SG207", place, f"the settings have no stream `{alias}`", hint)
            elif world.streams[alias] == "http":
                findings.add(
                    "SG207",
                    place,
                    f"`{alias}` is an HTTP stream and takes no records",
                    "name a stream of records",
                )
        elif draft.kind == "call" and world.services is not None and (service := value.get("service")):
            name = service.partition("@")[0]
            if name not in world.services:
                hint = meant(name, world.services, "it must then be in the registry when it is called")
                findings.add(
                    "SG411",
                    node.get("service") or node,
                    f"the settings have no address for the service `{name}`"
                    + (f", and {world.registry} no live instance of it" if world.registry else ""),
                    hint,
                )
        cache = draft.box.get("cache")
        if isinstance(cache, dict):
            state_known(subject, cache, draft.node.get("cache"), draft.node.key("cache"), findings)
            if draft.node.get("compensate") is not None:
                findings.add(
                    "SG111",
                    draft.node.key("cache"),
                    "`cache` cannot stand beside `compensate`",
                    "what is undone is not to be answered from a cache",
                )
    if world.vars is not None:
        for hole in subject.saga.holes:
            for path in sorted(hole.paths):
                root, _, name = path.partition(".")
                if root == "vars" and name and name not in world.vars:
                    hint = meant(name, world.vars, "add it under `vars`")
                    findings.add(
                        "SG212",
                        hole.node,
                        f"the settings have no variable `{name}`",
                        hint,
                        offset=where(hole, path),
                    )


def _urls_and_secrets(subject: Subject, findings: Findings) -> None:
    for draft in subject.saga.drafts:
        node = draft.node.get("call") if draft.kind == "call" else None
        if node is None or node.kind != MAPPING:
            continue
        url, headers = node.get("url"), node.get("headers")
        if url is not None and subject.world.raw_urls is False and node.get("service") is None:
            findings.add(
                "SG232",
                node.key("url"),
                "raw URLs are not allowed by the settings",
                "name a service, or set `http.rawUrls: true`",
            )
        if url is not None and url.kind == TEXT and _OPEN_URL.match(url.value):
            findings.add("SG502", url, "what is sent over plain http can be read and changed on its way", "use https")
        for name, (key, value) in (headers.value if headers is not None and headers.kind == MAPPING else {}).items():
            if name.lower() in _SECRETS and value.kind == TEXT and "${" not in value.value:
                findings.add(
                    "SG501",
                    key,
                    f"the header `{name}` holds a secret in a definition",
                    "put it under the service's `headers` in the settings, as `env:NAME`",
                )


CHECKS: Final[tuple[Check, ...]] = (
    _retries,
    _auto_fail,
    _pivot,
    _after_pivot,
    _undo_contents,
    _return,
    _durable,
    _undone,
    _lost_response,
    _waits,
    _zero_times,
    _names,
    _urls_and_secrets,
)
