"""How runs look: spans of time, the axis, and the same words with and without colour."""

import io
import re
from typing import Any

import msgspec
import pytest

from runner.cli.documents import Failure, Run, Step
from runner.cli.screen import LOOKS, Screen
from runner.cli.show import label, lasting, told, whole
from runner.cli.timeline import Axis
from tests.runner.cli.scripted import run, step, undone_run


def read(status: str, *steps: Any) -> Run:
    return msgspec.convert(run(status, *steps), Run)


@pytest.mark.parametrize(
    ("span_s", "text"),
    [
        (-0.2, "0 ms"), (0, "0 ms"), (0.0412, "41 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"),
        (1.94, "1.9 s"),
        (59.94, "59.9 s"), (59.96, "1 min"), (125, "2 min 5 s"), (3_600, "1 h"), (11_520, "3 h 12 min"),
        (172_800, "2 d"), (180_000, "2 d 2 h"),
    ],
)  # fmt: skip
def test_a_span_of_time_is_told_in_its_two_largest_units(span_s: float, text: str) -> None:
    assert lasting(span_s) == text


def test_an_error_is_one_short_line() -> None:
    line = told(Failure(kind="500", detail="a\n  b " + "x" * 500))
    assert line.startswith("500 a b xxx")
    assert len(line) == 160


def test_bars_share_the_axis_by_their_length() -> None:
    axis = Axis((0, 10), [(0, 5), (5, 10)], width=10)
    assert [axis.bar((0, 5), "#"), axis.bar((5, 10), "#")] == ["#####     ", "     #####"]


def test_a_bar_is_never_invisible_and_never_too_wide() -> None:
    axis = Axis((0, 1_000), [(0, 1_000)], width=10)
    assert [axis.bar((0, 0), "#"), axis.bar((1_000, 1_000), "#")] == ["#         ", "         #"]
    assert axis.bar((-5, 5_000), "#") == "#" * 10


def test_idle_time_longer_than_all_work_takes_three_columns() -> None:
    axis = Axis((0, 102), [(0, 1), (101, 102)], width=23)
    assert [axis.bar((0, 1), "#"), axis.bar((1, 101), "."), axis.bar((101, 102), "#")] == [
        "#" * 10 + " " * 13,
        " " * 10 + "..." + " " * 10,
        " " * 13 + "#" * 10,
    ]


def test_an_axis_without_work_or_length_still_has_columns() -> None:
    assert Axis((5, 5), [], width=4).bar((5, 5), "#") == "   #"


def test_inner_steps_are_set_in_and_branches_are_thin() -> None:
    block = step("lines", 0, 1, kind="for", target=None, attempts=0)
    inner = step("charge", 0, 1, path="lines/0/charge")
    lines = ["".join(text for text, _ in line) for line in whole(read("completed", block, inner), now=0)]
    assert lines[-2].startswith("✓ lines        for ")
    assert "─" in lines[-2]
    assert lines[-1].startswith("✓   charge[0]  stock ")


def test_a_step_without_a_name_is_called_by_its_kind() -> None:
    assert label(msgspec.convert(step("", 0, 1, path="ship/$catch.0/0", kind="raise"), Step)) == "    raise"


def test_a_step_that_never_began_is_left_out_and_a_skipped_one_is_shown() -> None:
    steps = [step("a", None, None, status="pending"), step("b", None, None, status="skipped", attempts=0)]
    text = "\n".join("".join(text for text, _ in line) for line in whole(read("completed", *steps), now=0))
    assert "- b" in text
    assert " a " not in text


def test_a_terminal_gets_the_same_words_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    lines = list(whole(msgspec.convert(undone_run(), Run), now=0))
    plain, coloured = io.StringIO(), io.StringIO()
    Screen(file=plain, terminal=False).lines(lines)
    Screen(file=coloured, terminal=True).lines(lines)
    assert "\x1b[" in coloured.getvalue()
    assert "\x1b[" not in plain.getvalue()
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured.getvalue())
    assert [line.rstrip() for line in stripped.splitlines()] == plain.getvalue().splitlines()


def test_no_color_is_honoured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    out = io.StringIO()
    Screen(file=out, terminal=True).lines([(("✓ completed", "green"),)])
    assert out.getvalue() == "✓ completed\n"


def test_every_status_has_a_glyph_of_its_own_beside_its_colour() -> None:
    glyphs = {status: glyph for status, (glyph, _) in LOOKS.items() if status != "compensating"}
    assert len(set(glyphs.values())) == len(glyphs)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_a_service_says_cannot_steer_the_terminal(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    Screen(file=out, terminal=terminal).lines([(("gone \x1b[2J\x07", ""),)])
    assert out.getvalue() == "gone \ufffd[2J\ufffd\n"
