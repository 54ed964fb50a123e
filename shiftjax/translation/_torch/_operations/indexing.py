"""Entries looked up by numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from shiftjax.translation._torch._operations.table import Unsupported, operation


@operation("index.Tensor", "_unsafe_index.Tensor")
def index(x: Any, indices: Sequence[Any]) -> Any:
    """x[indices], None standing for a whole axis."""
    if any(k is not None and k.dtype in (bool, jnp.uint8) for k in indices):  # which PyTorch takes for masks both
        raise Unsupported("a choice of entries by a mask, whose number depends on the values")
    return x[tuple(slice(None) if k is None else k for k in indices)]


@operation("index_select")
def index_select(x: Any, dim: int, numbers: Any) -> Any:
    """Entries of an axis by their numbers."""
    return jnp.take(x, jnp.atleast_1d(numbers), dim)


@operation("embedding")
def embedding(weight: Any, numbers: Any, padding_idx: int = -1) -> Any:
    """Rows of a table by their numbers."""
    return jnp.take(weight, numbers, 0)


@operation("gather")
def gather(x: Any, dim: int, numbers: Any, *, sparse_grad: bool = False) -> Any:
    """Along an axis, the entries with these numbers."""
    kept = x[tuple(slice(None) if k == dim % x.ndim else slice(n) for k, n in enumerate(numbers.shape))]
    return jnp.take_along_axis(kept, numbers, dim)
