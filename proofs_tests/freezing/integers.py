"""Statistics of the whole image in integers: sums, maxima and shifts, exact whatever the order."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from shiftjax.testing import injective

Layer = Callable[[jax.Array], jax.Array]


def centred(y: jax.Array) -> jax.Array:
    """As a norm without its variance: less a part of the sum over space."""
    return y - (y.sum(space(y), keepdims=True) >> 4)


def from_the_largest(y: jax.Array) -> jax.Array:
    """As a softmax over space begins, and with the smallest value too."""
    return y - y.max(space(y), keepdims=True) + 3 * y.min(space(y), keepdims=True)


def excited(y: jax.Array) -> jax.Array:
    """Squeeze-and-excite: channels weighted by what two layers make of their sums."""
    sums = injective(y.sum(space(y)) * jnp.arange(1, y.shape[-1] + 1))
    weights = sums[:, ::-1] + sums
    return y * weights.reshape(y.shape[0], *(1 for _ in space(y)), -1)


def by_groups(y: jax.Array) -> jax.Array:
    """As a group norm: all channels have one sum."""
    return y + y.sum((*space(y), y.ndim - 1), keepdims=True)


def space(y: jax.Array) -> tuple[int, ...]:
    return tuple(range(1, y.ndim - 1))


FORMS = (centred, from_the_largest, excited, by_groups)
