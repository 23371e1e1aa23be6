"""Values with `${ }` in their texts, as definitions hold them: bodies, headers, paths, outputs."""

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from registry.base.values import Json
from runner.saga.evaluation import MAX_NESTING, MAX_RESULT, ExpressionFailed, ExpressionInvalid, fill_text
from runner.saga.expression import Expression, Names, Reads, Run, Scope, compile_expression
from runner.saga.functions_number import number_text
from runner.saga.functions_text import percent_encode

_QUOTES: Final = frozenset("'\"`")
_NO_READS: Final = Reads()


class Template:
    """A value whose texts may hold expressions; called with a scope, it gives the value."""

    __slots__ = ("constant", "reads", "run", "value")

    def __init__(self, *, value: Json = None, run: Run | None = None, reads: Reads = _NO_READS) -> None:
        #: True where no text holds an expression: every call gives `value`.
        self.constant = run is None
        self.value = value
        self.reads = reads
        #: The same as calling the template, without the call's detour.
        self.run: Run = run or (lambda _: value)

    def __call__(self, scope: Scope) -> Json:
        """The value over `scope`, sharing its parts with scope and definition. Raises ExpressionFailed."""
        return self.run(scope)


class TextTemplate:
    """A text that may hold expressions; called with a scope, it gives a text."""

    __slots__ = ("_run", "constant", "reads")

    def __init__(self, run: Callable[[Scope], str], *, constant: bool, reads: Reads) -> None:
        #: True where it holds no expression.
        self.constant = constant
        self.reads = reads
        self._run = run

    def __call__(self, scope: Scope) -> str:
        """The text over `scope`. Raises ExpressionFailed where null, a list or an object would fill it."""
        return self._run(scope)


def compile_template(value: Json, names: Names | None = None) -> Template:
    """Compiles each text inside `value`, never its keys. Raises ExpressionInvalid with `where`."""
    return _template(value, names, ())


def compile_text(text: str, names: Names | None, *, segment_encode: bool = False) -> TextTemplate:
    """Compiles a header or, with `segment_encode`, a URL path: each filled value is percent-encoded.

    Such a path fails where a value makes a whole segment `.`, `..` or empty: it would name another resource.
    Raises ExpressionInvalid.
    """
    parts = _parts(text, names)
    run = _joined(text, parts, _path_text) if segment_encode else _joined(text, parts, fill_text)
    if segment_encode:
        run = _checked_path(text, run)
    constant = not any(isinstance(part, Expression) for part in parts)
    return TextTemplate(_always(run) if constant else run, constant=constant, reads=_reads(parts))


def compile_bare(text: str, names: Names | None) -> Expression:
    """Compiles an expression that stands bare, or as one whole `${ }`. Raises ExpressionInvalid."""
    start = len(text) - len(text.lstrip())
    if not text.startswith("${", start):
        return compile_expression(text, names)
    end = _closing(text, start)
    if text[end + 1 :].strip():
        raise ExpressionInvalid(
            "text follows the closing brace",
            offset=end + 1,
            hint="here stands one expression, bare or as one whole ${ }",
        )
    return _compiled(text, start, end, names)


def texts(table: Mapping[str, Template], scope: Scope) -> Iterator[tuple[str, list[str]]]:
    """Headers or query parameters as text: null ones are left out, lists repeat. Raises ExpressionFailed."""
    for name, template in table.items():
        value = template(scope)
        if value is None:
            continue
        items = value if isinstance(value, list) else [value]
        yield name, [text(item, name) for item in items if item is not None]


