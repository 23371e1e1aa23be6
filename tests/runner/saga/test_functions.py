"""The functions of the expression language: values, edges, and the promise that arithmetic is decimal."""

import inspect
import json
from decimal import ROUND_HALF_UP, Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.base.values import Json
from runner.saga.evaluation import Budget, ExpressionFailed
from runner.saga.expression import ExpressionInvalid, compile_expression
from runner.saga.function import declare, table
from runner.saga.functions import FUNCTIONS

#: How fast this machine is today says nothing about the code.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(text: str, document: Json = None) -> Json:
    return compile_expression(text).search(document or {})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("add(0.1, 0.2)", 0.3),
        ("add(1, 2, 3)", 6),
        ("sub(0.3, 0.1)", 0.2),
        ("mul(2.5, 2)", 5),
        ("mul(1.1, 1.1)", 1.21),
        ("mul(19.99, 3)", 59.97),
        ("div(10, 4)", 2.5),
        ("div(10, 5)", 2),
        ("div(1, 3)", 0.3333333333333333),
        ("div(0.3, 0.1)", 3),
        ("mod(7, 3)", 1),
        ("mod(-7, 3)", -1),
        ("mod(7, -3)", 1),
        ("mod(5.5, 2)", 1.5),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ("round(1.005, 2)", 1.01),
        ("round(2.675, 2)", 2.68),
        ("round(1250, -2)", 1300),
        ("round(7)", 7),
        ("round(1e300, 2)", 1e300),
        ("sum([0.1, 0.2, 0.3])", 0.6),
        ("sum(`[]`)", 0),
        ("avg([0.1, 0.2])", 0.15),
        ("avg([1, 2])", 1.5),
        ("avg(`[]`)", None),
        ("abs(-1.5)", 1.5),
        ("floor(-1.5)", -2),
        ("ceil(1.2)", 2),
        ("floor(7)", 7),
        ("floor(1e300)", 1e300),
        ("add(9007199254740993, 1)", 9007199254740994),
        ("mul(9007199254740993, 1000)", 9007199254740993000),
        ("div(9007199254740993, 1)", 9007199254740993),
        ("add(-0.0, 0)", 0),
        ("to_number('12')", 12),
        ("to_number('-1.50')", -1.5),
        ("to_number('1e2')", 100.0),
        ("to_number('nan')", None),
        ("to_number('1_000')", None),
        ("to_number(' 1')", None),
        ("to_number('1e9999')", None),
        ("to_number(true)", None),
        ("to_number(3)", 3),
        ("to_number('')", None),
    ],
)
def test_numbers(text: str, value: Json) -> None:
    found = run(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("concat('a', 1, 1.5, true)", "a11.5true"),
        ("split('a,b,,c', ',')", ["a", "b", "", "c"]),
        ("split('', ',')", [""]),
        ("split('ab', '')", ["a", "b"]),
        ("replace('a.b.c', '.', '')", "abc"),
        ("lower('ÄB')", "äb"),
        ("upper('äb')", "ÄB"),
        ("trim('  a b\n')", "a b"),
        ("substr('abcdef', 2)", "cdef"),
        ("substr('abcdef', 1, 2)", "bc"),
        ("substr('abcdef', -2)", "ef"),
        ("substr('abc', -9, 2)", "ab"),
        ("substr('abc', 9)", ""),
        ("substr('a€c', 1, 1)", "€"),
        ("matches('order-17', '[0-9]+')", True),
        ("matches('order-17', '^[0-9]+$')", False),
        ("matches('Ä', '^\\pL$')", True),
        ("to_json({b: 1, a: [true, null, 1.0]})", '{"a":[true,null,1.0],"b":1}'),
        ("to_json('é')", '"é"'),
        ("from_json('{\"a\": [1, 2.5]}')", {"a": [1, 2.5]}),
        ("base64('hé')", "aMOp"),
        ("from_base64('aMOp')", "hé"),
        ("url_encode('a b/ü~-._')", "a%20b%2F%C3%BC~-._"),
        ("to_string(1.50)", "1.5"),
        ("to_string('a')", "a"),
        ("to_string({b: 1, a: 2})", '{"b":1,"a":2}'),
        ("join('-', ['a', 'b'])", "a-b"),
        ("reverse('abc')", "cba"),
        ("sha256('abc')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("length('a€')", 2),
        ("contains('abc', 'b')", True),
        ("contains('abc', `1`)", False),
        ("starts_with('abc', 'ab')", True),
        ("ends_with('abc', 'ab')", False),
    ],
)
def test_text(text: str, value: Json) -> None:
    assert run(text) == value


