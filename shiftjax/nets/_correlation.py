"""Cross-correlation at stride 1: the one place that knows which form of it each backend runs fast.

Accelerators take it as it is. XLA's CPU backend is slow at two forms and gives the same sums faster in others:
- a 2-D correlation without padding copies every window of the image out, many times the memory of the image and 3 to
  10 times as long (up to the XLA of JAX 0.10; that of JAX 0.12 does not). With one row of padding it does not;
- a 3-D correlation is a slice-by-slice 2-D one, of slices laid side by side as channels: 3 to 8 times faster. Filling
  the result a few slices at a time, it takes no memory but that of its operand and its result.
The map never depends on the image's size, so that a tile and a whole image are computed alike.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from shiftjax._typing import Array
from shiftjax.nets._slabs import filled, in_pieces

FREE, FEW = 144, 16  # products per output pixel, and features, up to which padding gains nothing

Layers = Sequence[tuple[Array, Array]]  # kernel and bias of each
Activation = Callable[[Array], Array]

# Activations that may see a part of a layer; of another one nobody knows what it reads.
POINTWISE = [jnp.abs, jnp.sin, jnp.cos, jnp.tanh, jax.nn.relu, jax.nn.relu6, jax.nn.leaky_relu, jax.nn.elu, jax.nn.celu]
POINTWISE += [jax.nn.selu, jax.nn.gelu, jax.nn.silu, jax.nn.softplus, jax.nn.sigmoid, jax.nn.hard_tanh, jax.nn.mish]


def correlate(x: Array, kernel: Array, padding: str) -> Array:
    """`(batch, *space, channel)` with `(*window, channel, features)`."""
    if jax.default_backend() != "cpu" or math.prod(kernel.shape[:-2]) == 1:
        return _direct(x, kernel, padding)
    return _slices(x, kernel, padding) if in_pieces(x) else _padded(x, kernel, padding)


def correlate_in_turn(xs: Sequence[Array], layers: Layers, activation: Activation, padding: str) -> Array:
    """Layers of a correlation, a bias and an activation; the first reads all arrays, side by side as channels."""
    if in_pieces(xs[0]) and padding == "VALID" and activation in POINTWISE:
        return _pieces_in_turn(tuple(xs), layers, activation)
    return _in_turn(xs, layers, activation, padding)


def _in_turn(xs: Sequence[Array], layers: Layers, activation: Activation, padding: str) -> Array:
    x = jnp.concatenate(xs, axis=-1)
    for kernel, bias in layers:
        x = activation(correlate(x, kernel, padding) + bias)
    return x


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _pieces_in_turn(xs: tuple[Array, ...], layers: Layers, activation: Activation) -> Array:
    """Piece by piece through all layers, so that nothing between them is ever whole."""

    def piece(*xs: Array) -> Array:
        x = jnp.concatenate(xs, axis=-1)
        for kernel, bias in layers:
            x = activation(_at_once(x, kernel, "VALID") + bias)
        return x

    return filled(piece, xs, sum(kernel.shape[0] - 1 for kernel, _ in layers))


@_pieces_in_turn.defjvp
def _(activation: Activation, at: tuple[Any, Layers], along: tuple[Any, Layers]) -> tuple[Array, Array]:
    return jax.jvp(lambda xs, layers: _in_turn(xs, layers, activation, "VALID"), at, along)


def _direct(x: Array, kernel: Array, padding: str | Sequence[tuple[int, int]]) -> Array:
    ndim = x.ndim - 2
    space = tuple(range(1, ndim + 1))
    layout = lax.ConvDimensionNumbers(
        lhs_spec=(0, ndim + 1, *space),
        rhs_spec=(ndim + 1, ndim, *range(ndim)),
        out_spec=(0, ndim + 1, *space),
    )
    return lax.conv_general_dilated(x, kernel, (1,) * ndim, padding, dimension_numbers=layout)


def _padded(x: Array, kernel: Array, padding: str) -> Array:
    """With one more row than asked for, which is cut off again; the cut melts into what comes next."""
    products, features = math.prod(kernel.shape[:-1]), kernel.shape[-1]
    if padding == "SAME" or (products <= FREE and features <= FEW):
        return _direct(x, kernel, padding)
    more = _direct(x, kernel, [(0, 1)] + [(0, 0)] * (x.ndim - 3))
    return lax.slice_in_dim(more, 0, x.shape[1] - kernel.shape[0] + 1, axis=1)


def _slices(x: Array, kernel: Array, padding: str) -> Array:
    depth = kernel.shape[0]
    if padding == "SAME":
        sides = [(0, 0, 0)] * x.ndim
        sides[1] = ((depth - 1) // 2, depth // 2, 0)
        x = lax.pad(x, x.dtype.type(0), sides)
    return _one(x, kernel, padding)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _one(x: Array, kernel: Array, padding: str) -> Array:
    return filled(lambda x: _at_once(x, kernel, padding), [x], kernel.shape[0] - 1)


@_one.defjvp
def _(padding: str, at: tuple[Array, Array], along: tuple[Array, Array]) -> tuple[Array, Array]:
    """A loop's gradient would keep the image once per turn: the tangents take forms of one piece."""
    (x, kernel), (dx, dkernel) = at, along
    return _one(x, kernel, padding), _by_slice(dx, kernel, padding) + _at_once(x, dkernel, padding)


def _at_once(x: Array, kernel: Array, padding: str) -> Array:
    """All slices that one output slice reads, side by side as channels."""
    depth, *window, channels, features = kernel.shape
    kept = x.shape[1] - depth + 1
    beside = jnp.concatenate([lax.slice_in_dim(x, k, k + kept, axis=1) for k in range(depth)], axis=-1)
    flat = jnp.moveaxis(kernel, 0, -3).reshape(*window, depth * channels, features)
    return _by_batch(beside, flat, padding)


def _by_slice(x: Array, kernel: Array, padding: str) -> Array:
    """The sum over the kernel's depth, one slice of it at a time."""
    depth = kernel.shape[0]
    kept = x.shape[1] - depth + 1
    # Cut after the correlation and not before: slices of the image would be copies.
    parts = [lax.slice_in_dim(_by_batch(x, kernel[k], padding), k, k + kept, axis=1) for k in range(depth)]
    return sum(parts[1:], start=parts[0])


def _by_batch(x: Array, kernel: Array, padding: str) -> Array:
    """2-D, slice by slice."""
    y = _padded(x.reshape(-1, *x.shape[2:]), kernel, padding)
    return y.reshape(*x.shape[:2], *y.shape[1:])
