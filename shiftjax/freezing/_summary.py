"""What one tile tells of the whole, computed on the device, and how tiles are put together, on the host.

A sum of floats is carried as how many numbers, their mean, and the sum of squares about it. On the device these are
added up in blocks, so that the rounding grows with the logarithm of the pixels; tiles are merged in float64, by the
formula of Chan, Golub and LeVeque (1983). Sums of integers wrap around, as those of JAX do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._typing import Array

BLOCK = 32  # numbers that are added up one after the other


@dataclass(frozen=True)
class Summary:
    """Of some positions of an operand, per image and channel.

    Attributes:
        count: positions.
        value: `(batch, channel)` the mean of floats, the sum of integers, or the maximum or minimum.
        squares: `(batch, channel)` of floats, the sum of squares about the mean.
    """

    count: int
    value: np.ndarray
    squares: np.ndarray | None = None


def summarise(operand: Array, start: Array, stop: Array, kind: str) -> tuple[Array, ...]:
    """What a device tells of `operand[:, start:stop]`, with a bound per spatial axis: what `on_host` takes."""
    inside = jnp.ones((1,) * operand.ndim, bool)
    for axis in range(1, operand.ndim - 1):
        at = jax.lax.broadcasted_iota(jnp.int32, operand.shape, axis)
        inside = inside & (at >= start[axis - 1]) & (at < stop[axis - 1])
    space = tuple(range(1, operand.ndim - 1))
    if kind != "sum":
        least, most = _ends(operand.dtype)
        if kind == "max":
            return (jnp.where(inside, operand, least).max(space),)
        return (jnp.where(inside, operand, most).min(space),)
    if not jnp.issubdtype(operand.dtype, jnp.floating):
        return (jnp.where(inside, operand, 0).sum(space, dtype=operand.dtype),)
    wide = operand.astype(jnp.promote_types(operand.dtype, jnp.float32))
    count = jnp.maximum(jnp.prod((stop - start).astype(wide.dtype)), 1)
    mean = _total(jnp.where(inside, wide, 0)) / count
    centred = jnp.where(inside, wide - mean.reshape(mean.shape[0], *(1 for _ in space), mean.shape[1]), 0)
    return mean, _total(centred), _total(centred * centred)


def _ends(dtype: Any) -> tuple[Any, Any]:
    """The least and the largest value of a type."""
    if jnp.issubdtype(dtype, jnp.bool_):
        ends: tuple[Any, Any] = False, True
    elif jnp.issubdtype(dtype, jnp.floating):
        ends = -np.inf, np.inf
    else:
        ends = jnp.iinfo(dtype).min, jnp.iinfo(dtype).max
    return np.asarray(ends[0], dtype), np.asarray(ends[1], dtype)


def _total(x: Array) -> Array:
    """`(batch, channel)` the sum over space: axis by axis, in blocks of blocks, of which no copy is made."""
    while x.ndim > 2:
        x = _summed(x)
    return x


def _summed(x: Array) -> Array:
    """The sum over the last axis of space."""
    size = x.shape[-2]
    if size <= BLOCK:
        return x.sum(-2)
    whole = size // BLOCK * BLOCK
    blocks = x[..., :whole, :].reshape(*x.shape[:-2], -1, BLOCK, x.shape[-1]).sum(-2)
    rest = x[..., whole:, :].sum(-2)
    return _summed(blocks) + rest


def merged(kind: str, one: Summary | None, two: Summary) -> Summary:
    """Two sets of positions together."""
    if one is None or one.count == 0:
        return two
    if two.count == 0:
        return one
    count = one.count + two.count
    if kind != "sum":
        return Summary(count, (np.maximum if kind == "max" else np.minimum)(one.value, two.value))
    if two.squares is None or one.squares is None:
        return Summary(count, one.value + two.value)
    apart = two.value - one.value
    mean = one.value + apart * (two.count / count)
    squares = one.squares + two.squares + apart**2 * (one.count * two.count / count)
    return Summary(count, mean, squares)


def on_host(count: int, told: Sequence[Any]) -> Summary:
    """What a device told of so many positions; of floats in float64, with what its rounded mean leaves over."""
    if len(told) == 1:
        return Summary(count, np.asarray(told[0]))
    mean, rest, squares = (np.asarray(each, np.float64) for each in told)
    positions = max(1, count)
    return Summary(count, mean + rest / positions, np.maximum(0, squares - rest**2 / positions))


def over_channels(kind: str, summary: Summary, others: Sequence[int], reduced: Sequence[bool]) -> Summary:
    """The same with some of the axes that are merged into channels reduced too.

    Args:
        kind: "sum", "max" or "min".
        summary: per image and channel.
        others: sizes of the axes that channels are made of.
        reduced: which of them are reduced.
    """

    def split(x: np.ndarray) -> np.ndarray:
        x = x.reshape(x.shape[0], *others)
        last = [1 + k for k, gone in enumerate(reduced) if gone]
        first = [0, *(1 + k for k, gone in enumerate(reduced) if not gone)]
        x = x.transpose(*first, *last)
        return x.reshape(*x.shape[: len(first)], -1)

    value = split(summary.value)
    parts = [
        Summary(summary.count, value[..., k], None if summary.squares is None else split(summary.squares)[..., k])
        for k in range(value.shape[-1])
    ]
    return reduce(partial(merged, kind), parts)


def total(summary: Summary) -> np.ndarray:
    """The sum that a summary is of."""
    return summary.value if summary.squares is None else summary.value * summary.count


def squares_about(summary: Summary, centre: np.ndarray | float) -> np.ndarray:
    """The sum of squares about anything."""
    assert summary.squares is not None
    return summary.squares + summary.count * (summary.value - centre) ** 2


def variance(summary: Summary) -> np.ndarray:
    """The mean square about the mean."""
    assert summary.squares is not None
    return summary.squares / summary.count
