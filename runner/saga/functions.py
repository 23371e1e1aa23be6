"""The functions that expressions may call, by name: JMESPath's own and ours. All are pure.

Documentation is made from this table: each entry has `signature` and `doc`.
"""

from collections.abc import Callable, Mapping
from typing import Final

from registry.base.values import Json
from runner.saga.evaluation import Budget, falsy
from runner.saga.function import Function, declare, table
from runner.saga.functions_collection import COLLECTIONS
from runner.saga.functions_number import NUMBERS
from runner.saga.functions_text import TEXTS
from runner.saga.functions_time import TIMES

_TYPES: Final[Mapping[type, str]] = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


def _cond(_: Budget, test: Callable[[], Json], yes: Callable[[], Json], no: Callable[[], Json]) -> Json:
    return no() if falsy(test()) else yes()


def _not_null(_: Budget, *values: Json) -> Json:
    return next((value for value in values if value is not None), None)


CHOICES: Final[tuple[Function, ...]] = (
    declare(
        "cond(test: any, yes: any, no: any) -> any",
        "`yes` where the test holds, else `no`; the other one is not evaluated.",
        _cond,
        lazy=True,
    ),
    declare("not_null(value: any...) -> any", "The first value that is not null.", _not_null),
    declare(
        "to_array(value: any) -> list",
        "A list as it is, anything else as a list of one.",
        lambda _, value: value if isinstance(value, list) else [value],
    ),
    declare(
        "type(value: any) -> string",
        "`string`, `number`, `boolean`, `array`, `object` or `null`.",
        lambda _, value: _TYPES[type(value)],
    ),
)

#: Every function by name, in alphabetical order.
FUNCTIONS: Final[Mapping[str, Function]] = dict(sorted(table(CHOICES, COLLECTIONS, NUMBERS, TEXTS, TIMES).items()))
