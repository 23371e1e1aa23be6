"""Expressions: compiled once at load, then called with a scope.

What definitions mostly hold, dotted paths, literals and tests on them, becomes closures (a tenth of a visit
of the tree); everything else goes through the interpreter, over a context that holds only the names the
expression reads.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from registry.base.values import Json
from runner.saga.dialect import Interpreter, Node, Parser, order
from runner.saga.evaluation import ExpressionFailed, ExpressionInvalid, check_size, falsy, scalar_equal
from runner.saga.reads import Names, Reads, Walk

__all__ = [
    "Expression",
    "ExpressionFailed",
    "ExpressionInvalid",
    "Names",
    "Reads",
    "Scope",
    "compile_expression",
    "falsy",
]

#: Characters of an expression that an error quotes.
_SHOWN: Final = 60


class Scope(Protocol):
    """The context of one evaluation. Asked only for names that were allowed at compile time."""

    def root(self, name: str) -> Json:
        """The value of a context name other than `steps`."""

    def field(self, step: str, name: str) -> Json:
        """Of the step of that name: `output`, `response`, `status`, `attempts`, `error`, `key` or `event`."""

    def view(self, step: str) -> dict[str, Json]:
        """All of these by name."""

    def steps(self) -> dict[str, Json]:
        """All visible steps by name, each as its view; for expressions that read `steps` as a whole."""


#: An expression's inside: scope -> value. Raises ExpressionFailed.
Run: TypeAlias = Callable[[Scope], Json]


class Expression:
    """A compiled expression. Its results share their parts with the scope: nobody may change them."""

    __slots__ = ("_builds", "_tree", "constant", "reads", "run", "text")

    def __init__(self, text: str, tree: Node, walk: Walk) -> None:
        #: As it was written.
        self.text = text
        self.reads: Reads = walk.reads(tree)
        self._tree = tree
        self._builds = walk.builds
        #: True for one literal.
        self.constant = tree["type"] == "literal"
        #: The same as calling the expression, without the call's detour; for hot loops and templates.
        self.run: Run = _closed(tree, text) or self._interpreted()

    def __call__(self, scope: Scope) -> Json:
        """The value over `scope`. Raises ExpressionFailed."""
        return self.run(scope)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def search(self, document: Json) -> Json:
        """The value with a plain document as the context. Raises ExpressionFailed."""
        interpreter = Interpreter(document)
        try:
            value = interpreter.visit(self._tree, document)
            if self._builds:
                check_size(value)
        except ExpressionFailed as error:
            raise self.failed(error.detail) from error
        except RecursionError as error:
            raise self.failed("its data is nested too deeply") from error
        # The data is a stranger's and Python has many words for what does not fit; outside there is only one.
        except Exception as error:
            raise self.failed(f"it cannot be evaluated ({type(error).__name__}: {error})") from error
        return value

    def failed(self, detail: str) -> ExpressionFailed:
        """The error that says `detail` of this expression."""
        return _failed(self.text, detail)

    def _interpreted(self) -> Run:
        plain = tuple(sorted(self.reads.roots - {"steps"}))
        steps = _steps_reader(self.reads) if "steps" in self.reads.roots else None

        def run(scope: Scope) -> Json:
            context = {name: scope.root(name) for name in plain}
            if steps is not None:
                context["steps"] = steps(scope)
            return self.search(context)

        return run


def compile_expression(text: str, names: Names | None = None) -> Expression:
    """Compiles `text`, given bare. `names` None leaves names unchecked. Raises ExpressionInvalid."""
    return Expression(text, Parser().read(text), Walk(names))


def _failed(text: str, detail: str) -> ExpressionFailed:
    text = text.strip()
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "\u2026"
    return ExpressionFailed(f"The expression `{shown}` failed: {detail}.")


def _steps_reader(reads: Reads) -> Callable[[Scope], dict[str, Json]]:
    if any(step == "*" for step, _ in reads.steps):
        return lambda scope: scope.steps()
    whole = tuple(sorted(step for step, field in reads.steps if field == "*"))
    parts: dict[str, list[str]] = {}
    for step, field in sorted(reads.steps):
        if step not in whole:
            parts.setdefault(step, []).append(field)

    def read(scope: Scope) -> dict[str, Json]:
        found: dict[str, Json] = {step: scope.view(step) for step in whole}
        for step, fields in parts.items():
            found[step] = {field: scope.field(step, field) for field in fields}
        return found

    return read


# -- closures
# ------------------------------------------------------------------------------------------------------


def _closed(node: Node, text: str) -> Run | None:
    """The tree as closures; None where it takes the interpreter."""
    match node["type"]:
        case "literal":
            value = node["value"]
            return lambda _: value
        case "field" | "subexpression":
            path = _path(node)
            return _read(path) if path else None
        case "comparator":
            return _compared(node, text)
        case "not_expression":
            inner = _closed(node["children"][0], text)
            return None if inner is None else lambda scope: falsy(inner(scope))
        case "or_expression" | "and_expression":
            return _joined(node, text)
    return None


def _path(node: Node) -> tuple[str, ...]:
    """The names of a dotted path that begins at the context; () for anything else."""
    if node["type"] == "field":
        return (node["value"],)
    first, *rest = node["children"]
    if any(child["type"] != "field" for child in rest):
        return ()
    names = tuple(str(child["value"]) for child in rest)
    if first["type"] == "root":
        return names
    return (first["value"], *names) if first["type"] == "field" else ()


def _read(path: tuple[str, ...]) -> Run | None:
    root, *rest = path
    if root != "steps":
        return _of_root(root, rest)
    if not rest:
        return lambda scope: scope.steps()
    step = rest[0]
    if len(rest) == 1:
        return lambda scope: scope.view(step)
    return _of_step(step, rest[1], rest[2:])


def _of_root(root: str, keys: list[str]) -> Run:
    """A context name's value, or a field in it. The shortest are written out, here and below: they are hot."""
    match keys:
        case []:
            return lambda scope: scope.root(root)
        case [one]:

            def run(scope: Scope) -> Json:
                value = scope.root(root)
                return value.get(one) if isinstance(value, dict) else None
        case _:

            def run(scope: Scope) -> Json:
                return _down(scope.root(root), keys)

    return run


