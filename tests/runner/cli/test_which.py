"""`saga which`: the saga that answers, and the reasons of the others."""

from pathlib import Path

import pytest

from tests.runner.cli.invoking import saga

SAGAS = """
id: old
path: /orders
version: 1
methods: [POST]
steps: [{name: a, set: 1}]
---
id: new
path: /orders
version: 2
methods: [POST]
steps: [{name: a, set: 1}]
---
id: other
path: /orders
runners: [elsewhere]
steps: [{name: a, set: 1}]
---
id: records
path: /orders
streams: [placed]
steps: [{name: a, set: 1}]
---
id: idle
path: /orders
status: draft
steps: [{name: a, set: 1}]
---
id: entry
path: /entry
methods: [GET]
redirectTo: new
"""


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "saga.yml").write_text("streams: {http: {type: http}, placed: {type: inprocess}}\n")
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "all.yaml").write_text(SAGAS)
    monkeypatch.chdir(tmp_path)


def test_it_tells_the_choice_and_why_each_other_candidate_lost() -> None:
    result = saga("which", "POST", "/orders")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "✓ new@2  answers",
        "✕ other@1  not for runner shop",
        "✕ records@1  not on stream http",
        "✕ old@1  another has a higher version",
        "✕ idle@1  is draft",
    ]


def test_a_version_a_stream_and_a_redirect_count() -> None:
    assert saga("which", "post", "/orders", "--version", "1").stdout.startswith("✓ old@1  answers\n")
    assert saga("which", "POST", "/orders", "--stream", "placed").stdout.startswith("✓ records@1  answers\n")
    assert saga("which", "GET", "/entry").stdout == "✓ entry@1  answers, runs the steps of new@2\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("PUT", "/orders"), "405: /orders takes POST"),
        (("POST", "/nothing"), "404: no active saga has this path"),
        (("POST", "/orders", "--version", "9"), "404: no saga of this path has version 9"),
        (("POST", "/orders", "--stream", "nowhere"), "the settings have no stream `nowhere`"),
    ],
)
def test_where_none_answers_it_says_so_and_exits_1(arguments: tuple[str, ...], said: str) -> None:
    result = saga("which", *arguments)
    assert result.exit_code == 1
    assert said in result.stderr


def test_the_verb_that_no_candidate_takes_is_each_ones_reason() -> None:
    assert "✕ old@1  does not take PUT" in saga("which", "PUT", "/orders").stdout
