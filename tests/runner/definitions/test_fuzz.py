"""Whatever stands in a file, loading gives findings and never raises."""

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.definitions.bundle import program
from runner.definitions.findings import CODES, as_github, as_json, as_text
from runner.definitions.header import HEADER
from runner.definitions.load import load_texts
from runner.steps import KINDS, STEP_KEYS
from tests.runner.definitions.sagas import SETTINGS

GOOD = Path(__file__).parent / "good"
EXAMPLES = [path.read_text(encoding="utf-8") for path in sorted((GOOD / "definitions").glob("*.yaml"))]
EXAMPLES += [path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parents[2] / "broken").glob("*.yaml"))]

quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

WORDS = sorted(
    {*HEADER.keys, *KINDS, *STEP_KEYS, "errors", "when", "otherwise", "each", "in", "until", "max", "branches"}
    | {"service", "method", "path", "body", "key", "saga", "type", "signal", "period", "cron", "input"}
)
TEXTS = (
    *("a", "/a", "GET", "POST", "5s", "any", "409", "none", "continue", "active", "a@1", "@daily", "index"),
    *("input.x", "${ input.x }", "${ steps.a.output", "steps.a.key", "`", "${", "$${x}"),
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(TEXTS),
    st.text(max_size=8),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)),
    max_leaves=25,
)
STEPS = st.lists(
    st.dictionaries(st.sampled_from([*KINDS, *STEP_KEYS]), VALUES, min_size=1, max_size=4), min_size=1, max_size=4
)
HEADERS = st.dictionaries(st.sampled_from(sorted(HEADER.keys)), VALUES, max_size=5)


def check(data: bytes) -> None:
    result = load_texts(
        [("a.yaml", data), ("b.yaml", b"id: b\npath: /b\nsteps: [{name: x, set: 1}]\n")], SETTINGS, GOOD
    )
    for finding in result.findings:
        assert finding.code in CODES
        assert finding.line >= 1
        assert finding.column >= 1
        assert finding.file
    json.loads(as_json(result.findings, len(result.catalog)))
    assert isinstance(as_text(result.findings) + as_github(result.findings), str)
    for saga in result.catalog:
        assert program(result.catalog, saga, {}).saga.ref == saga.ref


@quick
@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    check(data)


@quick
@given(st.text(alphabet=st.sampled_from(list("ab:-[]{}&*!|>'\"%@`#,?<=~ \t\n\r\u2028\u00e9$\\019.")), max_size=120))
def test_any_text_of_the_signs_that_mean_something_to_yaml(text: str) -> None:
    check(text.encode())


@quick
@given(HEADERS, STEPS)
def test_any_values_under_the_known_keys(header: dict[str, object], steps: list[dict[str, object]]) -> None:
    check(json.dumps({"id": "a", "path": "/a", "steps": steps, **header}).encode())


@quick
@given(st.sampled_from(EXAMPLES), st.data())
def test_any_slip_in_a_definition_that_was_whole(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = min(len(text), start + data.draw(st.integers(0, 12)))
    inserted = data.draw(
        st.one_of(
            st.just(""), st.sampled_from([": ", "- ", "[", "}", "'", '"', "\n", "  ", "${", "x"]), st.text(max_size=4)
        )
    )
    check((text[:start] + inserted + text[end:]).encode("utf-8", "replace"))
