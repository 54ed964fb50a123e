"""Consecutive labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import array, concrete, fail, integers
from shiftjax._host import with_batch
from shiftjax._numbering import consecutive
from shiftjax._typing import Array, ArrayLike, Int, Integer


def relabel(labels: ArrayLike) -> Int[Array, " batch *space"]:
    """Makes the labels of each image consecutive: 0 stays 0, the others become 1, 2, ... in their order.

    Args:
        labels: integers >= 0, `(batch, *space)`. Of any width: 64-bit labels are narrowed on the host, except under
            jit, where JAX itself has cut them to 32 bits.

    Returns:
        The new labels, int32, of the same shape. Under jit, where values cannot be checked, negative labels become -1.

    Raises:
        ValueError: no batch axis, or negative labels.
        TypeError: labels that are not integers.

    Example:
        >>> import numpy as np
        >>> relabel(np.array([[0, 7, 7, 3]])).tolist()
        [[0, 2, 2, 1]]
    """
    integers("labels", labels)
    labels = array("labels", labels)
    if np.ndim(labels) < 2:
        fail("labels", "a shape (batch, *space)", np.shape(labels), "a single image takes a first axis of length 1")
    with_batch("labels", np.shape(labels))
    known = concrete(labels)
    if known is not None:
        if known.size and known.min() < 0:
            fail("labels", "integers >= 0", f"labels down to {known.min()}", "set what is to be ignored to 0")
        if known.dtype.itemsize > 4:
            labels = consecutive(known)  # over the whole batch: JAX would cut them, and join labels 2^32 apart
    return _relabel(jnp.asarray(labels))


@jax.jit
def _relabel(labels: Integer[Array, " batch *space"]) -> Int[Array, " batch *space"]:
    if labels.size == 0:
        return jnp.zeros(labels.shape, jnp.int32)
    return jax.vmap(_rank)(labels.reshape(len(labels), -1)).reshape(labels.shape)


def _rank(labels: Integer[Array, " pixel"]) -> Int[Array, " pixel"]:
    """Sorts, counts the steps up, and brings the counts back to their pixels."""
    order = jnp.argsort(labels)
    ordered = labels[order]
    before = jnp.concatenate([jnp.zeros_like(ordered[:1]), ordered[:-1]])
    new = (ordered > 0) & (ordered != before)
    rank = jnp.where(ordered < 0, -1, jnp.cumsum(new, dtype=jnp.int32))
    return jnp.zeros_like(rank).at[order].set(rank, unique_indices=True)
