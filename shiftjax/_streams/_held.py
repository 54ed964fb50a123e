"""Indices of an array along the streamed axis: those that are kept joined with new ones, and parts of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from shiftjax._streams._graph import Node
from shiftjax._streams._rule import sizes


def joined(held: Any, value: Any, node: Node, kept: int, count: int) -> Any:
    """What was kept, and behind it what is new."""
    along = node.along
    if along.before == along.after == 1:
        return jax.lax.concatenate([held, value], along.axis)
    a, b = opened(held, node, kept), opened(value, node, count)
    return jnp.concatenate([a, b], node.along.axis + 1).reshape(sizes(node.array, node.along, kept + count))


def part(value: Any, node: Node, total: int, start: int, stop: int) -> Any:
    """Some of the indices of an array along the streamed axis."""
    if (start, stop) == (0, total):
        return value
    along = node.along
    if along.before == along.after == 1:
        return jax.lax.slice_in_dim(value, start, stop, axis=along.axis)
    cut = jax.lax.slice_in_dim(opened(value, node, total), start, stop, axis=along.axis + 1)
    return cut.reshape(sizes(node.array, along, stop - start))


def opened(value: Any, node: Node, count: int) -> Any:
    """The streamed axis apart from what is flattened with it: `(..., before, count, after, ...)`."""
    along = node.along
    shape = (*value.shape[: along.axis], along.before, count, along.after, *value.shape[along.axis + 1 :])
    return value.reshape(shape)
