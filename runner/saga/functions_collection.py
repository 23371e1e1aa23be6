"""Functions on lists and objects: JMESPath's own and ours. Results are new, their parts shared."""

from collections.abc import Callable
from typing import Any, Final

from registry.base.values import Json
from runner.saga.evaluation import (
    MAX_NESTING,
    Budget,
    ExpressionFailed,
    canonical_text,
    check_size,
    equal,
    is_number,
    json_text,
    kind_of,
)
from runner.saga.function import Function, declare
from runner.saga.functions_text import whole

#: Elements that `range` may give.
MAX_RANGE: Final = 100_000

Key = Callable[[Json], Json]


def _contains(budget: Budget, subject: str | list[Json], search: Json) -> bool:
    budget.handle(subject)
    if isinstance(subject, str):
        return isinstance(search, str) and search in subject
    return any(equal(item, search, budget) for item in subject)


def _reverse(budget: Budget, value: str | list[Json]) -> str | list[Json]:
    budget.handle(value)
    return value[::-1]


def _extreme(pick: Callable[..., Any]) -> Callable[[Budget, list[Any]], Json]:
    def body(budget: Budget, values: list[Any]) -> Json:
        _charge_order(budget, values, 1)
        return pick(values, default=None)

    return body


def _sort(budget: Budget, values: list[Any]) -> list[Json]:
    _charge_order(budget, values, len(values).bit_length())
    return sorted(values)


def _charge_order(budget: Budget, keys: list[Any], rounds: int) -> None:
    """Charges for putting numbers or texts in order: each is compared so many times."""
    budget.spend(len(keys))
    for key in keys:
        if isinstance(key, str):
            budget.compare(key, rounds)


def _keyed(budget: Budget, name: str, items: list[Json], key: Key) -> list[tuple[Any, Json]]:
    """Each item with its key; the keys are all numbers or all text."""
    pairs = [(key(item), item) for item in items]
    _charge_order(budget, [found for found, _ in pairs], len(pairs).bit_length())
    if all(is_number(found) for found, _ in pairs) or all(isinstance(found, str) for found, _ in pairs):
        return pairs
    kinds = " and ".join(sorted({kind_of(found) for found, _ in pairs}))
    raise ExpressionFailed(f"{name}() needs keys that are all numbers or all text, not {kinds}")


def _sort_by(budget: Budget, items: list[Json], key: Key) -> list[Json]:
    return [item for _, item in sorted(_keyed(budget, "sort_by", items, key), key=lambda pair: pair[0])]


def _max_by(budget: Budget, items: list[Json], key: Key) -> Json:
    return max(_keyed(budget, "max_by", items, key), key=lambda pair: pair[0], default=(None, None))[1]


def _min_by(budget: Budget, items: list[Json], key: Key) -> Json:
    return min(_keyed(budget, "min_by", items, key), key=lambda pair: pair[0], default=(None, None))[1]


def _name(function: str, value: Json) -> str:
    """A group's name: keys of objects are text."""
    if isinstance(value, str):
        return value
    if is_number(value):
        return json_text(value)
    raise ExpressionFailed(f"{function}() needs text or a number as key, not {kind_of(value)}")


def _group_by(_: Budget, items: list[Json], key: Key) -> dict[str, list[Json]]:
    groups: dict[str, list[Json]] = {}
    for item in items:
        groups.setdefault(_name("group_by", key(item)), []).append(item)
    return groups


def _index_by(_: Budget, items: list[Json], key: Key) -> dict[str, Json]:
    return {_name("index_by", key(item)): item for item in items}


def _map(_: Budget, key: Key, items: list[Json]) -> list[Json]:
    return [key(item) for item in items]


def _unique(budget: Budget, values: list[Json]) -> list[Json]:
    seen: set[str] = set()
    kept = []
    for value in values:
        left = check_size(value)
        budget.spend((check_size(None) - left >> 5) + 1)
        # 1 and 1.0 are one value, whole floats are spelt as integers; true is spelt unlike 1.
        text = canonical_text(_whole_floats(value))
        if text not in seen:
            seen.add(text)
            kept.append(value)
    return kept


