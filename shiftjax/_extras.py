"""Optional packages, imported when they are first used."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Imports `module`; where its package is missing, the ImportError names the extra of shiftjax that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"this needs `{package}`; install it with `pip install 'shiftjax[{extra}]'`") from error
