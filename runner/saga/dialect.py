"""The strict JMESPath dialect: the library's parser and interpreter, with what money needs changed.

Plain JMESPath lets a slip pass in silence, as a null that skips a guard. Here numbers may stand bare, `true
false null` are literals, `!` binds looser than `.` and `[`, `$` is the context, an ordering outside a filter
needs two numbers or two texts, and a bare index that can only be null is refused. Every evaluation is counted
(`Budget`).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NoReturn, TypeAlias

import jmespath.ast
import jmespath.exceptions
import jmespath.parser
import jmespath.visitor

from registry.base.values import Json
from runner.saga.evaluation import (
    MAX_NESTING,
    MAX_TEXT,
    Budget,
    ExpressionFailed,
    ExpressionInvalid,
    equal,
    falsy,
    is_number,
    kind_of,
)
from runner.saga.functions import FUNCTIONS

#: An AST node of the library: `{type, children, value?}`; ours add `at`, the offset in the text.
Node: TypeAlias = dict[str, Any]
Token: TypeAlias = dict[str, Any]

_WORDS: Final[Mapping[str, Json]] = {"true": True, "false": False, "null": None}

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\n\r]+)
    |(?P<unquoted_identifier>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<quoted_identifier>"(?:\\.|[^"\\])*")
    |(?P<raw>'(?:\\.|[^'\\])*')
    |(?P<literal>`(?:\\.|[^`\\])*`)
    |(?P<mark>\[\]|\[\?|\|\||&&|==|!=|<=|>=|[][.*,:@(){}|&<>!$])""",
    re.VERBOSE | re.DOTALL,
)

_MARKS: Final[Mapping[str, str]] = {
    "[]": "flatten", "[?": "filter", "||": "or", "&&": "and", "==": "eq", "!=": "ne", "<=": "lte",
    ">=": "gte", "[": "lbracket", "]": "rbracket", ".": "dot", "*": "star", ",": "comma", ":": "colon",
    "@": "current", "(": "lparen", ")": "rparen", "{": "lbrace", "}": "rbrace", "|": "pipe", "&": "expref",
    "<": "lt", ">": "gt", "!": "not", "$": "root",
}  # fmt: skip

_HINTS: Final[Mapping[str, str]] = {
    "=": "compare with ==",
    "+": "write add(a, b), or concat(a, b) for text",
    "-": "write sub(a, b)",
    "*": "write mul(a, b)",
    "/": "write div(a, b)",
    "%": "write mod(a, b)",
    "?": "write cond(test, yes, no)",
    "and": "write &&",
    "or": "write ||",
    "not": "write !",
    "'": "close the text with '; a quote inside it is written \\'",
    '"': 'close the name with "; text stands in single quotes',
    "`": "close the literal with `",
    "{": "write .{ after a path; ${ } stands around an expression, never inside one",
    "$": "${ } stands around an expression, never inside one",
}


