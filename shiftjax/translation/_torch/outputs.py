"""What a module returns, in containers that JAX knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from shiftjax.translation._error import TranslationError


def plain(tree: Any) -> Any:
    """What a module returns, in dictionaries, lists and tuples, which JAX knows.

    Raises:
        TranslationError: it returns something else.
    """
    if isinstance(tree, Mapping):
        named = {str(key): plain(value) for key, value in tree.items()}
        if len(named) < len(tree):
            reason = f"the module returns a dictionary of which two keys are written alike, of {list(tree)}"
            raise TranslationError("output", "unknown", reason, "Give each output a name of its own.")
        return named
    if isinstance(tree, list | tuple):
        return type(tree)(map(plain, tree)) if type(tree) in (list, tuple) else tuple(map(plain, tree))
    if tree is None or isinstance(tree, jax.Array | np.ndarray | int | float):
        return tree
    kind = type(tree).__name__
    raise TranslationError(
        "output", "unknown", f"the module returns a {kind}", "Return tensors, lists or dictionaries."
    )
