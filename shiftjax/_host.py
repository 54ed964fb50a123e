"""Arrays with known values, checked on the host."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from shiftjax import _checks

LINES = 16  # in a batch; as many are likelier the rows of an image


def host(name: str, value: Any) -> np.ndarray:
    """`value` as a NumPy array; refuses an array that JAX is tracing."""
    array = _checks.concrete(_checks.array(name, value))
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


def with_batch(name: str, shape: tuple[int, ...], *, channels: bool = False) -> None:
    """Refuses what looks like a single image without its batch axis, which would be a batch of its lines.

    Nothing tells the two apart but that batches of many lines are rare.

    Args:
        name: of the argument.
        shape: `(batch, *space)`, or `(batch, *space, channel)`.
        channels: which of the two.
    """
    if len(shape) >= 3 + channels or shape[0] <= LINES:
        return
    expected = "(batch, *space, channel)" if channels else "(batch, *space)"
    mend = f"a single image is `{name}[None]`, a batch of lines `{name}[:, None]`"
    _checks.fail(name, f"a shape {expected}, of at most {LINES} lines", f"shape {shape}", mend)


def host_embedding(name: str, value: Any, other: str, shape: tuple[int, ...]) -> np.ndarray:
    """`value` as finite numbers `(batch, *space, channel)` on the pixels `shape` of `other`.

    Integers become int64 and floats float64, so that sums over objects are exact or nearly so.
    """
    embedding = host(name, value)
    of_integers = np.issubdtype(embedding.dtype, np.integer)
    if not of_integers and not jnp.issubdtype(embedding.dtype, jnp.floating):  # NumPy does not count bfloat16 as one
        _checks.fail(name, "integers or floats", embedding.dtype)
    if embedding.ndim != len(shape) + 1:
        _checks.fail(name, f"an embedding (batch, *space, channel) over `{other}` {shape}", f"shape {embedding.shape}")
    same_shape(name, embedding.shape[:-1], other, shape)
    if of_integers and not -_checks.MOST <= int(embedding.min()) <= int(embedding.max()) <= _checks.MOST:
        expected = "integers from -2^62 to 2^62, of which int64 holds the differences"
        _checks.fail(name, expected, f"integers from {embedding.min()} to {embedding.max()}", "subtract an offset")
    wide = embedding.astype(np.int64 if of_integers else np.float64)
    _checks.finite(name, wide)
    return wide


def same_shape(name: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> None:
    """Refuses `shape` unless it is `expected`, the shape of the array called `other`."""
    if shape != expected:
        _checks.fail(name, f"the shape {expected} of `{other}`", shape, "crop both to the same window")
