"""docs/reference/compatibility.md promises nothing without a test."""

import ast
import re

from tests.support.processes import ROOT

_ROW = re.compile(r"^\| (?!row |---)(.*) \| (.*) \| (.*) \|$", re.MULTILINE)
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows() -> list[tuple[str, str, str]]:
    text = (ROOT / "docs" / "reference" / "compatibility.md").read_text()
    return [(row, here, tests) for row, here, tests in _ROW.findall(text)]


def test_each_row_names_tests_and_they_exist() -> None:
    assert len(rows()) > 40
    for row, _, tests in rows():
        named = _TEST.findall(tests)
        assert named, f"no test is named for: {row}"
        for file, name in named:
            path = ROOT / file
            assert path.is_file(), f"{file} is not there, for: {row}"
            tree = ast.parse(path.read_text())
            found = {x.name for x in tree.body if isinstance(x, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert name in found, f"{file} has no {name}, for: {row}"


def test_what_differs_says_why() -> None:
    for row, here, _ in rows():
        assert "differ" not in here or "because" in here, f"why? {row}"
