"""`pytest proofs_tests --mutant NAME`: the claims with one operator broken, as the mutation tests run them."""

from __future__ import annotations

import pytest

from proofs_tests.mutation.mutants import MUTANTS


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--mutant`."""
    parser.getgroup("claims").addoption(
        "--mutant", metavar="NAME", help=f"break an operator first: {', '.join(MUTANTS)}"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Swaps the broken operator in before any test is imported."""
    name = config.getoption("mutant")
    if name is None:
        return
    if name not in MUTANTS:
        raise pytest.UsageError(f"--mutant: expected one of {', '.join(map(repr, MUTANTS))}, found {name!r}")
    MUTANTS[name].swap_in()
