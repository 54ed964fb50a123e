"""Shape annotations, free at run time.

Annotations stay text (`from __future__ import annotations`); jaxtyping is loaded only by type checkers and by test
suites that import it first to have every public signature checked.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Array, ArrayLike, Bool, Float, Int, Integer, Num, PRNGKeyArray, Shaped
else:
    Array = ArrayLike = Bool = Float = Int = Integer = Num = PRNGKeyArray = Shaped = Any

__all__ = ["Array", "ArrayLike", "Bool", "Float", "Int", "Integer", "Num", "PRNGKeyArray", "Shaped"]