ROWS = [{"k": "a", "n": 1}, {"k": "b", "n": 2}, {"k": "a", "n": 3}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            'unique(`[1, 1.0, true, "1", [1], [1.0], {"a": 1, "b": 2}, {"b": 2, "a": 1}]`)',
            [1, True, "1", [1], {"a": 1, "b": 2}],
        ),
        ("group_by(rows, &k)", {"a": [ROWS[0], ROWS[2]], "b": [ROWS[1]]}),
        ("index_by(rows, &k)", {"a": ROWS[2], "b": ROWS[1]}),
        ("keys(group_by(rows, &n))", ["1", "2", "3"]),
        ("chunk([1, 2, 3], 2)", [[1, 2], [3]]),
        ("chunk(`[]`, 2)", []),
        ("range(3)", [0, 1, 2]),
        ("range(1, 4)", [1, 2, 3]),
        ("range(4, 0, -2)", [4, 2]),
        ("range(4, 0)", []),
        ("get(rows[0], 'n')", 1),
        ("get(rows[0], 'x')", None),
        ("get(rows[0], 'x', 'd')", "d"),
        ("get(rows, -1).n", 3),
        ("get(rows, 9, 0)", 0),
        ("get(nothing, 'a', 1)", 1),
        ("items(rows[0])", [["k", "a"], ["n", 1]]),
        ("from_items([['a', 1], ['b', null]])", {"a": 1, "b": None}),
        ("from_items(items(rows[0]))", ROWS[0]),
        (
            'deep_merge(`{"a": {"b": 1, "c": [1]}}`, `{"a": {"c": [2], "d": 3}}`)',
            {"a": {"b": 1, "c": [2], "d": 3}},
        ),
        ("omit(rows[0], 'n')", {"k": "a"}),
        ("omit(rows[0], ['n', 'k'])", {}),
        ("pick(rows[0], 'n', 'zz')", {"n": 1}),
        ("merge(rows[0], {n: 9})", {"k": "a", "n": 9}),
        ("sort_by(rows, &n)[-1].n", 3),
        ("max_by(rows, &n).n", 3),
        ("min_by(rows, &n).n", 1),
        ("max_by(`[]`, &n)", None),
        ("map(&n, rows)", [1, 2, 3]),
        ("not_null(nothing, 1)", 1),
        ("contains([1, 2], `1.0`)", True),
        ("contains([1, 2], `true`)", False),
        ("to_array(1)", [1]),
        ("type(1)", "number"),
        ("type(true)", "boolean"),
        ("max(['a', 'b'])", "b"),
        ("min(`[]`)", None),
        ("reverse([1, 2])", [2, 1]),
        ("cond(rows, 1, 2)", 1),
        ("cond(nothing, 1, 2)", 2),
        ("sort([3, 1.5])", [1.5, 3]),
        ("values({a: 1})", [1]),
    ],
)
def test_lists_and_objects(text: str, value: Json) -> None:
    assert json.dumps(run(text, {"rows": ROWS}), sort_keys=True) == json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("date_add('2026-05-01T10:00:00Z', '4h')", "2026-05-01T14:00:00Z"),
        ("date_add('2026-05-01T10:00:00+02:00', '250ms')", "2026-05-01T10:00:00.250+02:00"),
        ("date_add('2026-03-01', '-1d')", "2026-02-28T00:00:00Z"),
        ("date_add('2026-05-01T10:00', '5m')", "2026-05-01T10:05:00Z"),
        ("date_add('2026-05-01T10:00:00.123456789Z', '30s')", "2026-05-01T10:00:30.123456Z"),
        ("date_format('2026-05-01T10:00:00Z', 'yyyy-MM-dd')", "2026-05-01"),
        (
            "date_format('2026-05-01T23:30:00Z', 'yyyy-MM-dd HH:mm xxx', 'Europe/Berlin')",
            "2026-05-02 01:30 +02:00",
        ),
        ("date_format('2026-01-09T03:04:05.006Z', \"d.M.yy h:m:s.SSS a EEE EEEE MMM MMMM DDD\")", None),
        ("date_format('2026-05-01', 'yyyyMMdd')", "20260501"),
        ("date_format('2026-05-01T12:00Z', 'hh a')", "12 PM"),
        ("date_diff('2026-05-03', '2026-05-01', 'days')", 2),
        ("date_diff('2026-05-01', '2026-05-02T12:00Z', 'days')", -1.5),
        ("date_diff('2026-05-01T10:00+02:00', '2026-05-01T08:00Z', 'seconds')", 0),
        ("date_diff('2026-05-01T00:00:01.5Z', '2026-05-01', 'milliseconds')", 1500),
        ("date_diff('2026-05-01T01:00Z', '2026-05-01', 'minutes')", 60),
    ],
)
def test_times(text: str, value: Json) -> None:
    if value is None:
        text = text.replace('"', "'")
        value = "9.1.26 3:4:5.006 AM Fri Friday Jan January 009"
    assert run(text) == value


