"""Pairs of means that lie too close together: a sum over the pairs of those that are present, whatever the bound is."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from shiftjax._typing import Array, ArrayLike, Bool, Float
from shiftjax._xla_cpu import cpu_form


class Sizes(NamedTuple):
    """Of the part of the table of pairs that is looked at together."""

    rows: int
    columns: int


# Differences that stay in a CPU's cache; and as many as an accelerator takes at once, where a turn of a loop is dear.
ON_CPU, ELSEWHERE = Sizes(64, 256), Sizes(512, 512)
FEW_CHANNELS = (
    4  # so short an axis XLA's CPU backend sums a value at a time: 12 ns for a pair of 3 channels, 3 written out
)


class _Block(NamedTuple):
    """A part of the table of pairs.

    Attributes:
        shortfall: how much a pair lacks, `(row, column)`; 0 where it lacks nothing, or is no pair.
        away: unit vector that points from the column's mean to the row's, `(channel, row, column)`.
    """

    shortfall: Array
    away: Array


def pairs_shortfall(
    means: Float[Array, "instance channel"], present: Bool[Array, " instance"], reach: ArrayLike
) -> Float[Array, ""]:
    """Sum over the ordered pairs of different instances of the squared shortfall of their distance from `reach`.

    Differentiable once, in reverse mode: the loops are as long as there are instances present, which is known at run
    time only. Means that coincide have the gradient of means that meet along the first channel in the order of their
    numbers.

    Args:
        means: `(instance, channel)`.
        present: which of them count, `(instance,)`.
        reach: distance from which on nothing is lacking.
    """
    count = len(means)
    index = jnp.flatnonzero(present, size=count, fill_value=count)
    packed = means.at[index].get(mode="fill", fill_value=0)  # the present ones first, in their order
    return _shortfall(packed, jnp.sum(present), jnp.asarray(reach, means.dtype))


@jax.custom_vjp
def _shortfall(means: Array, present: Array, reach: Array) -> Array:
    """Of the first `present` means."""

    def total(means: Array, present: Array, reach: Array, sizes: Sizes) -> Array:
        def add(row: Array, column: Array, total: Array) -> Array:
            # A product of vectors: XLA's CPU backend adds up a sum over all pairs one after the other.
            lacking = _shortfalls(means, present, reach, row, column, sizes).reshape(-1)
            return total + jnp.dot(lacking, lacking, precision=lax.Precision.HIGHEST)

        return _over_blocks(add, present, jnp.zeros((), means.dtype), sizes)

    return _in_sizes(total, means, present, reach)


def _gradients(saved: tuple[Array, Array, Array], gradient: Array) -> tuple[Array, None, Array]:
    def sums(means: Array, present: Array, reach: Array, sizes: Sizes) -> tuple[Array, Array]:
        def add(row: Array, column: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            pushes, total = state
            block, start = _block(means, present, reach, row, column, sizes), row * sizes.rows
            own = lax.dynamic_slice_in_dim(pushes, start, sizes.rows) + jnp.sum(block.shortfall * block.away, axis=2).T
            return lax.dynamic_update_slice_in_dim(pushes, own, start, 0), total + jnp.sum(block.shortfall)

        pushes, total = _over_blocks(add, present, (jnp.zeros_like(means), jnp.zeros_like(reach)), sizes)
        return pushes[: -sizes.columns], total  # without the rows that follow the means

    pushes, total = _in_sizes(sums, *saved)
    return -4 * gradient * pushes, None, 2 * gradient * total  # each pair is there in both orders


_shortfall.defvjp(lambda *operands: (_shortfall(*operands), operands), _gradients)


def _in_sizes(fn: Callable[..., Any], means: Array, present: Array, reach: Array) -> Any:
    """The function with the sizes of the platform, given means that are followed by a block of zeros."""

    def form(sizes: Sizes) -> Callable[..., Any]:
        fitting = Sizes(*(min(size, len(means)) for size in sizes))
        return lambda means, *rest: fn(jnp.pad(means, ((0, fitting.columns), (0, 0))), *rest, fitting)

    return cpu_form(form(ON_CPU), form(ELSEWHERE), means, present, reach)


def _over_blocks(add: Callable[..., Any], present: Array, start: Any, sizes: Sizes) -> Any:
    """`state = add(row, column, state)` for every block of the table that holds a pair."""
    rows, columns = ((present + size - 1) // size for size in sizes)

    def along_row(row: Array, state: Any) -> Any:
        return lax.fori_loop(0, columns, lambda column, state: add(row, column, state), state)

    return lax.fori_loop(0, rows, along_row, start)


def _differences(means: Array, present: Array, row: Array, column: Array, sizes: Sizes) -> tuple[Array, Array, Array]:
    """Of the means of a block: one minus the other, which are pairs, and how much further on the other one comes."""
    starts = row * sizes.rows, column * sizes.columns
    own, others = (lax.dynamic_slice_in_dim(means, a, n).T for a, n in zip(starts, sizes, strict=True))
    i, j = (a + jnp.arange(n) for a, n in zip(starts, sizes, strict=True))
    pairs = (i[:, None] < present) & (j < present) & (i[:, None] != j)
    return own[:, :, None] - others[:, None], pairs, j - i[:, None]


def _shortfalls(means: Array, present: Array, reach: Array, row: Array, column: Array, sizes: Sizes) -> Array:
    """How much each pair of a block lacks, `(row, column)`; 0 where it lacks nothing, or is no pair."""
    difference, pairs, _ = _differences(means, present, row, column, sizes)
    squares = difference**2
    few = len(difference) <= FEW_CHANNELS
    square = functools.reduce(operator.add, squares) if few else jnp.sum(squares, axis=0)
    return jnp.where(pairs, jnp.maximum(reach - jnp.sqrt(square), 0), 0)


def _block(means: Array, present: Array, reach: Array, row: Array, column: Array, sizes: Sizes) -> _Block:
    difference, pairs, further = _differences(means, present, row, column, sizes)
    square = jnp.sum(difference**2, axis=0)
    apart = ~(square == 0)  # true for NaN
    distance = jnp.sqrt(jnp.where(apart, square, 1))
    shortfall = jnp.where(pairs, jnp.maximum(reach - jnp.where(apart, distance, 0), 0), 0)
    # Where two means coincide the distance is zero with a fixed unit gradient, so that the pair can leave the collapse.
    first = (jnp.arange(len(difference)) == 0)[:, None, None]
    away = jnp.where(apart, difference / distance, jnp.where(first, jnp.sign(further), 0))
    return _Block(shortfall, jnp.where(pairs, away, 0))
