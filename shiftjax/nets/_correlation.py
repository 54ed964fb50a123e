"""Cross-correlation at stride 1: the one place that knows which form of it each platform runs fast.

GPUs and TPUs take it as it is, but for whole numbers, which cuDNN does not convolve. XLA's CPU backend is slow at that,
and gives the same sums faster in other forms: of images those of `_forms.py`; and a 3-D correlation as a 2-D one of
each slice, with the slices that it reads side by side as channels: 3 to 8 times faster. Slab by slab, it takes no
memory but that of its operand and its result.

Every form adds up the same products, so that in int32, where sums wrap around, all of them agree bit for bit. Which
form is taken never depends on the image's size, so that a tile and a whole image are computed alike.
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
from shiftjax._xla_cpu import cpu_form
from shiftjax.nets._forms import Form, direct, for_images, for_kernels, form_for, in_form, padded
from shiftjax.nets._slabs import is_volume, slab_by_slab

Layers = Sequence[tuple[Array, Array]]  # kernel and bias of each
Activation = Callable[[Array], Array]
Correlation = Callable[[Array, Array], Array]  # of an image with a kernel

# Activations known to act on every value alone, and so on a part of a layer as on all of it; another one may read more.
POINTWISE = [jnp.abs, jnp.sin, jnp.cos, jnp.tanh, jax.nn.relu, jax.nn.relu6, jax.nn.leaky_relu, jax.nn.elu, jax.nn.celu]
POINTWISE += [jax.nn.selu, jax.nn.gelu, jax.nn.silu, jax.nn.softplus, jax.nn.sigmoid, jax.nn.hard_tanh, jax.nn.mish]


def correlate(x: Array, kernel: Array, padding: str) -> Array:
    """`(batch, *space, channel)` with `(*window, channel, features)`."""
    if _whole_numbers(x):
        return (_on_cpu if jax.default_backend() == "cpu" else _one_product)(x, kernel, padding)
    if math.prod(kernel.shape[:-2]) == 1:
        return direct(x, kernel, padding)
    if is_volume(x):
        return cpu_form(lambda x, w: _volume(x, w, padding), lambda x, w: direct(x, w, padding), x, kernel)
    return in_form(x, kernel, padding, form_for(kernel.shape, padding, sums=_sums(x)))


def correlate_in_turn(xs: Sequence[Array], layers: Layers, activation: Activation, padding: str) -> Array:
    """Layers of a correlation, a bias and an activation; the first reads all arrays, side by side as channels."""
    # Same padding sets every layer to 0 beyond the ends of the volume, and a slab does not know whether it is at one.
    if is_volume(xs[0]) and padding == "VALID" and activation in POINTWISE:
        form = functools.partial(_volumes_in_turn, activation=activation)
        plain = functools.partial(_layer_by_layer, activation=activation, correlate=_plainly)
        if _whole_numbers(xs[0]):
            return (form if jax.default_backend() == "cpu" else plain)(tuple(xs), layers)
        return cpu_form(form, plain, tuple(xs), layers)
    return _layer_by_layer(xs, layers, activation, functools.partial(correlate, padding=padding))


def _layer_by_layer(xs: Sequence[Array], layers: Layers, activation: Activation, correlate: Correlation) -> Array:
    x = jnp.concatenate(xs, axis=-1)
    for kernel, bias in layers:
        x = activation(correlate(x, kernel) + bias)
    return x


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _volumes_in_turn(xs: tuple[Array, ...], layers: Layers, activation: Activation) -> Array:
    """Slab by slab through all layers, so that no layer between them is ever held whole."""

    def slab(*xs: Array) -> Array:
        x = jnp.concatenate(xs, axis=-1)
        for kernel, bias in layers:
            x = activation(_as_channels(x, kernel, "VALID") + bias)
        return x

    return slab_by_slab(slab, xs, sum(kernel.shape[0] - 1 for kernel, _ in layers))


@_volumes_in_turn.defjvp
def _(activation: Activation, primals: tuple[Any, Layers], tangents: tuple[Any, Layers]) -> tuple[Array, Array]:
    """Differentiated layer by layer: the gradient of a loop would keep the volumes once per turn."""
    return jax.jvp(lambda xs, layers: _layer_by_layer(xs, layers, activation, _on_cpu), primals, tangents)


def _whole_numbers(x: Array) -> bool:
    """Whether this is a proof in exact arithmetic, which runs where it is traced.

    So its form is chosen then, by the default backend: a choice at lowering would take it twice as long to trace.
    """
    return bool(jnp.issubdtype(x.dtype, jnp.integer))


def _plainly(x: Array, kernel: Array) -> Array:
    """Valid, in the form that accelerators run fast."""
    return (_one_product if _whole_numbers(x) else direct)(x, kernel, "VALID")


def _one_product(x: Array, kernel: Array, padding: str) -> Array:
    """Every window's values side by side as channels: one product of matrices, where cuDNN knows no whole numbers."""
    *window, channels, features = kernel.shape
    x = padded(x, window, padding)
    for axis, n in enumerate(window, start=1):  # an axis at a time: the last one's index varies slowest
        size = x.shape[axis] - n + 1
        x = jnp.concatenate([lax.slice_in_dim(x, k, k + size, axis=axis) for k in range(n)], axis=-1)
    order = [*reversed(range(len(window))), len(window), len(window) + 1]
    return lax.dot_general(
        x, kernel.transpose(order).reshape(math.prod(window) * channels, features), (((x.ndim - 1,), (0,)), ((), ()))
    )