def text(value: Json, where: str) -> str:
    """A text, number or flag as text. Raises ExpressionFailed for null, lists and mappings."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    raise ExpressionFailed(f"`{where}` must come out as text, and it is {'null' if value is None else 'a structure'}")


def _template(value: Json, names: Names | None, where: tuple[str | int, ...]) -> Template:
    if len(where) > MAX_NESTING:
        raise ExpressionInvalid(f"the value is nested deeper than {MAX_NESTING} levels", code="too-deep", where=where)
    if isinstance(value, str):
        try:
            return _text(value, names)
        except ExpressionInvalid as error:
            error.where = where
            raise
    if isinstance(value, dict):
        return _mapping(value, {key: _template(item, names, (*where, key)) for key, item in value.items()})
    if isinstance(value, list):
        return _sequence(value, [_template(item, names, (*where, index)) for index, item in enumerate(value)])
    return Template(value=value)


def _mapping(value: dict[str, Json], parts: dict[str, Template]) -> Template:
    base = {key: part.value for key, part in parts.items()}
    moving = tuple((key, part.run) for key, part in parts.items() if not part.constant)
    if not moving:
        return Template(value=value if all(base[key] is value[key] for key in base) else base)

    def run(scope: Scope) -> Json:
        filled = base.copy()
        for key, part in moving:
            filled[key] = part(scope)
        return filled

    return Template(run=run, reads=Reads.union(part.reads for part in parts.values()))


def _sequence(value: list[Json], parts: list[Template]) -> Template:
    if all(part.constant for part in parts):
        filled = [part.value for part in parts]
        return Template(value=value if all(map(operator.is_, filled, value)) else filled)
    runs = tuple(part.run for part in parts)
    return Template(run=lambda scope: [run(scope) for run in runs], reads=Reads.union(part.reads for part in parts))


def _text(text: str, names: Names | None) -> Template:
    parts = _parts(text, names)
    reads = _reads(parts)
    expressions = [part for part in parts if isinstance(part, Expression)]
    if not expressions:
        joined = "".join(part for part in parts if isinstance(part, str))
        # The very text where nothing was escaped, so that a constant stays the value it was made of.
        return Template(value=text if joined == text else joined)
    if len(expressions) == 1 and not any(part.strip() for part in parts if isinstance(part, str)):
        return Template(run=expressions[0].run, reads=reads)
    return Template(run=_joined(text, parts, fill_text), reads=reads)


def _parts(text: str, names: Names | None) -> list[str | Expression]:
    """The plain texts (`$${` already read as `${`) and expressions of `text`, in order."""
    parts: list[str | Expression] = []
    plain = 0
    position = text.find("${")
    while position >= 0:
        if position > plain and text[position - 1] == "$":
            parts.append(text[plain : position - 1] + "${")
            plain = position + 2
        else:
            end = _closing(text, position)
            if position > plain:
                parts.append(text[plain:position])
            parts.append(_compiled(text, position, end, names))
            plain = end + 1
        position = text.find("${", plain)
    if plain < len(text):
        parts.append(text[plain:])
    return parts


def _closing(text: str, start: int) -> int:
    """Where the brace is that closes the `${` at `start`. Raises ExpressionInvalid where none does."""
    depth, quote, position = 0, "", start + 1
    while position < len(text):
        sign = text[position]
        if quote:
            if sign == "\\":
                position += 1
            elif sign == quote:
                quote = ""
        elif sign in _QUOTES:
            quote = sign
        elif sign == "{":
            depth += 1
        elif sign == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    reason = f"a {quote} in it is never closed" if quote else "its closing brace is missing"
    raise ExpressionInvalid(
        f"${{ is never closed: {reason}", offset=start, hint="close it with }, or write $${ for a literal ${"
    )


def _compiled(text: str, start: int, end: int, names: Names | None) -> Expression:
    try:
        return compile_expression(text[start + 2 : end], names)
    except ExpressionInvalid as error:
        error.offset += start + 2
        raise


def _reads(parts: list[str | Expression]) -> Reads:
    return Reads.union(part.reads for part in parts if isinstance(part, Expression))


def _joined(text: str, parts: list[str | Expression], fill: Callable[[Json], str]) -> Callable[[Scope], str]:
    def run(scope: Scope) -> str:
        filled = []
        for part in parts:
            if isinstance(part, str):
                filled.append(part)
                continue
            value = part.run(scope)
            try:
                filled.append(fill(value))
            except ExpressionFailed as error:
                raise part.failed(error.detail) from error
        joined = "".join(filled)
        if len(joined) > MAX_RESULT:
            raise ExpressionFailed(f"The text `{text[:60]}` becomes longer than 1 MiB.")
        return joined

    return run


def _always(run: Callable[[Scope], str]) -> Callable[[Scope], str]:
    """The same for a text without expressions: worked out at the first call, which may fail, and then kept."""
    kept: list[str] = []

    def constant(scope: Scope) -> str:
        if not kept:
            kept.append(run(scope))
        return kept[0]

    return constant


def _path_text(value: Json) -> str:
    return percent_encode(fill_text(value))


def _checked_path(text: str, run: Callable[[Scope], str]) -> Callable[[Scope], str]:
    written = text.count("//") + text.endswith("/")

    def checked(scope: Scope) -> str:
        path = run(scope)
        route = path.partition("?")[0]
        if "/." in route and not {".", ".."}.isdisjoint(route.split("/")):
            raise ExpressionFailed(f"The path `{text[:60]}` becomes {path[:60]!r}, where . and .. lead elsewhere.")
        if ("//" in route or route.endswith("/")) and route.count("//") + route.endswith("/") > written:
            raise ExpressionFailed(
                f"The path `{text[:60]}` becomes {path[:60]!r}: an empty segment names another resource."
            )
        return path

    return checked
