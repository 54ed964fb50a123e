"""The order of test files: claims first, then the others; in both the longest first, so that workers end together."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
LONGEST = (
    "claims/test_normalisation.py",
    "certifier/test_random_programs.py",
    "certifier/test_walks.py",
)


def rank(path: Path) -> tuple[bool, int]:
    """Sorts claims before others, and what is named above before what is not."""
    named = [k for k, name in enumerate(LONGEST) if path == TESTS / name]
    return path.parent != TESTS / "claims", named[0] if named else len(LONGEST)


def pytest_configure() -> None:
    """A file that was renamed must be renamed above."""
    missing = [name for name in LONGEST if not (TESTS / name).exists()]
    if missing:
        raise pytest.UsageError(f"{__file__} names files that do not exist: {', '.join(missing)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers of `--dist loadfile --no-loadscope-reorder` take the files in this order."""
    items.sort(key=lambda item: rank(item.path))