def _on_cpu(x: Array, kernel: Array, padding: str = "VALID") -> Array:
    """In the form that XLA's CPU backend runs fast."""
    if math.prod(kernel.shape[:-2]) == 1:
        return direct(x, kernel, padding)
    return (_volume if is_volume(x) else form_for(kernel.shape, padding))(x, kernel, padding)


def _sums(x: Array) -> bool:
    """Whether sums of products may be written out: not in half precision, where each would be rounded.

    Nor in whole numbers, whose proofs are traced more often than they are run.
    """
    return bool(jnp.issubdtype(x.dtype, jnp.floating)) and x.dtype.itemsize >= 4


def _volume(x: Array, kernel: Array, padding: str) -> Array:
    if padding == "SAME":  # along the slices here, so that slabs read the padding of the volume; within a slice below
        depth = kernel.shape[0]
        widths = [(0, 0, 0)] * x.ndim
        widths[1] = ((depth - 1) // 2, depth // 2, 0)
        x = lax.pad(x, x.dtype.type(0), widths)
    return _valid_in_depth(x, kernel, padding)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _valid_in_depth(x: Array, kernel: Array, padding: str) -> Array:
    """Valid along the slices, padded as asked within each."""
    return slab_by_slab(lambda x: _as_channels(x, kernel, padding), [x], kernel.shape[0] - 1)


@_valid_in_depth.defjvp
def _(padding: str, primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    """The product rule, in forms without a loop, whose gradient would keep the image once per turn."""
    (x, kernel), (dx, dkernel) = primals, tangents
    by_kernel = _as_channels(x, dkernel, padding, for_kernels)
    return _valid_in_depth(x, kernel, padding), _sum_of_slices(dx, kernel, padding) + by_kernel


def _as_channels(x: Array, kernel: Array, padding: str, form: Form | None = None) -> Array:
    """All slices that one output slice reads, side by side as channels: the sum over channels is then that over depth.

    `out[i] = sum_k x[i + k] * kernel[k] = concat_k(x[i + k]) * concat_k(kernel[k])`, with `*` the 2-D correlation.
    """
    depth, *window, channels, features = kernel.shape
    slices = x.shape[1] - depth + 1
    side_by_side = jnp.concatenate([lax.slice_in_dim(x, k, k + slices, axis=1) for k in range(depth)], axis=-1)
    flat = jnp.moveaxis(kernel, 0, -3).reshape(*window, depth * channels, features)
    return _slice_by_slice(side_by_side, flat, padding, form)


def _sum_of_slices(x: Array, kernel: Array, padding: str) -> Array:
    """`out[i] = sum_k (x * kernel[k])[i + k]`: one slice of the kernel at a time, without copies of the image."""
    depth = kernel.shape[0]
    slices = x.shape[1] - depth + 1
    # Sliced after the correlation and not before: slices of the image would be copies.
    each = [_slice_by_slice(x, kernel[k], padding, for_images) for k in range(depth)]
    parts = [lax.slice_in_dim(each[k], k, k + slices, axis=1) for k in range(depth)]
    return sum(parts[1:], start=parts[0])


def _slice_by_slice(x: Array, kernel: Array, padding: str, form: Form | None = None) -> Array:
    """A 2-D correlation of every slice: slices are images of one batch."""
    form = form or form_for(kernel.shape, padding)
    y = form(x.reshape(-1, *x.shape[2:]), kernel, padding)
    return y.reshape(*x.shape[:2], *y.shape[1:])
