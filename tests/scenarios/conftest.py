"""Tells at the end how much was played."""

import pytest

from tests.scenarios.tally import TALLY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line: scenarios, and kill positions that led to the same verdict."""
    if TALLY.scenarios:
        terminalreporter.write_line(TALLY.sentence())
