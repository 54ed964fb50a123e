"""The operators of an encoder-decoder, as functions of arrays `(batch, *space, channel)`.

They take any dtype. In int32, sums and products wrap around: results do not depend on the order of summation, and two
ways to the same output agree bit for bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from shiftjax._checks import fail, one_of, shown
from shiftjax._typing import Array, Shaped
from shiftjax._xla_cpu import cpu_form
from shiftjax.nets._correlation import correlate, correlate_in_turn
from shiftjax.nets._slabs import is_volume, slab_by_slab

PADDINGS = ("VALID", "SAME")


def convolve(
    x: Shaped[Array, "batch *space channel"],
    kernel: Shaped[Array, "*window channel features"],
    bias: Shaped[Array, " features"] | None = None,
    *,
    padding: str = "VALID",
) -> Shaped[Array, "batch *out features"]:
    """Cross-correlates `x` with `kernel` at stride 1.

    Valid convolution of an axis of n pixels with a kernel of k gives n - k + 1; output pixel j reads input pixels
    j .. j + k - 1. With `padding="SAME"` the output has n pixels and reads (k - 1) // 2 pixels to its left.

    Args:
        x: `(batch, *space, channel)`.
        kernel: `(*window, channel, features)`, the window in pixels of `x`.
        bias: `(features,)`, or None.
        padding: "VALID" or "SAME" (zeros).

    Returns:
        `(batch, *out, features)`.

    Raises:
        ValueError: another padding.
    """
    one_of("padding", padding, PADDINGS)
    y = correlate(x, kernel, padding)
    return y if bias is None else y + bias


def convolve_in_turn(
    xs: Sequence[Shaped[Array, "batch *space _"]],
    layers: Sequence[tuple[Array, Array]],
    activation: Callable[[Array], Array],
    *,
    padding: str = "VALID",
) -> Shaped[Array, "batch *out features"]:
    """Applies `activation(convolve(x, kernel, bias))` for every layer in turn.

    Args:
        xs: arrays `(batch, *space, channel)` on the same pixels; the first layer reads all of them, as channels.
        layers: of each layer the kernel `(*window, channel, features)` and the bias `(features,)`.
        activation: a function of an array of any shape `(...)`, of each element alone.
        padding: of every layer, as `convolve` takes it.

    Returns:
        `(batch, *out, features)` of the last layer.

    Raises:
        ValueError: another padding.
    """
    one_of("padding", padding, PADDINGS)
    return correlate_in_turn(xs, layers, activation, padding)


def max_pool(x: Shaped[Array, "batch *space channel"], factors: Sequence[int]) -> Shaped[Array, "batch *out channel"]:
    """The maximum over blocks of pixels.

    Args:
        x: `(batch, *space, channel)`; every axis of space must be a multiple of its factor.
        factors: pixels of a block, per axis.

    Returns:
        `(batch, *out, channel)`, with one pixel for each block.

    Raises:
        ValueError: factors that do not divide the axes of space, or not one for each.
    """
    space = x.shape[1:-1]
    if len(factors) != len(space) or any(n % factor for n, factor in zip(space, factors, strict=True)):
        fail("factors", f"one for each of the axes {space}, which divides it", shown(tuple(factors)))
    for axis, factor in enumerate(factors, start=1):
        x = _pool_axis(x, axis, factor)
    return x


def _pool_axis(x: Array, axis: int, factor: int) -> Array:
    # A maximum of strided slices: its gradient is elementwise, where that of a reduce_window scatters (3 to 6 times
    # slower on CPU), and ties share the gradient, as a constant image needs.
    slices = [lax.slice_in_dim(x, i, None, stride=factor, axis=axis) for i in range(factor)]
    while len(slices) > 1:  # in pairs, so that ties share alike where the factor is a power of 2
        pairs = [jnp.maximum(a, b) for a, b in zip(slices[::2], slices[1::2], strict=False)]
        slices = pairs + slices[len(pairs) * 2 :]
    return slices[0]


def upsample_nearest(
    x: Shaped[Array, "batch *space channel"], factors: Sequence[int]
) -> Shaped[Array, "batch *out channel"]:
    """Repeats every pixel.

    Args:
        x: `(batch, *space, channel)`.
        factors: how many output pixels repeat an input pixel, per axis.

    Returns:
        `(batch, *out, channel)`, with `factors` times as many pixels per axis.
    """
    shape = x.shape[1:-1]
    split = [n for pixels in shape for n in (pixels, 1)]
    blocks = [n for pair in zip(shape, factors, strict=True) for n in pair]
    x = x.reshape(x.shape[0], *split, x.shape[-1])
    x = jnp.broadcast_to(x, (x.shape[0], *blocks, x.shape[-1]))
    return _merge_blocks(x, shape, factors)


def upsample_learned(
    x: Shaped[Array, "batch *space channel"],
    kernel: Shaped[Array, "*factors channel features"],
    bias: Shaped[Array, " features"] | None = None,
) -> Shaped[Array, "batch *out features"]:
    """Transposed convolution whose kernel equals its stride: every pixel writes a block of its own.

    The factors are the leading axes of `kernel`. Blocks do not overlap, so it is one matrix product followed by a
    change of layout, and the whole output is exact (a wider kernel would leave partial sums at the ends).

    Args:
        x: `(batch, *space, channel)`.
        kernel: `(*factors, channel, features)`, the factors in output pixels per input pixel.
        bias: `(features,)`, or None.

    Returns:
        `(batch, *out, features)`, with `factors` times as many pixels per axis.
    """
    factors = kernel.shape[:-2]
    ndim = x.ndim - 2
    blocks = lax.dot_general(x, kernel, (((ndim + 1,), (ndim,)), ((), ())))
    pairs = [axis for k in range(1, ndim + 1) for axis in (k, ndim + k)]  # each axis of `x` with that of its factor
    y = _merge_blocks(blocks.transpose(0, *pairs, 2 * ndim + 1), x.shape[1:-1], factors)
    return y if bias is None else y + bias


def _merge_blocks(x: Array, space: Sequence[int], factors: Sequence[int]) -> Array:
    """From `(batch, n, f, m, g, ..., channel)` to `(batch, n * f, m * g, ..., channel)`."""
    merged = [n * f for n, f in zip(space, factors, strict=True)]
    return x.reshape(x.shape[0], *merged, x.shape[-1])


def crop(
    x: Shaped[Array, "batch *space channel"], start: Sequence[int], size: Sequence[int]
) -> Shaped[Array, "batch *out channel"]:
    """Cuts a window out of an image.

    Args:
        x: `(batch, *space, channel)`.
        start: first pixel of the window, per axis.
        size: pixels of the window, per axis.

    Returns:
        `(batch, *size, channel)`.
    """
    stop = [a + n for a, n in zip(start, size, strict=True)]
    return lax.slice(x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def crop_copy(
    x: Shaped[Array, "batch *space channel"], start: tuple[int, ...], size: tuple[int, ...]
) -> Shaped[Array, "batch *out channel"]:
    """`crop`, as an array of its own, so that `x` need not be kept until the crop is used.

    Skip connections are used long after they are cropped, and XLA would fuse the crop with that use.

    Args:
        x: `(batch, *space, channel)`.
        start: first pixel of the window, per axis.
        size: pixels of the window, per axis.

    Returns:
        `(batch, *size, channel)`.
    """

    def behind_barrier(x: Array) -> Array:
        return lax.optimization_barrier(crop(x, start, size))

    def in_loop(x: Array) -> Array:  # on a CPU, XLA looks through barriers, but not into loops
        return slab_by_slab(lambda y: crop(y, (0, *start[1:]), (y.shape[1], *size[1:])), [x], 0, start[0], size[0])

    return cpu_form(in_loop, behind_barrier, x) if is_volume(x) else behind_barrier(x)


@crop_copy.defjvp
def _(
    start: tuple[int, ...], size: tuple[int, ...], primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    """Cropping is linear; the plain form has the plain gradient, where that of a loop would keep `x` once per turn."""
    return crop_copy(*primals, start, size), crop(*tangents, start, size)
