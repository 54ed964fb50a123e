"""Which modules define public functions: the shapes and types of their calls are checked as the tests run.

Calls between private modules are ten times as many, and mypy reads their types without running them.
"""

from __future__ import annotations

import re
from pathlib import Path

FREQUENT = {"shiftjax.nets._geometry"}  # asked for sizes thousands of times while a network is drawn

LIBRARY = Path(__file__).parent.parent.parent / "shiftjax"


def modules() -> list[str]:
    """Public by name, or a public package takes names from them; found without importing the library."""
    paths = {_name(path): path for path in LIBRARY.rglob("*.py")}
    names = {name for name in paths if not _private(name)}
    faces = [paths[name].read_text() for name in names if paths[name].name == "__init__.py"]
    names |= {name for face in faces for name in re.findall(r"^from ([\w.]+) import", face, re.MULTILINE)}
    return sorted(name for name in (names & paths.keys()) - FREQUENT if paths[name].name != "__init__.py")


def _name(path: Path) -> str:
    return ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts).removesuffix(".__init__")


def _private(name: str) -> bool:
    return any(part.startswith("_") for part in name.split("."))
