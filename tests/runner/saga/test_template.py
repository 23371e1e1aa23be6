"""Values with `${ }`: where an expression ends, what keeps its type, what may be put into a text."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.base.values import Json
from runner.saga.expression import ExpressionFailed, ExpressionInvalid, Names
from runner.saga.template import compile_bare, compile_template, compile_text
from tests.runner.saga.scopes import PlainScope

SCOPE = PlainScope(
    {
        "input": {
            "n": 2,
            "half": 1.5,
            "yes": True,
            "id": "a/b c",
            "none": None,
            "list": [1],
            "map": {"k": 1},
            "up": "..",
            "dot": ".",
            "empty": "",
            "big": "x" * 600_000,
        },
        "steps": {"a": {"key": "k-1", "output": {"id": 7}}},
    }
)
NAMES = Names(roots=frozenset({"input", "steps"}), steps={"a": ""})


def fill(value: Json) -> Json:
    return compile_template(value, NAMES)(SCOPE)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${ input.n }", 2),
        ("  ${input.list}\n", [1]),
        ("${ input.none }", None),
        ("${ input.yes }", True),
        ("n=${ input.n }", "n=2"),
        ("${ input.n }${ input.half }", "21.5"),
        ("${ input.yes }!", "true!"),
        ("${ 'a' } ${ 'b' }", "a b"),
        ("$${ input.n }", "${ input.n }"),
        ("$$${ input.n }", "$${ input.n }"),
        ("$${a} ${ input.n }", "${a} 2"),
        ("costs $5 {or} so $", "costs $5 {or} so $"),
        ("", ""),
        ("$", "$"),
        ("${ {a: {b: input.n}} }", {"a": {"b": 2}}),
        ("${ '}' }", "}"),
        ("${ '\\'}' }", "'}"),
        ('${ `"}"` }', "}"),
        ('${ {"}": input.n} }', {"}": 2}),
        ("${ concat('${', 'x}') }", "${x}"),
        ("${ steps.a.key }", "k-1"),
    ],
)
def test_a_text_is_filled(text: str, value: Json) -> None:
    found = fill(text)
    assert found == value
    assert type(found) is type(value)


def test_a_value_is_filled_at_every_depth_and_its_keys_are_left_alone() -> None:
    value = {"${ input.n }": 1, "b": [{"c": "${ steps.a.output.id }"}, None, 1.5], "a": "plain", "d": "$${x}"}
    found = fill(value)
    assert found == {"${ input.n }": 1, "b": [{"c": 7}, None, 1.5], "a": "plain", "d": "${x}"}
    assert list(found) == list(value)


def test_filling_twice_gives_two_values() -> None:
    template = compile_template({"a": "${ input.n }", "b": {"c": 1}}, NAMES)
    first, second = template(SCOPE), template(SCOPE)
    assert first == second
    assert first is not second


@pytest.mark.parametrize("value", ["a", 1, None, True, ["a", {"b": None}], {"a": [1]}])
def test_a_constant_is_the_value_itself(value: Json) -> None:
    template = compile_template(value)
    assert template.constant
    assert template(SCOPE) is value


@pytest.mark.parametrize(
    ("value", "filled"), [("$${a}", "${a}"), (["$${a}"], ["${a}"]), ({"k": "$${a}"}, {"k": "${a}"})]
)
def test_an_escaped_constant_is_unescaped(value: Json, filled: Json) -> None:
    template = compile_template(value)
    assert template.constant
    assert template(SCOPE) == filled


def test_what_is_read_is_gathered_from_every_text() -> None:
    template = compile_template({"a": "${ vars.x }", "b": ["${ steps.a.key }/${ steps.b.output.id }"]})
    assert not template.constant
    assert template.reads.roots == {"vars", "steps"}
    assert template.reads.steps == {("a", "key"), ("b", "output")}
    assert template.reads.paths == {"vars.x"}


@pytest.mark.parametrize(
    ("value", "where", "offset", "code"),
    [
        ("${ input.n", (), 0, "syntax"),
        ("ok ${ 'a }", (), 3, "syntax"),
        ({"a": ["x", "n: ${ inptu.n }"]}, ("a", 1), 6, "unknown-name"),
        ({"a": "${ input.n } ${ steps.b.key }"}, ("a",), 22, "unknown-step"),
        (["${}"], (0,), 2, "syntax"),
    ],
)
def test_an_error_leads_to_its_text_and_place(
    value: Json, where: tuple[str | int, ...], offset: int, code: str
) -> None:
    with pytest.raises(ExpressionInvalid) as caught:
        compile_template(value, NAMES)
    assert (caught.value.where, caught.value.offset, caught.value.code) == (where, offset, code)


def test_a_value_nested_too_deeply_is_refused() -> None:
    value: Json = "x"
    for _ in range(5_000):
        value = [value]
    with pytest.raises(ExpressionInvalid) as caught:
        compile_template(value)
    assert caught.value.code == "too-deep"


@pytest.mark.parametrize("part", ["none", "list", "map", "missing"])
def test_null_a_list_or_an_object_in_a_text_is_an_error_never_none(part: str) -> None:
    for call in (compile_template(f"x ${{ input.{part} }}"), compile_text(f"${{ input.{part} }}", NAMES)):
        with pytest.raises(ExpressionFailed) as caught:
            call(SCOPE)
        assert f"`input.{part}`" in caught.value.detail
        assert "cannot be put into a text" in caught.value.detail


def test_a_joined_text_has_a_limit() -> None:
    with pytest.raises(ExpressionFailed, match="1 MiB"):
        fill("${ input.big }${ input.big }")


@pytest.mark.parametrize(("text", "value"), [("${ input.n }", "2"), ("a ${ input.yes }", "a true"), ("plain", "plain")])
def test_a_header_is_always_text(text: str, value: str) -> None:
    template = compile_text(text, NAMES)
    assert template(SCOPE) == value
    assert template.constant is ("${" not in text)


@pytest.mark.parametrize(
    ("path", "filled"),
    [
        ("/orders/${ input.id }/lines", "/orders/a%2Fb%20c/lines"),
        ("/a/${ input.n }-${ input.half }?q=${ input.id }", "/a/2-1.5?q=a%2Fb%20c"),
        ("/a/${ input.up }x", "/a/..x"),
        ("/a?q=${ input.empty }", "/a?q="),
        ("/a/x${ input.empty }", "/a/x"),
        ("/a/", "/a/"),
    ],
)
def test_each_value_in_a_path_is_percent_encoded(path: str, filled: str) -> None:
    assert compile_text(path, NAMES, segment_encode=True)(SCOPE) == filled


@pytest.mark.parametrize(
    "path",
    [
        "/a/${ input.up }/b",
        "/a/${ input.dot }",
        "/a/${ input.empty }",
        "/a/${ input.empty }/b",
        "/${ input.dot }${ input.dot }",
    ],
)
def test_a_value_cannot_lead_a_path_elsewhere(path: str) -> None:
    with pytest.raises(ExpressionFailed, match="The path"):
        compile_text(path, NAMES, segment_encode=True)(SCOPE)


@pytest.mark.parametrize("text", ["input.n == 2", "${ input.n == 2 }", "  ${input.n == 2}  "])
def test_a_bare_place_takes_an_expression_or_one_whole_of_it(text: str) -> None:
    assert compile_bare(text, NAMES)(SCOPE) is True


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("${ input.n } x", 12),
        ("${ input.n", 0),
        ("input.n == ${ 2 }", 12),
        ("${ inptu }", 3),
        ("${ a }${ b }", 6),
    ],
)
def test_anything_else_in_a_bare_place_is_refused(text: str, offset: int) -> None:
    with pytest.raises(ExpressionInvalid) as caught:
        compile_bare(text, NAMES)
    assert caught.value.offset == offset


_PLAIN = st.text(st.characters(exclude_characters="$", exclude_categories=["Cs"]), max_size=8)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pieces=st.lists(st.tuples(_PLAIN, st.text("ab}{'$`\"\\ ", max_size=6)), min_size=1, max_size=4),
    end=_PLAIN,
)
def test_texts_and_expressions_are_joined_in_order(pieces: list[tuple[str, str]], end: str) -> None:
    values = [value for _, value in pieces]
    text = "".join(f'{plain}${{ input.v."{index}" }}' for index, (plain, _) in enumerate(pieces)) + end
    scope = PlainScope({"input": {"v": {str(index): value for index, value in enumerate(values)}}})
    expected = "".join(plain + value for plain, value in pieces) + end
    assert compile_text(text, NAMES)(scope) == expected
    escaped = "".join(plain + "$${" + str(index) for index, (plain, _) in enumerate(pieces))
    assert compile_template(escaped)(scope) == escaped.replace("$${", "${")
