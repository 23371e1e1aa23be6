"""The strict dialect: what it reads, what it refuses at load, what fails at run time."""

from typing import Any

import jmespath
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.base.values import Json
from runner.saga.expression import (
    ExpressionFailed,
    ExpressionInvalid,
    Names,
    compile_expression,
    falsy,
)
from tests.runner.saga.scopes import PlainScope

#: How fast this machine is today says nothing about the code.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ROOTS = frozenset({"input", "event", "saga", "steps", "vars"})
NAMES = Names(roots=ROOTS, steps={"reserve": "", "ship": "key", "pack": "pack runs in a sibling branch"})
DOCUMENT: dict[str, Json] = {
    "input": {
        "n": 2,
        "zero": 0,
        "text": "b",
        "flag": False,
        "list": [3, 1, 2],
        "true": "field",
        "sku": "A",
        "items": [{"id": "a", "qty": 2, "sku": "A"}, {"id": "b", "qty": None, "input": 7, "sku": "B"}],
    },
    "steps": {"reserve": {"output": {"id": 7}, "status": "completed"}, "ship": {"key": "k1"}},
    "vars": {"channel": "web", "rates": {"EUR": 1.5}},
    "event": {"id": "e1", "headers": {"accept": "x"}, "roles": ["buyer"]},
    "saga": {"id": "s"},
}


def run(text: str, names: Names | None = None, **more: Json) -> Json:
    return compile_expression(text, names)(PlainScope({**DOCUMENT, **more}))


def refused(text: str, names: Names | None = NAMES) -> ExpressionInvalid:
    with pytest.raises(ExpressionInvalid) as caught:
        compile_expression(text, names)
    assert 0 <= caught.value.offset <= len(text)
    return caught.value


def failure(text: str, **more: Json) -> str:
    with pytest.raises(ExpressionFailed) as caught:
        run(text, **more)
    assert text.strip()[:50] in caught.value.detail
    return caught.value.detail


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("'it\\'s'", "it's"),
        ("`[1, 2]`", [1, 2]),
        ("[1, 2]", [1, 2]),
        ("{a: 1, b: input.n}", {"a": 1, "b": 2}),
        ("input.true", "field"),
        ("input.list[0]", 3),
        ("input.list[-1]", 2),
        ("input.list | [1]", 1),
        ("input.items[*].id", ["a", "b"]),
        ("input.items[?qty > 1].id", ["a"]),
        ("input.items[?qty < 'x']", []),
        ("input.items[?sku == $.input.sku].id", ["a"]),
        ("input.items[?@.input == 7].id", ["b"]),
        ("input.items[*].[id, $.saga.id]", [["a", "s"], ["b", "s"]]),
        ("map(&@.qty, input.items)", [2, None]),
        ("!input.flag", True),
        ("!input.list[0]", False),
        ("!input.flag && input.n == 2", True),
        ("!input.n == 2", False),
        ("input.n == 2", True),
        ("input.n == 2.0", True),
        ("input.flag == 0", False),
        ("input.zero || 1", 0),
        ("input.flag || 'no'", "no"),
        ("input.missing.deeper", None),
        ("input.text.deeper", None),
        ("input.n < 3", True),
        ("input.n >= 2.5", False),
        ("'a' < input.text", True),
        ("steps.reserve.output.id", 7),
        ("steps.ship.key", "k1"),
        ("$.input.n", 2),
        ("event.roles[0]", "buyer"),
        ("vars.rates.EUR", 1.5),
        ("`true` == `1`", False),
        ("`[true]` == `[1]`", False),
        ('`{"a": 1, "b": 2}` == `{"b": 2.0, "a": 1}`', True),
        ("cond(input.flag, div(1, 0), 'safe')", "safe"),
        ("cond(input.n, 'safe', div(1, 0))", "safe"),
        ("input.list[:2]", [3, 1]),
        ("`[[[1, 2], 3]]`[0][:1][0]", [1]),
    ],
)
def test_an_expression_gives_its_value(text: str, value: Json) -> None:
    found = run(text)
    assert found == value
    assert type(found) is type(value)


