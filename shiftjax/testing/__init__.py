"""Checks for test suites: of other people's networks, and of the claims this library rests on.

`strategies` needs hypothesis (`pip install 'shiftjax[test]'`), which is loaded on first use only.
"""

from __future__ import annotations

import importlib as _importlib
from types import ModuleType as _ModuleType

from shiftjax.testing._asserts import assert_periodic_equivariant as assert_periodic_equivariant
from shiftjax.testing._asserts import assert_stitches as assert_stitches
from shiftjax.testing._claims import Verdict as Verdict
from shiftjax.testing._claims import examine as examine
from shiftjax.testing._integer_weights import injective as injective
from shiftjax.testing._integer_weights import integer_variables as integer_variables
from shiftjax.testing._phase_code import phase_code as phase_code
from shiftjax.testing._splitting_map import splitting_map as splitting_map


def __getattr__(name: str) -> _ModuleType:
    if name == "strategies":
        return _importlib.import_module("shiftjax.testing.strategies")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({name for name in globals() if not name.startswith("_")} - {"annotations"} | {"strategies"})
