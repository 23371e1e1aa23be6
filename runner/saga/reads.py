"""What an expression reads of its context, and whether it may: found by one walk over its tree, at load."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, TypeAlias

from runner.saga.dialect import Node, too_deep
from runner.saga.evaluation import MAX_NESTING, Budget, ExpressionFailed, ExpressionInvalid
from runner.saga.functions import FUNCTIONS

#: Names that stand in every context.
ROOTS: Final = frozenset({"input", "event", "saga", "steps", "vars"})
#: What may be read of a step.
STEP_FIELDS: Final = ("output", "response", "status", "attempts", "error", "key", "event")
#: What may be read of the context names whose fields are all known.
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "event": ("id", "stream", "path", "method", "headers", "time", "subject", "roles", "claims", "kafka"),
    "saga": ("id", "version", "runId", "startedAt"),
}
#: Context names whose first level is told apart in `Reads.paths`.
_TWO_LEVELS: Final = frozenset({"event", "saga", "vars"})

#: A place in the context that is known before any evaluation: () is the context, ('steps', 'a') a step. None:
#: unknown.
Place: TypeAlias = tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a checker knows at one place of a definition."""

    #: The context names that may stand here.
    roots: frozenset[str]
    #: Step name -> '' if it may be read, 'key' if only `steps.x.key` may, else a sentence why it may not be
    #: named.
    #: None: steps are not checked.
    steps: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What an expression or template reads."""

    #: Context names.
    roots: frozenset[str] = frozenset()
    #: (step name, field or '*' for the whole step); ('*', '*') where `steps` is read as a whole.
    steps: frozenset[tuple[str, str]] = frozenset()
    #: `event.headers`, `vars.channel`, `saga.id`; a bare `event` where it is read as a whole.
    paths: frozenset[str] = frozenset()

    @staticmethod
    def union(parts: Iterable["Reads"]) -> "Reads":
        """Everything that any of `parts` reads."""
        listed = tuple(parts)
        return Reads(
            roots=frozenset().union(*(part.roots for part in listed)),
            steps=frozenset().union(*(part.steps for part in listed)),
            paths=frozenset().union(*(part.paths for part in listed)),
        )


@dataclass(slots=True)
class Walk:
    """One walk over one tree. `names` None: nothing is checked but functions."""

    names: Names | None
    #: False where a result can only be part of what is there: no call, no `[a, b]`, no `{a: b}`.
    builds: bool = False
    _roots: set[str] = field(default_factory=set)
    _steps: set[tuple[str, str]] = field(default_factory=set)
    _paths: set[str] = field(default_factory=set)
    _used: list[tuple[str, ...]] = field(default_factory=list)

    def reads(self, tree: Node) -> Reads:
        """What `tree` reads, evaluated over the context. Raises ExpressionInvalid."""
        self._use(self._visit(tree, (), False, 0), 0)
        return Reads(roots=frozenset(self._roots), steps=frozenset(self._steps), paths=frozenset(self._paths))

    def _visit(self, node: Node, current: Place, dotted: bool, depth: int) -> Place:
        """The place that `node` leads to from `current`; `dotted`: right of a dot, so no beginning."""
        if depth > MAX_NESTING:
            raise too_deep(node.get("at", 0))
        kind, children, at = node["type"], node["children"], node.get("at", 0)
        match kind:
            case "field":
                if not dotted and current != () and self.names and node["value"] in self.names.roots:
                    raise _ambiguous(node)
                return self._step_into(current, node["value"], at)
            case "root":
                return ()
            case "current" | "identity":
                return current
            case "literal":
                return None
            case "index" | "slice":
                self._use(current, at)
                return None
            case "subexpression" | "index_expression":
                place = self._visit(children[0], current, dotted, depth + 1)
                for child in children[1:]:
                    place = self._visit(child, place, True, depth + 1)
                return place
            case "pipe":
                return self._visit(children[1], self._visit(children[0], current, dotted, depth + 1), False, depth + 1)
            case "projection" | "value_projection" | "filter_projection":
                self._use(self._visit(children[0], current, dotted, depth + 1), at)
                self._visit(children[1], None, True, depth + 1)
                for condition in children[2:]:
                    self._visit(condition, None, False, depth + 1)
            case "function_expression":
                self.builds = True
                self._call(node, current, depth)
            case "expref":
                raise ExpressionInvalid(
                    "& can only stand before an argument",
                    offset=at,
                    hint="it is for map(), sort_by() and their like",
                )
            case "multi_select_list" | "multi_select_dict":
                self.builds = True
                before = len(self._used)
                for child in children:
                    self._use(self._visit(child, current, False, depth + 1), at)
                # On null the whole is null: what is left of the dot is read, even if no part of it is named.
                if current and not any(place[: len(current)] == current for place in self._used[before:]):
                    self._use(current, at)
            case _:  # operators, and the pairs of an object: each part is used for itself
                for child in children:
                    self._use(self._visit(child, current, dotted, depth + 1), at)
        return None

    def _call(self, node: Node, current: Place, depth: int) -> None:
        name, arguments, at = node["value"], node["children"], node["at"]
        function = FUNCTIONS.get(name)
        if function is None:
            raise ExpressionInvalid(
                f"there is no function {name}()",
                offset=at,
                hint=_near(name, FUNCTIONS),
                code="unknown-function",
            )
        wrong = function.arity(len(arguments))
        if wrong:
            raise ExpressionInvalid(wrong, offset=at, hint=function.signature, code="arity")
        for index, argument in enumerate(arguments):
            is_expression = argument["type"] == "expref"
            if is_expression != function.parameter(index).is_expression:
                taken = "an expression, written &..." if not is_expression else "a value, written without &"
                raise ExpressionInvalid(
                    f"{name}() takes {taken} as `{function.parameter(index).name}`",
                    offset=argument.get("at", at),
                    hint=function.signature,
                    code="type",
                )
            if is_expression:
                self._visit(argument["children"][0], None, False, depth + 2)
                continue
            if argument["type"] == "literal":
                self._check_literal(node, index)
            self._use(self._visit(argument, current, False, depth + 1), at)

    def _check_literal(self, node: Node, index: int) -> None:
        function, argument = FUNCTIONS[node["value"]], node["children"][index]
        code = "type"
        try:
            function.check(index, argument["value"], Budget())
            code = "value"
            if index in function.checks:
                function.checks[index](argument["value"])
        except ExpressionFailed as error:
            raise ExpressionInvalid(error.detail, offset=argument["at"], hint=function.signature, code=code) from None

    # -- places
    # ----------------------------------------------------------------------------------------------------

    def _step_into(self, place: Place, name: str, at: int) -> Place:
        if place is None:
            return None
        if place == ():
            self._check_root(name, at)
        elif place == ("steps",):
            self._check_step(name, at)
        elif len(place) == 2 and place[0] == "steps":
            self._check_field(f"steps.{place[1]}", name, STEP_FIELDS, at)
            self._check_step(place[1], at, name)
        elif len(place) == 1 and place[0] in FIELDS:
            self._check_field(place[0], name, FIELDS[place[0]], at)
        return (*place, name)

    def _check_root(self, name: str, at: int) -> None:
        if self.names is None or name in self.names.roots:
            return
        hint = (
            _near(name, self.names.roots) or f"known here: {', '.join(sorted(self.names.roots))}; text stands in '...'"
        )
        raise ExpressionInvalid(f"{name} is not known here", offset=at, hint=hint, code="unknown-name")

    def _check_step(self, step: str, at: int, read: str = "") -> None:
        if self.names is None or self.names.steps is None:
            return
        verdict = self.names.steps.get(step)
        if verdict is None:
            hint = _near(step, self.names.steps)
            raise ExpressionInvalid(f"there is no step {step} here", offset=at, hint=hint, code="unknown-step")
        if verdict == "key":
            if read and read != "key":
                raise ExpressionInvalid(
                    f"of the step {step} only its key may be read here",
                    offset=at,
                    hint=f"write steps.{step}.key",
                    code="unknown-step",
                )
        elif verdict:
            raise ExpressionInvalid(verdict, offset=at, code="unknown-step")

    def _check_field(self, owner: str, name: str, known: tuple[str, ...], at: int) -> None:
        if self.names is not None and name not in known:
            hint = _near(name, known) or f"known: {', '.join(known)}"
            raise ExpressionInvalid(f"{owner} has no {name}", offset=at, hint=hint, code="unknown-name")

    def _use(self, place: Place, at: int) -> None:
        """Records that the value at `place` is used as it is."""
        if place is None:
            return
        if place == ():
            for root in sorted(ROOTS if self.names is None else self.names.roots):
                self._use((root,), at)
            return
        self._used.append(place)
        root, rest = place[0], place[1:]
        self._roots.add(root)
        if root == "steps":
            if not rest and self.names is not None and self.names.steps is not None:
                # What it holds would depend on what runs side by side, and so could change over a crash.
                raise ExpressionInvalid(
                    "steps cannot be read as a whole", offset=at, hint="name the step: steps.NAME", code="unknown-step"
                )
            step, part = (*rest, "*", "*")[:2]
            if part == "*" and rest:
                self._check_step(step, at, "*")
            self._steps.add((step, part))
        elif root in _TWO_LEVELS:
            self._paths.add(".".join(place[:2]))


def _near(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(known), n=1)
    return f"did you mean {close[0]}?" if close else ""


def _ambiguous(node: Node) -> ExpressionInvalid:
    name = node["value"]
    return ExpressionInvalid(
        f"{name} means a field of the current item here, not the context's {name}",
        offset=node["at"],
        hint=f"write $.{name} for the context, or @.{name} for the item's field",
        code="context-in-projection",
    )