def test_a_whole_step_and_all_steps_read_as_objects() -> None:
    assert run("steps.reserve") == DOCUMENT["steps"]["reserve"]
    assert run("keys(steps)") == ["reserve", "ship"]
    assert run("steps.reserve.[output.id, status]") == [7, "completed"]
    assert sorted(run("keys(@)")) == sorted(DOCUMENT)


@pytest.mark.parametrize("text", ["steps", "keys(steps)", "steps.*.output", "keys(@)"])
def test_all_steps_as_one_are_refused_because_what_runs_side_by_side_would_decide_what_they_are(text: str) -> None:
    with pytest.raises(ExpressionInvalid, match="steps cannot be read as a whole"):
        compile_expression(text, NAMES)


@pytest.mark.parametrize("value", [None, False, "", [], {}])
def test_null_false_and_the_empty_are_falsy(value: Json) -> None:
    assert falsy(value)
    assert run("!input.x", input={"x": value}) is True


@pytest.mark.parametrize("value", [0, 0.0, True, " ", [None], {"a": None}])
def test_zero_and_everything_else_is_true(value: Json) -> None:
    assert not falsy(value)
    assert run("!input.x", input={"x": value}) is False


@pytest.mark.parametrize(
    ("text", "code", "offset", "hint"),
    [
        ("inptu.a", "unknown-name", 0, "did you mean input?"),
        ("steps.resreve.output", "unknown-step", 6, "did you mean reserve?"),
        ("steps.reserve.outptu", "unknown-name", 14, "did you mean output?"),
        ("saga.runid", "unknown-name", 5, "did you mean runId?"),
        ("event.hedaers", "unknown-name", 6, "did you mean headers?"),
        ("error.kind", "unknown-name", 0, "known here"),
        ("steps.ship.output", "unknown-step", 11, "write steps.ship.key"),
        ("steps.ship", "unknown-step", 0, "write steps.ship.key"),
        ("steps.pack.output", "unknown-step", 6, ""),
        ("lenght(input)", "unknown-function", 0, "did you mean length?"),
        ("add(1)", "arity", 0, "add(a: number, b: number...) -> number"),
        ("round(1, 2, 3)", "arity", 0, "round("),
        ("cond(1, 2)", "arity", 0, "cond("),
        ("upper(5)", "type", 6, "upper(text: string) -> string"),
        ("map(input.list, input.list)", "type", 0, "map("),
        ("upper(&id)", "type", 6, "upper("),
        ("matches(input.text, '(')", "value", 20, "matches("),
        ("date_add(saga.startedAt, '4 hours')", "value", 25, "date_add("),
        ("date_format(saga.startedAt, 'yyyy', 'Mars/Crater')", "value", 36, "date_format("),
        ("round(input.n, 99)", "value", 15, "round("),
        ("input.items[?sku == input.sku]", "context-in-projection", 20, "write $.input"),
        ("input.items[*].{a: input.n}", "context-in-projection", 19, "@.input"),
        ("input.{a: steps.reserve.output}", "context-in-projection", 10, "$.steps"),
        ("input.items | [vars.channel]", "context-in-projection", 15, "$.vars"),
        ("input.items | input", "context-in-projection", 14, "$.input"),
        ("map(&input.n, input.items)", "context-in-projection", 5, "$.input"),
        ("input.items[*].length(input)", "context-in-projection", 22, "$.input"),
        ("[5]", "bare-index", 0, "`[5]`"),
        ("input.n == [5]", "bare-index", 11, "`[5]`"),
        ("contains([5], input.n)", "bare-index", 9, "`[5]`"),
        ("input.items.[0]", "bare-index", 12, "`[5]`"),
        ("input.n == ${ 2 }", "syntax", 12, "never inside"),
        ("input.a = 1", "syntax", 8, "=="),
        ("input.a + 1", "syntax", 8, "add(a, b)"),
        ("input.a - 1", "syntax", 8, "sub(a, b)"),
        ("input.a -1", "syntax", 8, "sub(a, b)"),
        ("input.a * 2", "syntax", 8, "mul(a, b)"),
        ("input.a and input.b", "syntax", 8, "&&"),
        ("input.a ? 1 : 2", "syntax", 8, "cond("),
        ("input.'a", "syntax", 6, "close"),
        ("`nope`", "syntax", 0, "'...'"),
        ("`NaN`", "syntax", 0, ""),
        ('"\\ud800"', "syntax", 0, ""),
        ("input.", "syntax", 6, ""),
        ("(input.a", "syntax", 8, ""),
        ("add(1 2)", "syntax", 6, ""),
        ("add(1, 2,)", "syntax", 9, ""),
        ("{a: 1 b: 2}", "syntax", 6, ""),
        ("{a: 1, a: 2}", "syntax", 7, ""),
        ("[&input.n]", "syntax", 1, ""),
        ("(add)(1, 2)", "syntax", 5, ""),
        ("input.list[1.5]", "syntax", 11, ""),
        ("input.list[::0]", "value", 11, ""),
        ("", "syntax", 0, ""),
        ("  ", "syntax", 0, ""),
    ],
)
def test_a_slip_is_refused_at_load(text: str, code: str, offset: int, hint: str) -> None:
    error = refused(text)
    assert (error.code, error.offset) == (code, offset), error.message
    assert hint in error.hint


