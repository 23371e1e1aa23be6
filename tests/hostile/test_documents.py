"""What JSON may say: one thing, in numbers that everybody can hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.base.document import InvalidDocument, read_document

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**300), 10**300)
    | st.floats(allow_nan=False, allow_infinity=False)
    # what looks like a name within a string must not be taken for one
    | st.text()
    | st.sampled_from(['"a":1', '\\":', "1" * 400, '{"a":1,"a":1}']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(
    value=VALUES, ascii_only=st.booleans(), indent=st.sampled_from([None, 0, 3]), colon=st.sampled_from([":", " : "])
)
def test_whatever_json_says_is_read_as_it_is(value: object, ascii_only: bool, indent: int | None, colon: str) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=(",", colon))
    assert read_document(text.encode("utf-8", "surrogatepass"), deepest=64) == value


@given(
    before=st.dictionaries(st.text(max_size=3), VALUES, max_size=3),
    name=st.text(max_size=3),
    values=st.tuples(VALUES, VALUES),
    gap=st.sampled_from(["", " ", "\n\t"]),
    under=st.integers(0, 5),
)
def test_a_name_said_twice_is_found_wherever_it_is(
    before: dict[str, object], name: str, values: tuple[object, object], gap: str, under: int
) -> None:
    pairs = [*before.items(), (name, values[0]), (name, values[1])]
    said = ",".join(f"{json.dumps(key)}{gap}:{json.dumps(value)}" for key, value in pairs)
    text = '[{"x":' * under + "{" + said + "}" + "}]" * under
    with pytest.raises(InvalidDocument, match="twice"):
        read_document(text.encode(), deepest=64)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a":1,"a":2}', r'says "a" twice in one object: say it once'),
        (b'{"a":1,"\\u0061":2}', "twice"),
        (b'{"a":1,"a" :2,"x":"\\":"}', "twice"),
        (b"1" + b"0" * 308, "a whole number of 309 digits"),
        (b"[-1" + b"0" * 400 + b"]", "a whole number of 401 digits"),
        (b"1" + b"0" * 5_000, "not JSON"),
        (b"1" + b"0" * 1_000_000, "not JSON"),
        (b"1e400", "not JSON"),
        (b"NaN", "not JSON"),
        (b"-Infinity", "not JSON"),
        (b'"\\ud800"', "not JSON"),
        (b'"\xed\xa0\x80"', "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ('{"a":1}'.encode("utf-16"), "not JSON"),
        (b'{"a":1}\x00', "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "nested more than 64 deep"),
        (b"[" * 65 + b"]" * 65, "nested more than 64 deep"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested more than 64 deep"),
    ],
)
def test_what_is_no_document_is_refused_with_a_reason(body: bytes, why: str) -> None:
    with pytest.raises(InvalidDocument, match=why):
        read_document(body, deepest=64)


def test_the_deepest_and_longest_that_is_allowed_is_read() -> None:
    assert read_document(b"[" * 64 + b"]" * 64, deepest=64) is not None
    assert read_document(b"9" * 308, deepest=64) == 10**308 - 1
