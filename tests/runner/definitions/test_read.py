"""YAML to nodes: what is special, what stays text, and that nothing an author writes ends in anything but findings."""

import pytest

from runner.definitions.findings import Findings
from runner.definitions.node import node_of, plain, spot
from runner.definitions.read import MAX_BYTES, MAX_NODES, Document, read
from runner.definitions.traps import hint


def reading(text: str | bytes) -> tuple[list[Document], Findings]:
    findings = Findings()
    return read("a.yaml", text if isinstance(text, bytes) else text.encode(), findings), findings


def value_of(text: str) -> object:
    [document], findings = reading(text)
    assert len(findings) == 0
    return plain(document.root)


@pytest.mark.parametrize(
    "word",
    [
        *("on", "off", "yes", "no", "Yes", "NO", "y", "n", "True", "FALSE", "Null", "010", "0x1F", "0o17", "1_000"),
        *("12:30:00", "2026-01-31", ".5", "5.", "+1", ".inf", ".nan", "1e", "0b1"),
    ],
)
def test_what_json_does_not_know_stays_text(word: str) -> None:
    assert value_of(f"a: {word}") == {"a": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("false", False), ("null", None), ("~", None), ("", None), ("0", 0), ("-0", 0), ("42", 42),
        ("-7", -7), ("1.50", 1.5), ("1e3", 1000.0), ("-2.5E-1", -0.25), ("18446744073709551615", 2**64 - 1),
        ("'true'", "true"), ('"5"', "5"), ("|\n  5", "5"),
    ],
)  # fmt: skip
def test_only_five_words_and_json_numbers_are_special(text: str, value: object) -> None:
    found = value_of(f"a: {text}")
    assert found == {"a": value}
    assert isinstance(found, dict)
    assert type(found["a"]) is type(value)


def test_keys_are_text_even_where_they_look_like_numbers_or_flags() -> None:
    assert value_of("{402: a, true: b, 1.50: c}") == {"402": "a", "true": "b", "1.50": "c"}


def test_an_alias_is_a_copy_with_the_marks_of_its_anchor() -> None:
    [document], findings = reading("a: &x {b: 1}\nc: *x\n")
    assert len(findings) == 0
    assert plain(document.root) == {"a": {"b": 1}, "c": {"b": 1}}
    assert document.root.get("a") is not document.root.get("c")


def test_an_anchor_that_holds_itself_is_an_unknown_alias() -> None:
    _, findings = reading("a: &x [*x]\n")
    assert [finding.code for finding in findings.sorted()] == ["SG010"]


def test_aliases_count_each_time_they_are_used() -> None:
    bomb = "a: &a [" + ",".join("0" * 99) + "]\n"
    for name, before in ("ba", "cb", "dc", "ed"):
        bomb += f"{name}: &{name} [" + ",".join([f"*{before}"] * 99) + "]\n"
    documents, findings = reading(bomb)
    assert [finding.code for finding in findings.sorted()] == ["SG005"]
    assert documents == []


def test_a_document_may_have_as_many_nodes_as_are_allowed_and_not_one_more() -> None:
    # The root mapping, a key and the list are nodes, too.
    full = "a: [" + ",".join("0" * (MAX_NODES - 3)) + "]"
    assert len(reading(full)[0]) == 1
    documents, findings = reading(full.replace("]", ",0]"))
    assert (documents, [finding.code for finding in findings.sorted()]) == ([], ["SG005"])


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_a_deep_document_is_a_finding_however_deep_it_is(opening: str) -> None:
    _, findings = reading(opening * 50_000)
    assert [finding.code for finding in findings.sorted()] in (["SG007"], ["SG001"])


def test_aliases_cannot_make_a_document_deeper_than_allowed() -> None:
    text = "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40 + "\n"
    _, findings = reading(text)
    assert [finding.code for finding in findings.sorted()] == ["SG007"]


def test_a_document_over_a_mebibyte_is_refused_and_the_one_after_it_is_read() -> None:
    documents, findings = reading(f"a: '{'x' * MAX_BYTES}'\n---\nb: 1\n")
    assert [plain(document.root) for document in documents] == [{"b": 1}]
    assert [(f.code, f.line) for f in findings.sorted()] == [("SG006", 1)]


def test_a_broken_document_does_not_hide_its_neighbours() -> None:
    documents, findings = reading("a: 1\n---\nb: @\n---\n# a comment\nc: 1\nc: 2\n")
    assert [plain(document.root) for document in documents] == [{"a": 1}, {"c": 1}]
    assert [(f.code, f.line, f.column) for f in findings.sorted()] == [("SG001", 3, 4), ("SG002", 7, 1)]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "---\n---\n# x\n", "---\n...\n"])
def test_an_empty_file_or_document_says_nothing_and_is_no_error(text: str) -> None:
    documents, findings = reading(text)
    assert (documents, len(findings)) == ([], 0)


def test_a_directive_belongs_to_the_document_below_it() -> None:
    assert value_of("%YAML 1.2\n---\na: 1\n") == {"a": 1}


def test_a_byte_order_mark_and_windows_line_breaks_are_taken() -> None:
    documents, findings = reading(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert plain(documents[0].root) == {"a": 1, "b": 2}
    assert documents[0].root.key("b").line == 2
    assert len(findings) == 0


def test_bytes_that_are_not_utf8_are_found_at_their_place() -> None:
    documents, findings = reading(b"a: 1\nb: \xc3\xa9\xff\n")
    assert documents == []
    assert [(f.code, f.line, f.column) for f in findings.sorted()] == [("SG008", 2, 5)]


def test_a_control_character_is_found_behind_letters_that_take_two_bytes() -> None:
    _, findings = reading("\u00e9: \u00e9\nb: \u00e9\x07\n")
    assert [(f.code, f.line, f.column) for f in findings.sorted()] == [("SG008", 2, 5)]


@pytest.mark.parametrize(
    "line",
    [
        "when: !input.x",
        "when: `true`",
        "when: @",
        "cron: */5 * * * *",
        "set: {a: ${ input.x }}",
        "set: {a: input.x[0]}",
        "text: note: this",
        'text: "\\d"',
        "set: {{ input.x }}",
    ],
)
def test_yaml_traps_get_the_hint_to_quote(line: str) -> None:
    _, findings = reading(line)
    assert findings.sorted()[0].hint.startswith("quote it")


def test_an_unknown_message_of_the_loader_still_gets_a_hint() -> None:
    assert hint("something new", "", "") != ""


@pytest.mark.parametrize(
    ("text", "sign", "place"),
    [
        ("a: xyz", "z", (1, 6)),
        ("a: 'x''yz'", "z", (1, 9)),
        ('a: "x\\"yz"', "z", (1, 9)),
        ("a: |\n  xy\n  z\n", "z", (3, 3)),
        ("a: >\n  x\n\n  y z\n", "z", (4, 5)),
        ("a: x\n  y\n  z\n", "z", (3, 3)),
        ("a: \u00e9z", "z", (1, 5)),
    ],
)
def test_a_place_inside_a_text_is_found_in_its_source(text: str, sign: str, place: tuple[int, int]) -> None:
    [document], _ = reading(text)
    node = document.root.get("a")
    assert node is not None
    assert spot(node, node.value.index(sign)) == place


def test_a_json_value_becomes_a_node_and_back() -> None:
    value = {"a": [1, 2.5, "x", None, True], "b": {"c": []}}
    assert plain(node_of(value)) == value