def test_of_a_later_step_the_key_may_be_read_in_any_form() -> None:
    assert run("steps.ship.{id: key}", NAMES) == {"id": "k1"}
    assert run("steps | ship.key", NAMES) == "k1"


def test_a_step_that_may_not_be_named_is_refused_with_the_given_reason() -> None:
    assert refused("steps.pack.key").message == "pack runs in a sibling branch"


def test_names_of_a_place_may_stand_there_and_are_context_names_there_only() -> None:
    names = Names(roots=ROOTS | {"line", "index"}, steps=None)
    assert run("line.qty", names, line={"qty": 4}) == 4
    assert run("input.items[?error == null].id", names) == ["a", "b"]
    assert refused("input.items[?index == 1]", names).code == "context-in-projection"


def test_unchecked_names_pass() -> None:
    assert run("anything.at.all") is None
    assert compile_expression("steps.nobody.output", Names(roots=ROOTS)).reads.steps == {("nobody", "output")}


def test_a_text_over_4_kib_is_refused_and_one_of_4_kib_is_read() -> None:
    assert run("'" + "x" * 4094 + "'") == "x" * 4094
    assert refused("'" + "x" * 4095 + "'").code == "too-long"
    assert refused("'" + "\u20ac" * 1400 + "'").code == "too-long"


@pytest.mark.parametrize("text", ["(" * 2000 + "1" + ")" * 2000, "||".join(["input"] * 500), "!" * 2000 + "input"])
def test_deep_nesting_is_refused_at_load(text: str) -> None:
    assert refused(text).code == "too-deep"


def test_a_long_path_is_not_deep() -> None:
    assert run("input" + ".a" * 500) is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("input.missing < 1", "two numbers or two texts, not null and a number"),
        ("input.n < 'a'", "a number and text"),
        ("input.flag < 1", "a boolean"),
        ("length(input.list) > input.text", "a number and text"),
        ("upper(input.n)", "upper() takes string as `text`, not a number"),
        ("sum(input.items)", "list<number> as `values`, not a list of an object"),
        ('sort(`[1, "a"]`[::1])', "a number and text"),
        ("sort_by(input.items, &qty)", "all numbers or all text"),
        ("div(input.n, 0)", "divides by zero"),
        ("mod(input.n, 0)", "divides by zero"),
        ("from_json(input.text)", "not JSON"),
        ("date_add(input.text, '1d')", "is not a time"),
        ("matches(input.text, concat('(', input.text))", "pattern"),
        ("range(0, 1000000)", "at most 100,000"),
        ("concat('a', input.missing)", "concat() takes string|number|boolean as `part`, not null"),
    ],
)
def test_an_error_is_a_sentence_that_names_the_expression(text: str, part: str) -> None:
    assert part in failure(text)