def test_a_date_pattern_may_hold_quoted_text() -> None:
    pattern = "yyyy'W'MM''dd"
    assert run("date_format(t, p)", {"t": "2026-05-01", "p": pattern}) == "2026W05'01"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("div(1, 0)", "divides by zero"),
        ("div(1.5, 0.0)", "divides by zero"),
        ("mod(1.5, 0)", "divides by zero"),
        ("mul(1e300, 1e300)", "larger than JSON"),
        ("mod(1e300, 0.001)", "too far apart"),
        (f"mul({10**40}, {10**40})", "64 digits"),
        ("round(n, 1.5)", "whole number of digits"),
        ("add(n, true)", "not a boolean"),
        ("sum(mixed)", "not a list of a number and text"),
        ("from_base64(bad)", "not base64"),
        ("from_json(bad)", "not JSON"),
        ("chunk(mixed, sub(n, n))", "at least 1"),
        ("range(0, 9, sub(n, n))", "cannot be 0"),
        ("range(0.5)", "whole number"),
        ("replace(bad, substr(bad, 9), '')", "empty"),
        ("get(n, 1)", "as `source`"),
        ("get(rows, 'a')", "index of a list"),
        ("from_items(mixed)", "pairs"),
        ("group_by(rows, &x)", "not null"),
        ("max_by(rows, &x)", "not null"),
        ("matches(bad, concat('(?=', bad))", "pattern"),
        ("date_add('2026-05-01', concat(bad))", "duration"),
        ("date_add('2026-13-01', '1d') && n", "time"),
        ("date_format('2026-05-01', concat('Q'))", "'Q'"),
        ("date_format('2026-05-01', 'd', concat('../etc'))", "time zone"),
        ("date_diff('2026-05-01', '2026-05-01', concat('months'))", "units"),
        ("date_add('9999-12-31', '7d')", "9999"),
        ("substr(bad, 0, -1)", "at least 0"),
        ("length(n)", "not a number"),
        ("keys(mixed)", "not a list"),
        ("join(',', mixed)", "list<string>"),
        ("sort(mixed)", "list<number>|list<string>"),
    ],
)
def test_what_a_function_refuses_is_a_sentence(text: str, part: str) -> None:
    with pytest.raises((ExpressionFailed, ExpressionInvalid)) as caught:
        run(text, {"n": 2, "mixed": [1, "a"], "bad": "!é", "rows": ROWS})
    assert part in str(caught.value)


def test_a_hostile_pattern_takes_linear_time_and_a_huge_one_is_refused() -> None:
    assert run("matches(t, '^(a+)+$')", {"t": "a" * 50_000 + "!"}) is False
    with pytest.raises(ExpressionInvalid) as caught:
        compile_expression("matches(t, '((x{1000}){1000}){1000}')")
    assert caught.value.code == "value"