def tokens(text: str) -> Iterator[Token]:
    """The tokens of `text`, an `eof` last. Raises ExpressionInvalid at a character that begins none."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            sign = text[position]
            what = f"{sign} is never closed" if sign in "'\"`" else f"{sign!r} is not part of the language"
            raise ExpressionInvalid(what, offset=position, hint=_HINTS.get(sign, ""))
        kind, lexeme = str(match.lastgroup), match.group()
        if kind != "space":
            yield _token(kind, lexeme, position)
        position = match.end()
    yield {"type": "eof", "value": "", "start": len(text), "end": len(text)}


def _token(kind: str, lexeme: str, start: int) -> Token:
    value: Json = lexeme
    if kind == "mark":
        kind = _MARKS[lexeme]
    elif kind == "raw":
        kind, value = "literal", lexeme[1:-1].replace("\\'", "'")
    elif kind == "number":
        value = _json(lexeme, start, "write it as JSON does, without leading zeros")
    elif kind == "literal":
        value = _json(lexeme[1:-1].replace("\\`", "`"), start, "between backticks stands JSON; text stands in '...'")
    elif kind == "quoted_identifier":
        value = _json(lexeme, start, "between double quotes stands a JSON string: double each \\")
    return {"type": kind, "value": value, "start": start, "end": start + len(lexeme)}


def _json(text: str, start: int, hint: str) -> Json:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        # What cannot be written again (a lone surrogate, an infinity) must not get into a journal.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ExpressionInvalid(f"{text[:40]} is not JSON", offset=start, hint=hint) from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


class Parser(jmespath.parser.Parser):  # type: ignore[misc]  # the library has no types
    """Reads one text, once. Marks each node with its offset, each ordering with its strictness."""

    BINDING_POWER = {**jmespath.parser.Parser.BINDING_POWER, "root": 0, "not": 8}  # noqa: RUF012  # the library's shape

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._filters = 0
        #: Token positions where a word is a field (right of a dot), and where an index may begin (right of
        #: `|`, `]`).
        self._fields: set[int] = set()
        self._indices: set[int] = set()

    def read(self, text: str) -> Node:
        """The tree of `text`. Raises ExpressionInvalid."""
        if len(text.encode("utf-8", "replace")) > MAX_TEXT:
            raise ExpressionInvalid(
                f"the expression is longer than {MAX_TEXT} bytes",
                code="too-long",
                hint="split it over several `set` steps",
            )
        if not text.strip(" \t\r\n"):
            raise ExpressionInvalid("the expression is empty", hint="write null where nothing is meant")
        self._tokens = list(tokens(text))
        try:
            tree: Node = self._expression()
            if self._current_token() != "eof":
                self._refuse(self._lookahead_token(0))
        except jmespath.exceptions.IncompleteExpressionError:
            raise ExpressionInvalid("the expression ends too early", offset=len(text)) from None
        except jmespath.exceptions.ParseError as error:
            at = min(int(error.lex_position), len(text))
            self._refuse(next(token for token in self._tokens if token["end"] > at or token["type"] == "eof"))
        return tree

    def _refuse(self, token: Token) -> NoReturn:
        if token["type"] == "eof":
            raise ExpressionInvalid("the expression ends too early", offset=token["start"])
        shown = str(token["value"])
        hint = _HINTS["-"] if token["type"] == "number" and shown.startswith("-") else _HINTS.get(shown, "")
        raise ExpressionInvalid(f"{shown!r} cannot stand here", offset=token["start"], hint=hint)

    def _expression(self, binding_power: int = 0) -> Node:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise too_deep(self._lookahead_token(0)["start"])
        tree: Node = super()._expression(binding_power)
        self._depth -= 1
        return tree

    def _token_nud_number(self, token: Token) -> Node:
        return self._token_nud_literal(token)

    def _token_nud_literal(self, token: Token) -> Node:
        return {**jmespath.ast.literal(token["value"]), "at": token["start"]}

    def _token_nud_root(self, token: Token) -> Node:
        return {"type": "root", "children": [], "at": token["start"]}

    def _token_nud_current(self, token: Token) -> Node:
        return {**jmespath.ast.current_node(), "at": token["start"]}

    def _token_nud_expref(self, token: Token) -> Node:
        return {**super()._token_nud_expref(token), "at": token["start"]}

    def _token_nud_unquoted_identifier(self, token: Token) -> Node:
        name = token["value"]
        if name in _WORDS and self._index - 1 not in self._fields and self._current_token() != "lparen":
            return self._token_nud_literal({**token, "value": _WORDS[name]})
        return {**jmespath.ast.field(name), "at": token["start"]}

    def _token_nud_quoted_identifier(self, token: Token) -> Node:
        return {**super()._token_nud_quoted_identifier(token), "at": token["start"]}

    def _parse_dot_rhs(self, binding_power: int) -> Node:
        self._fields.add(self._index)
        tree: Node = super()._parse_dot_rhs(binding_power)
        return tree

    # -- brackets
    # ----------------------------------------------------------------------------------------------

    def _parse_projection_rhs(self, binding_power: int) -> Node:
        self._indices.add(self._index)
        tree: Node = super()._parse_projection_rhs(binding_power)
        return tree

    def _token_led_pipe(self, left: Node) -> Node:
        self._indices.add(self._index)
        tree: Node = super()._token_led_pipe(left)
        return tree

    def _token_nud_lbracket(self, token: Token) -> Node:
        current = self._current_token()
        if current == "colon" or (current == "number" and self._lookahead(1) in ("rbracket", "colon")):
            if self._index - 1 not in self._indices:
                raise _bare_index(token["start"])
        elif current == "number":
            return self._parse_multi_select_list()
        tree: Node = super()._token_nud_lbracket(token)
        return tree

    def _parse_multi_select_list(self) -> Node:
        if self._current_token() == "number" and self._lookahead(1) == "rbracket":
            raise _bare_index(self._lookahead_token(0)["start"] - 1)
        tree: Node = super()._parse_multi_select_list()
        return tree

    def _token_led_lbracket(self, left: Node) -> Node:
        if self._current_token() not in ("number", "colon"):
            tree: Node = super()._token_led_lbracket(left)
            return tree
        right = self._parse_index_expression()
        if right["type"] == "index" and left["type"] == "index_expression":
            left["children"].append(right)
            return left
        # The library forgets the projection of a slice that follows an index: `rows[0][:2].id`.
        return self._project_if_slice(left, right)  # type: ignore[no-any-return]  # the library has no types

    def _parse_index_expression(self) -> Node:
        first = self._lookahead_token(0)
        tree: Node = super()._parse_index_expression()
        bounds = [tree["value"]] if tree["type"] == "index" else [b for b in tree["children"] if b is not None]
        if not all(isinstance(bound, int) for bound in bounds):
            raise ExpressionInvalid("an index must be a whole number", offset=first["start"])
        if tree["type"] == "slice" and tree["children"][2] == 0:
            raise ExpressionInvalid("the step of a slice cannot be 0", offset=first["start"], code="value")
        return tree

    def _parse_multi_select_hash(self) -> Node:
        pairs: dict[str, Node] = {}
        while True:
            key = self._lookahead_token(0)
            self._match_multiple_tokens(["quoted_identifier", "unquoted_identifier"])
            self._match("colon")
            if key["value"] in pairs:
                raise ExpressionInvalid(f"the key {key['value']} is said twice", offset=key["start"])
            pairs[key["value"]] = jmespath.ast.key_val_pair(key["value"], self._expression())
            if self._current_token() == "rbrace":
                break
            self._match("comma")
        self._match("rbrace")
        return jmespath.ast.multi_select_dict(list(pairs.values()))  # type: ignore[no-any-return]  # untyped library

    # -- calls, filters, comparisons
    # -----------------------------------------------------------------------------

    def _token_led_lparen(self, left: Node) -> Node:
        name = self._lookahead_token(-2)
        if name["type"] != "unquoted_identifier" or left["type"] != "field":
            self._refuse(self._lookahead_token(-1))
        arguments: list[Node] = []
        while self._current_token() != "rparen" or arguments:
            arguments.append(self._expression())
            if self._current_token() != "comma":
                break
            self._match("comma")
        self._match("rparen")
        return {**jmespath.ast.function_expression(name["value"], arguments), "at": name["start"]}

    def _token_led_filter(self, left: Node) -> Node:
        self._filters += 1
        condition = self._expression()
        self._filters -= 1
        self._match("rbracket")
        flat = self._current_token() == "flatten"
        right = jmespath.ast.identity() if flat else self._parse_projection_rhs(self.BINDING_POWER["filter"])
        return jmespath.ast.filter_projection(left, right, condition)  # type: ignore[no-any-return]  # untyped library

    def _parse_comparator(self, left: Node, comparator: str) -> Node:
        tree = super()._parse_comparator(left, comparator)
        return {**tree, "strict": self._filters == 0}


def _bare_index(offset: int) -> ExpressionInvalid:
    return ExpressionInvalid(
        "an index or slice stands here without a list to its left, which is always null",
        offset=offset,
        hint="write a literal list in backticks, `[5]`, or name the list: @[5]",
        code="bare-index",
    )


def too_deep(offset: int) -> ExpressionInvalid:
    """The error for a text whose parts are nested deeper than the evaluation may go."""
    return ExpressionInvalid(
        f"the expression is nested deeper than {MAX_NESTING} levels",
        offset=offset,
        hint="split it over several `set` steps",
        code="too-deep",
    )


class Interpreter(jmespath.visitor.TreeInterpreter):  # type: ignore[misc]  # the library has no types
    """Evaluates one tree once, over `root`; `$` is that root wherever it stands."""

    def __init__(self, root: Json) -> None:
        # Without super().__init__(): it builds a function table that is never asked, for each evaluation.
        self._dict_cls = dict
        self._root = root
        self.budget = Budget()

    def visit(self, node: Node, value: Json) -> Json:
        """Evaluates `node` with `value` as the current node. Raises ExpressionFailed among others."""
        self.budget.left -= 1
        if self.budget.left < 0:
            self.budget.spend(0)
        return _VISITS[node["type"]](self, node, value)

    def visit_root(self, _node: Node, _value: Json) -> Json:
        return self._root

    def visit_comparator(self, node: Node, value: Json) -> Json:
        left, right = (self.visit(child, value) for child in node["children"])
        if node["value"] == "eq":
            return equal(left, right, self.budget)
        if node["value"] == "ne":
            return not equal(left, right, self.budget)
        if isinstance(left, str):
            self.budget.compare(left)
        return order(node, left, right)

    def visit_not_expression(self, node: Node, value: Json) -> Json:
        return falsy(self.visit(node["children"][0], value))

    def visit_flatten(self, node: Node, value: Json) -> Json:
        merged = super().visit_flatten(node, value)
        if merged is not None:
            self.budget.handle(merged)
        return merged

    def visit_slice(self, node: Node, value: Json) -> Json:
        if isinstance(value, list):
            self.budget.handle(value)
        return super().visit_slice(node, value)

    def visit_function_expression(self, node: Node, value: Json) -> Json:
        function, children = FUNCTIONS[node["value"]], node["children"]
        if function.lazy:
            return function.body(self.budget, *(self._later(child, value) for child in children))
        arguments = [
            self._each(child["children"][0]) if child["type"] == "expref" else self.visit(child, value)
            for child in children
        ]
        return function(self.budget, arguments)

    def _each(self, node: Node) -> Callable[[Json], Json]:
        return lambda item: self.visit(node, item)

    def _later(self, node: Node, value: Json) -> Callable[[], Json]:
        return lambda: self.visit(node, value)

    def _is_false(self, value: Json) -> bool:
        return falsy(value)


def order(node: Node, left: Json, right: Json) -> bool | None:
    """`< <= > >=` of two numbers or two texts; else null in a filter and ExpressionFailed elsewhere."""
    if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return bool(Interpreter.COMPARATOR_FUNC[node["value"]](left, right))
    if not node["strict"]:
        return None
    raise ExpressionFailed(
        f"{_SIGNS[node['value']]} compares two numbers or two texts, not {kind_of(left)} and {kind_of(right)}"
    )


_SIGNS: Final[Mapping[str, str]] = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}

#: Looked up once, not per visit: an interpreter lives for one evaluation.
_VISITS: Final[Mapping[str, Callable[..., Json]]] = {
    name.removeprefix("visit_"): getattr(Interpreter, name) for name in dir(Interpreter) if name.startswith("visit_")
}
