"""Prints at the end of a run what tests counted: `record_property("counts", text)`."""

from __future__ import annotations

import pytest

_texts: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Called in the controlling process for the tests of all workers."""
    if report.when == "call":
        _texts.extend(str(text) for name, text in report.user_properties if name == "counts")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One paragraph each."""
    for text in _texts:
        terminalreporter.write_line(text)