def test_a_text_that_utf8_cannot_say_is_an_error() -> None:
    for text in ("sha256(t)", "url_encode(t)", "base64(t)", "matches(t, 'a')", "to_json(t)"):
        with pytest.raises(ExpressionFailed):
            run(text, {"t": "\ud800"})


def test_arguments_are_left_as_they_were() -> None:
    document: Json = {"a": {"x": {"y": 1}}, "b": {"x": {"z": 2}}, "l": [3, 1]}
    before = json.dumps(document)
    for text in (
        "deep_merge(a, b)",
        "merge(a, b)",
        "sort(l)",
        "reverse(l)",
        "omit(a, 'x')",
        "sort_by(l, &@)",
    ):
        run(text, document)
    assert json.dumps(document) == before


_NUMBERS = st.integers(-(10**9), 10**9) | st.decimals(-(10**6), 10**6, places=4).map(float)


def _decimal(number: float) -> Decimal:
    return Decimal(json.dumps(number))


@UNTIMED
@given(a=_NUMBERS, b=_NUMBERS)
def test_sums_and_products_are_those_of_the_written_decimals(a: float, b: float) -> None:
    document = {"a": a, "b": b}
    kind = int if isinstance(a, int) and isinstance(b, int) else float
    assert run("add(a, b)", document) == kind(_decimal(a) + _decimal(b))
    assert run("sub(a, b)", document) == kind(_decimal(a) - _decimal(b))
    assert run("mul(a, b)", document) == kind(_decimal(a) * _decimal(b))
    assert run("sum([a, b])", document) == run("add(a, b)", document)


@UNTIMED
@given(a=_NUMBERS, digits=st.integers(0, 6))
def test_rounding_is_half_up_of_the_written_decimal(a: float, digits: int) -> None:
    expected = _decimal(a).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    assert run("round(a, d)", {"a": a, "d": digits}) == float(expected)


@UNTIMED
@given(a=_NUMBERS, b=_NUMBERS, name=st.sampled_from(["add", "sub", "mul", "div", "mod"]))
def test_a_result_survives_json_with_its_type(a: float, b: float, name: str) -> None:
    try:
        found = run(f"{name}(a, b)", {"a": a, "b": b})
    except ExpressionFailed:
        assert b == 0
        return
    again = msgspec.json.decode(msgspec.json.encode(found))
    assert (again, type(again)) == (found, type(found))


def test_every_function_has_a_signature_that_its_body_fits_and_one_line_of_text() -> None:
    assert list(FUNCTIONS) == sorted(FUNCTIONS)
    for name, function in FUNCTIONS.items():
        assert function.signature.startswith(f"{name}("), name
        assert ") -> " in function.signature, name
        assert function.doc, name
        assert "\n" not in function.doc, name
        if any(p.repeated for p in function.parameters):
            continue
        given_names = inspect.signature(function.body).parameters.values()
        optional = sum(p.default is not inspect.Parameter.empty for p in given_names)
        assert len(given_names) - 1 == len(function.parameters), name
        assert optional == sum(p.optional for p in function.parameters), name


def test_the_functions_that_definitions_are_promised_are_all_there() -> None:
    promised = (
        "add sub mul div mod round sum avg concat split replace lower upper trim substr matches unique "
        "group_by index_by chunk range get items from_items deep_merge omit pick cond to_json from_json "
        "base64 from_base64 url_encode sha256 date_add date_format date_diff abs ceil contains ends_with "
        "floor join keys length map max max_by merge min min_by not_null reverse sort sort_by starts_with "
        "to_array to_number to_string type values"
    )
    assert sorted(promised.split()) == list(FUNCTIONS)


def test_a_signature_with_an_unknown_type_or_a_name_taken_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="money is no type"):
        declare("pay(sum: money) -> null", "Pays.", lambda _, value: value)
    same = declare("same(value: any) -> any", "The same.", lambda _, value: value)
    assert same(Budget(), [1]) == 1
    with pytest.raises(ValueError, match="declared twice"):
        table([same], [same])