def test_nested_maps_over_a_large_list_end_with_an_error() -> None:
    rows = list(range(300))
    assert "evaluation steps" in failure(
        "map(&map(&map(&@, $.input.rows), $.input.rows), input.rows)", input={"rows": rows}
    )


@pytest.mark.parametrize(
    "text",
    [
        "map(&replace($.input.big, 'x', 'yy'), input.rows)",
        "map(&sort($.input.rows), input.rows)",
        "map(&sort([$.input.big, concat($.input.big, 'a')]), input.rows)",
        "input.rows[?$.input.big < $.input.alike]",
        "input.rows[?$.input.big == $.input.alike]",
        "input.rows[?$.input.big == concat($.input.big, '!')]",
        "input.rows[?$.input.rows == $.input.same]",
        "input.rows[?contains($.input.big, 'y')]",
        "[input.rows, input.rows][]" + " | [@, @][]" * 7,
    ],
)
def test_work_hidden_in_a_function_is_counted(text: str) -> None:
    rows = list(range(20_000))
    assert "evaluation steps" in failure(
        text, input={"rows": rows, "same": list(rows), "big": "x" * 400_000, "alike": "x" * 400_000}
    )


@pytest.mark.parametrize(
    "text", ["input.a == input.b", "to_json(input.a)", "unique([input.a])", "deep_merge(input.a, input.b)"]
)
def test_data_nested_too_deeply_is_an_expression_error(text: str) -> None:
    def nested() -> Json:
        value: Json = {}
        for _ in range(5_000):
            value = {"a": value}
        return value

    assert "nested" in failure(text, input={"a": nested(), "b": nested()}) or "levels" in failure(
        text, input={"a": nested(), "b": nested()}
    )


def test_a_result_over_1_mib_is_an_error_however_it_was_built() -> None:
    big = "x" * 400_000
    assert "1 MiB" in failure("concat(input.big, input.big, input.big)", input={"big": big})
    assert "1 MiB" in failure("[input.big, input.big, input.big]", input={"big": big})
    doubled = "[input.big, input.big]" + " | [@, @]" * 30
    assert "1 MiB" in failure(doubled, input={"big": "x" * 100})


def test_what_is_read_is_known() -> None:
    reads = compile_expression(
        "steps.reserve.output.id == input.n && vars.channel && event.headers.accept && steps.ship.key && $.saga.id",
        NAMES,
    ).reads
    assert reads.roots == ROOTS
    assert reads.steps == {("reserve", "output"), ("ship", "key")}
    assert reads.paths == {"vars.channel", "event.headers", "saga.id"}


@pytest.mark.parametrize(
    ("text", "paths", "steps"),
    [
        ("event", {"event"}, set()),
        ("length(event.roles[:1])", {"event.roles"}, set()),
        ("event.roles[:1]", {"event.roles"}, set()),
        ("input.items[?sku == $.vars.channel]", {"vars.channel"}, set()),
        ("event | headers", {"event.headers"}, set()),
        ("event.{a: headers.accept, b: id}", {"event.headers", "event.id"}, set()),
        ("event.{a: 'x'}", {"event"}, set()),
        ("steps.ship.[key]", set(), {("ship", "key")}),
        ("steps.reserve", set(), {("reserve", "*")}),
        ("steps.*.output", set(), {("*", "*")}),
        ("steps.reserve.output.lines[*].id", set(), {("reserve", "output")}),
    ],
)
def test_reads_follow_pipes_slices_and_projections(text: str, paths: set[str], steps: set[tuple[str, str]]) -> None:
    reads = compile_expression(text).reads
    assert (reads.paths, reads.steps) == (paths, steps)


