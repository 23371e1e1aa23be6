"""One function of the expression language: its signature, read once, is documentation and check in one.

A signature reads `substr(text: string, start: number, length: number = null) -> string`. Types are `any`,
`number`, `string`, `boolean`, `list`, `object`, `null`, `expression` (written `&...`), `list<number>`,
`list<string>`, and alternatives of them with `|`. `= value` makes a parameter optional, `...` lets the last
one be given again and again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from registry.base.values import Json
from runner.saga.evaluation import Budget, ExpressionFailed, kind_of

#: `body(budget, *arguments)`; an `expression` argument comes as a function of one item.
Body: TypeAlias = Callable[..., Json]
#: Looks at a literal argument when the definition is loaded. Raises ExpressionFailed.
Check: TypeAlias = Callable[[Json], object]

_PYTHON: Final[Mapping[str, frozenset[type]]] = {
    "number": frozenset({int, float}),
    "string": frozenset({str}),
    "boolean": frozenset({bool}),
    "list": frozenset({list}),
    "object": frozenset({dict}),
    "null": frozenset({type(None)}),
    "any": frozenset({int, float, str, bool, list, dict, type(None)}),
    "expression": frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a function."""

    name: str
    #: As written in the signature: `list<number>|list<string>`.
    kind: str
    optional: bool
    #: The last parameter of a function may be given more than once.
    repeated: bool
    #: Python types that fit, and those that do if a list's elements fit one of `elements`.
    fits: frozenset[type]
    elements: tuple[frozenset[type], ...]

    @property
    def is_expression(self) -> bool:
        """True where `&...` must stand."""
        return self.kind == "expression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A pure function that expressions may call."""

    name: str
    #: The text that documentation shows.
    signature: str
    #: One line.
    doc: str
    parameters: tuple[Parameter, ...]
    body: Body
    #: By argument index: what a literal must also be, beyond its type.
    checks: Mapping[int, Check]
    #: The arguments come unevaluated, as functions of nothing.
    lazy: bool = False

    def __call__(self, budget: Budget, arguments: Sequence[Json]) -> Json:
        """Checks the types and calls. Raises ExpressionFailed."""
        for index, value in enumerate(arguments):
            self.check(index, value, budget)
        return self.body(budget, *arguments)

    def parameter(self, index: int) -> Parameter:
        """The parameter that the argument at `index` (0-based, within the arity) fills."""
        return self.parameters[min(index, len(self.parameters) - 1)]

    def check(self, index: int, value: Json, budget: Budget) -> None:
        """Raises ExpressionFailed where `value` cannot stand as the argument at `index`."""
        parameter = self.parameter(index)
        if type(value) in parameter.fits or parameter.is_expression:
            return
        if isinstance(value, list) and parameter.elements:
            budget.handle(value)
            found = {type(item) for item in value}
            if any(found <= elements for elements in parameter.elements):
                return
            kinds = " and ".join(sorted(kind_of(next(i for i in value if type(i) is kind)) for kind in found))
            raise ExpressionFailed(f"{self.name}() takes {parameter.kind} as `{parameter.name}`, not a list of {kinds}")
        raise ExpressionFailed(f"{self.name}() takes {parameter.kind} as `{parameter.name}`, not {kind_of(value)}")

    def arity(self, count: int) -> str:
        """What is wrong with `count` arguments, as a sentence; '' if nothing is."""
        least = sum(not parameter.optional for parameter in self.parameters)
        most = None if self.parameters[-1].repeated else len(self.parameters)
        if count >= least and (most is None or count <= most):
            return ""
        takes = f"at least {least}" if most is None else f"{least}" if least == most else f"{least} to {most}"
        return f"{self.name}() takes {takes} argument{'' if takes.endswith('1') else 's'}, not {count}"


def declare(
    signature: str, doc: str, body: Body, *, checks: Mapping[int, Check] | None = None, lazy: bool = False
) -> Function:
    """A function from its signature. Raises ValueError where the signature cannot be read."""
    head, _, _ = signature.partition(") -> ")
    name, _, inside = head.partition("(")
    return Function(
        name=name,
        signature=signature,
        doc=doc,
        parameters=tuple(_parameter(text) for text in inside.split(", ")),
        body=body,
        checks=checks or {},
        lazy=lazy,
    )


def table(*families: Iterable[Function]) -> dict[str, Function]:
    """Functions by name. Raises ValueError where a name is taken twice."""
    found: dict[str, Function] = {}
    for family in families:
        for function in family:
            if function.name in found:
                raise ValueError(f"the function {function.name}() is declared twice")
            found[function.name] = function
    return found


def _parameter(text: str) -> Parameter:
    declared, _, default = text.partition(" = ")
    name, _, kind = declared.partition(": ")
    written = kind.removesuffix("...")
    fits: set[type] = set()
    elements: list[frozenset[type]] = []
    for alternative in written.split("|"):
        if alternative.startswith("list<"):
            elements.append(_PYTHON[alternative[5:-1]])
        elif alternative in _PYTHON:
            fits |= _PYTHON[alternative]
        else:
            raise ValueError(f"{text}: {alternative} is no type")
    return Parameter(
        name=name,
        kind=written,
        optional=bool(default),
        repeated=kind.endswith("..."),
        fits=frozenset(fits),
        elements=tuple(elements),
    )
