"""`saga explain`: the page of a code in the terminal."""

import json

import pytest

from runner.adapters.web import manual
from tests.runner.cli.invoking import saga


@pytest.mark.parametrize("code", ["SG101", "sg101", "/docs/findings/SG101"])
def test_the_page_is_printed_without_marks(code: str) -> None:
    result = saga("explain", code)
    assert result.exit_code == 0
    assert result.stdout.startswith("SG101\n\nError. Only known keys stand in a mapping.\n")
    assert "    onfail: a\n" in result.stdout
    assert "```" not in result.stdout
    assert "**" not in result.stdout


def test_programs_get_the_markdown() -> None:
    page = manual.find(manual.PROBLEMS, "run-ended")
    assert page is not None
    assert json.loads(saga("explain", "run-ended", "-o", "json").stdout) == {
        "kind": "problems",
        "code": "run-ended",
        "lead": page.lead,
        "text": page.text,
    }


def test_a_code_that_nobody_knows_is_told_with_the_nearest() -> None:
    result = saga("explain", "run-endet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: there is no page about `run-endet`; did you mean run-ended?\n"


def test_a_code_like_no_other_may_be_one_that_a_saga_raised() -> None:
    assert "one that a saga raised" in saga("explain", "xyzzy").stderr