def test_the_scope_is_asked_only_for_what_is_read() -> None:
    scope = PlainScope(DOCUMENT)
    compile_expression("add(input.n, length(steps.ship.key))", NAMES)(scope)
    assert sorted(set(scope.asked)) == ["input", "steps.ship"]


def test_a_result_is_the_scopes_own_part_not_a_copy() -> None:
    assert run("input.items") is DOCUMENT["input"]["items"]


_NAME = st.sampled_from(["a", "b", "input", "c"])
_DATA: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAME, inner, max_size=3),
    max_leaves=12,
)
_OPERAND = st.lists(_NAME, min_size=1, max_size=4).map(".".join)


@UNTIMED
@given(path=_OPERAND, data=st.dictionaries(_NAME, _DATA, max_size=4))
def test_a_dotted_path_reads_what_the_library_reads(path: str, data: dict[str, Json]) -> None:
    assert compile_expression(path)(PlainScope(data)) == jmespath.search(path, data)


@UNTIMED
@given(
    left=_OPERAND,
    right=_OPERAND | st.sampled_from(["1", "'a'", "null", "true", "0"]),
    sign=st.sampled_from(["==", "!=", "<", ">=", "&&", "||"]),
    negated=st.booleans(),
    data=st.dictionaries(_NAME, _DATA, max_size=4),
)
def test_a_closure_answers_as_the_interpreter(
    left: str, right: str, sign: str, negated: bool, data: dict[str, Json]
) -> None:
    expression = compile_expression(f"{'!' if negated else ''}{left} {sign} {right}")

    def outcome(call: Any, argument: Any) -> tuple[str, Json]:
        try:
            return "value", repr(call(argument))
        except ExpressionFailed as error:
            return "failed", error.detail

    assert outcome(expression, PlainScope(data)) == outcome(expression.search, data)


_WORDS = st.sampled_from(
    [
        "input",
        "steps",
        "a",
        ".",
        "[",
        "]",
        "[]",
        "[?",
        "[*]",
        "{",
        "}",
        "(",
        ")",
        ",",
        ":",
        "|",
        "||",
        "&&",
        "&",
        "!",
        "==",
        "<",
        ">=",
        "@",
        "$",
        "*",
        "0",
        "1.5",
        "-1",
        "'x'",
        "`[1]`",
        "`{}`",
        "true",
        "null",
        "add(",
        "map(",
        "sort_by(",
        "length(",
        "cond(",
        "get(",
        "split(",
        "group_by(",
        "range(",
        "to_json(",
        "date_add(",
    ]
)


def attempt(text: str, data: dict[str, Json]) -> str:
    """'' for a value, else the error's sentence; any other exception is a failure of the test."""
    try:
        compile_expression(text)(PlainScope(data))
    except ExpressionInvalid as error:
        return error.message if 0 <= error.offset <= len(text) else f"offset {error.offset} outside the text"
    except ExpressionFailed as error:
        return error.detail
    return ""


@UNTIMED
@given(words=st.lists(_WORDS, max_size=14), data=st.dictionaries(_NAME, _DATA, max_size=4))
def test_any_words_over_any_data_give_a_value_or_one_of_the_two_errors(words: list[str], data: dict[str, Json]) -> None:
    error = attempt(" ".join(words), data)
    assert "outside the text" not in error
    assert "cannot be evaluated" not in error, "an error that no function foresaw"


@UNTIMED
@given(text=st.text(max_size=30))
def test_any_text_at_all_is_read_or_refused(text: str) -> None:
    assert "outside the text" not in attempt(text, {})


def test_the_deepest_expression_that_is_read_can_also_be_evaluated() -> None:
    depth = 31
    nested: Json = 1
    for _ in range(depth):
        nested = [nested]
    assert run("input | " + "map(&" * depth + "@" + ", @)" * depth, input=nested) == nested
    assert refused("map(&" * (depth + 2) + "@" + ", @)" * (depth + 2)).code == "too-deep"