def _of_step(step: str, field: str, keys: list[str]) -> Run:
    """A step's field, or a field in it."""
    match keys:
        case []:
            return lambda scope: scope.field(step, field)
        case [one]:

            def run(scope: Scope) -> Json:
                value = scope.field(step, field)
                return value.get(one) if isinstance(value, dict) else None
        case _:

            def run(scope: Scope) -> Json:
                return _down(scope.field(step, field), keys)

    return run


def _down(value: Json, keys: list[str]) -> Json:
    """From a value down its fields; null where one is missing."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _compared(node: Node, text: str) -> Run | None:
    left, right = node["children"]
    a, b = _closed(left, text), _closed(right, text)
    if a is None or b is None:
        return None
    sign = node["value"]
    if sign in _EQUALITIES:
        # Two lists are compared under a budget, which the interpreter keeps.
        if not any(side["type"] == "literal" and not isinstance(side["value"], list | dict) for side in (left, right)):
            return None
        wanted = sign == "eq"
        return lambda scope: scalar_equal(a(scope), b(scope)) is wanted
    compare = _ORDERINGS[sign]

    def run(scope: Scope) -> Json:
        x, y = a(scope), b(scope)
        if type(x) is int and type(y) is int:
            return compare(x, y)
        try:
            return order(node, x, y)
        except ExpressionFailed as error:
            raise _failed(text, error.detail) from error

    return run


def _joined(node: Node, text: str) -> Run | None:
    a, b = (_closed(child, text) for child in node["children"])
    if a is None or b is None:
        return None
    stops_at_falsy = node["type"] == "and_expression"

    def run(scope: Scope) -> Json:
        value = a(scope)
        return value if falsy(value) is stops_at_falsy else b(scope)

    return run


_EQUALITIES: Final = frozenset({"eq", "ne"})
_ORDERINGS: Final[Mapping[str, Callable[[Json, Json], bool]]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