def _whole_floats(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole_floats(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole_floats(item) for key, item in value.items()}
    return value


def _chunk(budget: Budget, items: list[Json], size: float) -> list[list[Json]]:
    step = check_chunk(size)
    budget.spend(len(items))
    return [items[start : start + step] for start in range(0, len(items), step)]


def check_chunk(size: Json) -> int:
    """The size of a chunk. Raises ExpressionFailed where it is not a whole number above 0."""
    return whole("chunk()", size, 1)


def _range(budget: Budget, start: float, stop: float | None = None, step: float = 1) -> list[int]:
    if stop is None:
        start, stop = 0, start
    by = whole("range()", step)
    if by == 0:
        raise ExpressionFailed("the step of range() cannot be 0")
    numbers = range(whole("range()", start), whole("range()", stop), by)
    # Not len(): it fails beyond what a C integer holds.
    if numbers and (numbers[-1] - numbers[0]) // by >= MAX_RANGE:
        raise ExpressionFailed(f"range() gives at most {MAX_RANGE:,} numbers")
    budget.spend(len(numbers))
    return list(numbers)


def _merge(budget: Budget, *objects: dict[str, Json]) -> dict[str, Json]:
    merged: dict[str, Json] = {}
    for each in objects:
        budget.handle(each)
        merged.update(each)
    return merged


def _deep_merge(budget: Budget, *objects: dict[str, Json]) -> dict[str, Json]:
    merged: dict[str, Json] = {}
    for each in objects:
        merged = _merged(budget, merged, each, 0)
    return merged


def _merged(budget: Budget, under: dict[str, Json], over: dict[str, Json], depth: int) -> dict[str, Json]:
    if depth >= MAX_NESTING:
        raise ExpressionFailed(f"deep_merge() takes objects of at most {MAX_NESTING} levels")
    budget.spend(len(under) + len(over))
    out = dict(under)
    for key, value in over.items():
        below = out.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = _merged(budget, below, value, depth + 1)
        out[key] = value
    return out


def _get(_: Budget, source: Json, key: Json, default: Json = None) -> Json:
    found = None
    if isinstance(source, dict) and isinstance(key, str):
        found = source.get(key)
    elif isinstance(source, list) and is_number(key):
        index = whole("get()", key)
        found = source[index] if -len(source) <= index < len(source) else None
    elif source is not None:
        raise ExpressionFailed(
            f"get() takes a text as key of an object or a number as index of a list, not {kind_of(key)}"
        )
    return default if found is None else found


def _items(budget: Budget, source: dict[str, Json]) -> list[list[Json]]:
    budget.spend(len(source))
    return [[key, value] for key, value in source.items()]


def _from_items(budget: Budget, pairs: list[Json]) -> dict[str, Json]:
    budget.spend(len(pairs))
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise ExpressionFailed("from_items() takes pairs [key, value] whose key is text")
    return {pair[0]: pair[1] for pair in pairs}


def _names(budget: Budget, keys: tuple[Json, ...]) -> set[str]:
    names: set[str] = set()
    for key in keys:
        if isinstance(key, list):
            budget.handle(key)
            names.update(key)
        else:
            names.add(key)
    return names


def _omit(budget: Budget, source: dict[str, Json], *keys: Json) -> dict[str, Json]:
    names = _names(budget, keys)
    budget.handle(source)
    return {key: value for key, value in source.items() if key not in names}


def _pick(budget: Budget, source: dict[str, Json], *keys: Json) -> dict[str, Json]:
    names = _names(budget, keys)
    budget.handle(source)
    return {key: value for key, value in source.items() if key in names}


def _handled(view: Callable[[Any], Json]) -> Callable[[Budget, Any], Json]:
    def body(budget: Budget, value: Any) -> Json:
        budget.handle(value)
        return view(value)

    return body


COLLECTIONS: Final[tuple[Function, ...]] = (
    declare(
        "chunk(items: list, size: number) -> list",
        "Lists of `size` items each, the last maybe shorter.",
        _chunk,
        checks={1: check_chunk},
    ),
    declare(
        "contains(subject: list|string, search: any) -> boolean",
        "Is it an element, or a part of the text?",
        _contains,
    ),
    declare(
        "deep_merge(source: object...) -> object",
        "Objects merged level by level; the later wins, lists are replaced.",
        _deep_merge,
    ),
    declare(
        "from_items(pairs: list) -> object",
        "The object of [key, value] pairs; the last of a key wins.",
        _from_items,
    ),
    declare(
        "get(source: object|list|null, key: string|number, default: any = null) -> any",
        "The field or element of that name or index; the default where it is missing or null.",
        _get,
    ),
    declare("group_by(items: list, key: expression) -> object", "Lists of items by key.", _group_by),
    declare("index_by(items: list, key: expression) -> object", "Items by key; the last of a key wins.", _index_by),
    declare("items(source: object) -> list", "The [key, value] pairs.", _items),
    declare("keys(source: object) -> list", "The keys.", _handled(list)),
    declare(
        "length(value: string|list|object) -> number",
        "Characters, elements or fields.",
        lambda _, value: len(value),
    ),
    declare(
        "map(each: expression, items: list) -> list",
        "The expression's value for each item, nulls kept.",
        _map,
    ),
    declare("max(values: list<number>|list<string>) -> any", "The largest; null for an empty list.", _extreme(max)),
    declare(
        "max_by(items: list, key: expression) -> any",
        "The item with the largest key; null for none.",
        _max_by,
    ),
    declare("merge(source: object...) -> object", "The objects' fields; the later wins.", _merge),
    declare(
        "min(values: list<number>|list<string>) -> any",
        "The smallest; null for an empty list.",
        _extreme(min),
    ),
    declare(
        "min_by(items: list, key: expression) -> any",
        "The item with the smallest key; null for none.",
        _min_by,
    ),
    declare("omit(source: object, key: string|list<string>...) -> object", "Without these fields.", _omit),
    declare("pick(source: object, key: string|list<string>...) -> object", "Only these fields.", _pick),
    declare(
        "range(start: number, stop: number = null, step: number = 1) -> list",
        "Integers from start (0 if one argument is given) to before stop.",
        _range,
    ),
    declare("reverse(value: list|string) -> any", "From the last to the first.", _reverse),
    declare("sort(values: list<number>|list<string>) -> list", "In rising order.", _sort),
    declare(
        "sort_by(items: list, key: expression) -> list",
        "In rising order of the key; equal keys keep theirs.",
        _sort_by,
    ),
    declare("unique(values: list) -> list", "Each value once, where it first stands.", _unique),
    declare(
        "values(source: object) -> list",
        "The values of the fields.",
        _handled(lambda source: list(source.values())),
    ),
)
