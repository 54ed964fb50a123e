"""Arrays with known values, checked on the host."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from shiftjax import _checks


def host(name: str, value: Any) -> np.ndarray:
    """`value` as a NumPy array; refuses an array that JAX is tracing."""
    array = _checks.concrete(value)
    if array is None:
        _checks.fail(
            name, "an array with known values", "one that JAX is tracing", "call this outside jit, vmap and grad"
        )
    if array.size == 0:
        _checks.fail(name, "at least one pixel", f"shape {array.shape}")
    return array


def host_labels(name: str, value: Any) -> np.ndarray:
    """`value` as labels `(batch, *space)`: integers, 0 for background, none below."""
    labels = host(name, value)
    if not np.issubdtype(labels.dtype, np.integer):
        _checks.fail(name, "integer labels", labels.dtype, "convert them, say with .astype(np.int32)")
    if labels.ndim < 2:
        _checks.fail(name, "labels (batch, *space)", f"shape {labels.shape}", "add a batch axis in front: labels[None]")
    if labels.min() < 0:
        _checks.fail(name, "labels >= 0, with 0 for background", f"a label {labels.min()}", "set such pixels to 0")
    return labels


def host_embedding(name: str, value: Any, other: str, wanted: tuple[int, ...]) -> np.ndarray:
    """`value` as finite numbers `(batch, *space, channel)` on the pixels `wanted` of `other`, int64 or float64."""
    embedding = host(name, value)
    whole = np.issubdtype(embedding.dtype, np.integer)
    if not whole and not jnp.issubdtype(embedding.dtype, jnp.floating):
        _checks.fail(name, "integers or floats", embedding.dtype)
    if embedding.ndim != len(wanted) + 1:
        _checks.fail(name, f"an embedding (batch, *space, channel) over `{other}` {wanted}", f"shape {embedding.shape}")
    same_shape(name, embedding.shape[:-1], other, wanted)
    wide = embedding.astype(np.int64 if whole else np.float64)
    _checks.finite(name, wide)
    return wide


def same_shape(name: str, shape: tuple[int, ...], other: str, wanted: tuple[int, ...]) -> None:
    """Refuses `shape` unless it is the `wanted` shape of the array called `other`."""
    if shape != wanted:
        _checks.fail(name, f"the shape {wanted} of `{other}`", shape, "crop both to the same window")
