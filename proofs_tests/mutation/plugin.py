"""`pytest proofs_tests --mutant NAME`: the claims with one operator broken, as the mutation tests run them."""

from __future__ import annotations

import pytest

from proofs_tests.mutation.mutants import MUTANTS
from proofs_tests.support.report import recorded


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--mutant`."""
    names = ", ".join(MUTANTS)
    parser.getgroup("claims").addoption("--mutant", metavar="NAME", help=f"break an operator first: {names}")


def pytest_configure(config: pytest.Config) -> None:
    """Swaps the broken operator in before any test is imported."""
    name = config.getoption("mutant")
    if name is None:
        return
    if name not in MUTANTS:
        raise pytest.UsageError(f"--mutant: expected one of {', '.join(map(repr, MUTANTS))}, found {name!r}")
    try:
        MUTANTS[name].swap_in()
    except LookupError as error:
        raise pytest.UsageError(f"--mutant: {error}") from None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which claim caught which mutant."""
    caught = dict(recorded(terminalreporter, "mutant"))
    if caught:
        terminalreporter.section("mutants")
        for name, claims in caught.items():
            terminalreporter.write_line(f"{name}: {', '.join(claims) or 'caught by no claim'}")
