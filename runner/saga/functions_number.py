"""Arithmetic in decimal: 0.1 + 0.2 is 0.3, because a number means what its JSON text says.

An integral result is an integer (`mul(2.5, 2)` is 5), any other the nearest JSON number, so writing a result
as JSON and reading it again gives the same value. Integers stay exact up to `MAX_DIGITS` digits; beyond that
the call fails.
"""

import math
import re
from collections.abc import Sequence
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from functools import reduce
from typing import Final, TypeAlias

from registry.base.values import Json
from runner.saga.evaluation import Budget, ExpressionFailed, json_text
from runner.saga.function import Function, declare

Number: TypeAlias = int | float

#: Digits that intermediate results keep, and that an integer may have.
MAX_DIGITS: Final = 64
#: Decimal places that `round` knows, to either side of the point.
MAX_PLACES: Final = 15

_LARGEST: Final = 10**MAX_DIGITS
#: Up to here a JSON number holds every integer, whoever reads it.
_SAFE: Final = Decimal(2**53)
_CONTEXT: Final = Context(prec=MAX_DIGITS, traps=[InvalidOperation, DivisionByZero, Overflow])
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,63})(?P<rest>(?:\.[0-9]{1,64})?(?:[eE][+-]?[0-9]{1,4})?)", re.ASCII)


def decimal_of(number: Number) -> Decimal:
    """The number that its JSON text says. Raises ExpressionFailed for infinities and too many digits."""
    if isinstance(number, int):
        return Decimal(_bounded(number))
    if not math.isfinite(number):
        raise ExpressionFailed(f"{number} is not a number that JSON can say")
    return Decimal(repr(number))


def number_of(value: Decimal) -> Number:
    """The JSON number for a result: an integer where it is one, else the nearest float."""
    if abs(value) <= _SAFE and value == value.to_integral_value():
        return int(value)
    return _finite(float(value))


def total(numbers: Sequence[Number]) -> Number:
    """The sum of `numbers`, 0 for none."""
    if all(isinstance(number, int) for number in numbers):
        return _bounded(int(sum(numbers)))
    return number_of(_sum(numbers))


def quotient(a: Decimal, b: Decimal) -> Number:
    """a / b. Raises ExpressionFailed where b is 0."""
    if not b:
        raise ExpressionFailed("it divides by zero")
    return number_of(_CONTEXT.divide(a, b))


def _sum(numbers: Sequence[Number]) -> Decimal:
    return reduce(_CONTEXT.add, map(decimal_of, numbers), Decimal(0))


def _bounded(value: int) -> int:
    if -_LARGEST < value < _LARGEST:
        return value
    raise ExpressionFailed(f"an integer has more than {MAX_DIGITS} digits")


def _finite(value: float) -> float:
    if math.isfinite(value):
        return value
    raise ExpressionFailed("a number is larger than JSON can say")


def _add(_: Budget, *numbers: Number) -> Number:
    return total(numbers)


def _sub(_: Budget, a: Number, b: Number) -> Number:
    return total((a, -b))


def _mul(_: Budget, *numbers: Number) -> Number:
    if all(isinstance(number, int) for number in numbers):
        return reduce(lambda product, number: _bounded(product * _bounded(number)), map(int, numbers), 1)
    try:
        return number_of(reduce(_CONTEXT.multiply, map(decimal_of, numbers), Decimal(1)))
    except DecimalException as error:
        raise ExpressionFailed("a number is larger than JSON can say") from error


def _div(_: Budget, a: Number, b: Number) -> Number:
    if isinstance(a, int) and isinstance(b, int) and b and a % b == 0:
        return _bounded(a // b)
    return quotient(decimal_of(a), decimal_of(b))


def _mod(_: Budget, a: Number, b: Number) -> Number:
    if not b:
        raise ExpressionFailed("it divides by zero")
    if isinstance(a, int) and isinstance(b, int):
        return int(math.copysign(1, a)) * (abs(_bounded(a)) % abs(_bounded(b)))
    try:
        return number_of(_CONTEXT.remainder(decimal_of(a), decimal_of(b)))
    except DecimalException as error:
        raise ExpressionFailed("mod() cannot be exact: its arguments are too far apart") from error


def _round(_: Budget, number: Number, digits: Number = 0) -> Number:
    check_places(digits)
    value = decimal_of(number)
    if isinstance(number, int) and digits >= 0:
        return number
    exponent = Decimal(1).scaleb(-int(digits))
    if value.adjusted() + digits > MAX_DIGITS - 2:
        return number  # so large that it has no such places
    rounded = value.quantize(exponent, rounding=ROUND_HALF_UP, context=_CONTEXT)
    return int(rounded) if isinstance(number, int) else number_of(rounded)


def check_places(digits: Json) -> None:
    """Raises ExpressionFailed where `digits` is no count of decimal places."""
    if not isinstance(digits, int) or not -MAX_PLACES <= digits <= MAX_PLACES:
        raise ExpressionFailed(f"round() takes a whole number of digits from -{MAX_PLACES} to {MAX_PLACES}")


def _avg(budget: Budget, numbers: list[Number]) -> Number | None:
    budget.handle(numbers)
    return quotient(_sum(numbers), Decimal(len(numbers))) if numbers else None


def _sum_list(budget: Budget, numbers: list[Number]) -> Number:
    budget.spend(len(numbers))
    return total(numbers)


def _floor(_: Budget, number: Number) -> Number:
    return number if isinstance(number, int) else number_of(decimal_of(number).to_integral_value(ROUND_FLOOR))


def _ceil(_: Budget, number: Number) -> Number:
    return number if isinstance(number, int) else number_of(decimal_of(number).to_integral_value(ROUND_CEILING))


def to_number(_: Budget, value: Json) -> Number | None:
    """The number that a text says in JSON's spelling; null for anything that is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if not isinstance(value, str):
        return value
    match = _NUMBER.fullmatch(value)
    if match is None:
        return None
    if not match["rest"]:
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None


def number_text(number: Number) -> str:
    """The number as JSON writes it."""
    return json_text(number)


NUMBERS: Final[tuple[Function, ...]] = (
    declare("abs(value: number) -> number", "The value without its sign.", lambda _, value: abs(value)),
    declare("add(a: number, b: number...) -> number", "The sum, in decimal.", _add),
    declare("avg(values: list<number>) -> number", "The mean, in decimal; null for an empty list.", _avg),
    declare("ceil(value: number) -> number", "The least integer that is not below the value.", _ceil),
    declare("div(a: number, b: number) -> number", "a / b in decimal; an error where b is 0.", _div),
    declare("floor(value: number) -> number", "The greatest integer that is not above the value.", _floor),
    declare("mod(a: number, b: number) -> number", "The remainder of a / b, with the sign of a.", _mod),
    declare("mul(a: number, b: number...) -> number", "The product, in decimal.", _mul),
    declare(
        "round(value: number, digits: number = 0) -> number",
        "Rounded to so many decimal places, a half away from zero; -1 rounds to tens.",
        _round,
        checks={1: check_places},
    ),
    declare("sub(a: number, b: number) -> number", "a - b in decimal.", _sub),
    declare("sum(values: list<number>) -> number", "The sum in decimal, 0 for an empty list.", _sum_list),
    declare(
        "to_number(value: any) -> number",
        "A number, or a text that spells one as JSON does, as a number; else null.",
        to_number,
    ),
)
