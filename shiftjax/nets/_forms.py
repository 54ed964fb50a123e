"""Forms of a 2-D correlation at stride 1, and the table that says which of them XLA's CPU backend runs fast.

Every form adds up the same products, so that in int32, where sums wrap around, all of them agree bit for bit. Which
form is taken depends on the kernel alone and never on the image's size, so that a tile and a whole image are computed
alike. Measured on 2 cores by `benchmarks/forms.py`, ms; in parentheses with JAX 0.12, whose XLA copies no windows:

| image, channels -> features | direct    | a row of padding | three rows as channels | sum of products |
|-----------------------------|-----------|------------------|------------------------|-----------------|
| 236^2, 1 -> 16              | 2.4 (2.6) | 2.4 (2.8)        | 1.3 (1.7)              | **0.4 (0.5)**   |
| 236^2, 3 -> 16              | 4.0 (2.9) | 4.1 (3.1)        | 3.0 (2.5)              | **1.5 (1.3)**   |
| 236^2, 3 -> 64              | 5.2 (3.4) | **4.7 (3.7)**    | 4.3 (4.5)              | 6.1 (4.1)       |
| 234^2, 16 -> 16             | 3.8 (3.2) | **2.8 (3.3)**    | 4.5 (5.7)              | -               |
| 116^2, 16 -> 32             | 3.3 (1.3) | 2.0 (**1.2**)    | **1.6** (1.7)          | -               |
| 114^2, 32 -> 32             | 5.7 (2.1) | 3.6 (**1.9**)    | **3.0** (2.9)          | -               |
| 56^2, 32 -> 64              | 2.1 (1.2) | 1.8 (**1.2**)    | **1.1** (1.3)          | -               |
| 54^2, 64 -> 64              | 3.5 (1.8) | 3.2 (**1.9**)    | **2.6** (2.0)          | -               |
| 24^2, 128 -> 128            | 2.1 (1.4) | 1.7 (**1.3**)    | **1.6** (1.4)          | -               |
| 84^2, 32 -> 16              | 2.0       | **0.9**          | 1.8                    | -               |

Not taken, since they were never the fastest by much or take many times the memory of the image: all windows side by
side and one product (13 times the time at 234^2), one product per pixel and nine shifted sums, both by rows alone, and
any of these a block of rows at a time.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from shiftjax._typing import Array
from shiftjax._xla_cpu import COPIES_WINDOWS, cpu_form

Form = Callable[[Array, Array, str], Array]  # of an image with a kernel, padded as said

MOST_TERMS, MOST_PRODUCTS = 36, 96  # of a sum that XLA writes out: values per output, and channels times features
LEAST_FEATURES, LEAST_CHANNELS = 32, 16  # from which on three rows side by side are worth their copy


def form_for(shape: Sequence[int], padding: str, *, sums: bool = False) -> Form:
    """The form of a correlation of images, of one axis or two, that a CPU runs fast.

    Args:
        shape: of the kernel, `(*window, channel, features)`.
        padding: "VALID" or "SAME".
        sums: whether sums of products may be written out. In a loop, as over slabs, XLA runs them on one core alone.
    """
    *window, channels, features = shape
    images, taps = len(window) == 2, math.prod(window)
    if taps == 1:
        return direct
    if sums and images and taps * channels <= MOST_TERMS and channels * features <= MOST_PRODUCTS:
        return sum_of_products
    if padding != "VALID":
        return direct
    if COPIES_WINDOWS and images and _widens(shape, LEAST_CHANNELS, LEAST_FEATURES):
        return rows_as_channels
    return without_copies


def direct(x: Array, kernel: Array, padding: str | Sequence[tuple[int, int]] = "VALID") -> Array:
    """The definition, in one operation, of any number of axes."""
    ndim = x.ndim - 2
    space = tuple(range(1, ndim + 1))
    layout = lax.ConvDimensionNumbers(
        lhs_spec=(0, ndim + 1, *space),
        rhs_spec=(ndim + 1, ndim, *range(ndim)),
        out_spec=(0, ndim + 1, *space),
    )
    return lax.conv_general_dilated(x, kernel, (1,) * ndim, padding, dimension_numbers=layout)


def without_copies(x: Array, kernel: Array, padding: str) -> Array:
    """Valid, with one row of padding at the end, where XLA would copy all windows, and without the result's last row.

    That row alone reads the padding. Leaving it out is free: XLA fuses the slice with the next operation.
    """
    longer = direct(x, kernel, [(0, 1)] + [(0, 0)] * (x.ndim - 3))
    return lax.slice_in_dim(longer, 0, x.shape[1] - kernel.shape[0] + 1, axis=1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def in_form(x: Array, kernel: Array, padding: str, form: Form) -> Array:
    """The correlation, on a CPU in this form; its derivatives are taken of forms that are fast at that."""
    return _on_cpu(form, x, kernel, padding)


@in_form.defjvp
def _(padding: str, form: Form, primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    """The product rule."""
    (x, kernel), (dx, dkernel) = primals, tangents
    by_kernel = _on_cpu(for_kernels, x, dkernel, padding)
    return in_form(x, kernel, padding, form), for_images(dx, kernel, padding) + by_kernel


def _on_cpu(form: Form, x: Array, kernel: Array, padding: str) -> Array:
    if form is direct:
        return direct(x, kernel, padding)
    return cpu_form(lambda x, w: form(x, w, padding), lambda x, w: direct(x, w, padding), x, kernel)


def for_kernels(x: Array, kernel: Array, padding: str) -> Array:
    """A correlation in a form whose transpose, the gradient of the kernel, a CPU runs fast.

    Channels come first, and the batch last, so that the transpose is a convolution of images with channels last: in it
    channels are the batch, and the batch is summed over as channels are. XLA brings any other layout into that one, but
    not within loops, conditions and calls, where it takes 30 times as long. In ms with 2 cores, so and with three rows
    side by side (in parentheses the XLA of JAX 0.12): 234^2, 16 -> 16: 5.1 and 8.1 (5.2 and 8.4); 118^2, 64 -> 32: 13.7
    and 8.5 (9.0 and 9.4); 56^2, 32 -> 64: 2.8 and 2.9 (2.3 and 1.8); 24^2, 128 -> 128: 4.1 and 3.3 (2.9 and 2.7);
    236^2, 3 -> 64: 16.6 and 4.7 (12.3 and 4.3).
    """
    *window, channels, features = kernel.shape
    ndim, space = len(window), tuple(range(1, len(window) + 1))
    x, kernel = jnp.swapaxes(x, 0, -1), jnp.moveaxis(kernel, -2, 0)
    if padding != "VALID":  # or XLA would put the two together again, and the transpose of that is ten times slower
        x = lax.optimization_barrier(padded(x, window, padding))
    if ndim == 2 and features >= (LEAST_FEATURES if COPIES_WINDOWS else 2 * LEAST_FEATURES):
        height = x.shape[1] - window[0] + 1
        x = jnp.concatenate([lax.slice_in_dim(x, i, i + height, axis=1) for i in range(window[0])])
        kernel = kernel.swapaxes(0, 1).reshape(window[0] * channels, 1, window[1], features)
    layout = lax.ConvDimensionNumbers(
        lhs_spec=(ndim + 1, 0, *space), rhs_spec=(ndim + 1, 0, *space), out_spec=(ndim, ndim + 1, *range(ndim))
    )
    pads = [(0, 1)] + [(0, 0)] * (ndim - 1)  # a row more, as in `without_copies`
    longer = lax.conv_general_dilated(x, kernel, (1,) * ndim, pads, dimension_numbers=layout)
    return jnp.moveaxis(lax.slice_in_dim(longer, 0, x.shape[1] - kernel.shape[1] + 1), -2, 0)


def for_images(x: Array, kernel: Array, padding: str) -> Array:
    """The definition, of a kernel laid out so that the transpose, the gradient of the image, needs no other layout.

    See `for_kernels`: 5 to 20 times faster within loops, conditions and calls.
    """
    ndim = x.ndim - 2
    space = tuple(range(1, ndim + 1))
    layout = lax.ConvDimensionNumbers(
        lhs_spec=(0, ndim + 1, *space),
        rhs_spec=(ndim, ndim + 1, *range(ndim)),
        out_spec=(0, ndim + 1, *space),
    )
    return lax.conv_general_dilated(x, kernel.swapaxes(-1, -2), (1,) * ndim, padding, dimension_numbers=layout)


def _widens(shape: Sequence[int], channels: int, features: int) -> bool:
    """Whether a layer has at least so many channels, as many features or more, and at least so many of these."""
    window, own, made = shape[:-2], *shape[-2:]
    return math.prod(window) > 1 and own >= channels and made >= max(own, features)


def sum_of_products(x: Array, kernel: Array, padding: str) -> Array:
    """Written out, for XLA to compute in one pass over the image: where few values make an output."""
    x = padded(x, kernel.shape[:-2], padding)
    rows, columns, channels, features = kernel.shape
    shape = (len(x), x.shape[1] - rows + 1, x.shape[2] - columns + 1, features)
    flat = kernel.reshape(rows * columns * channels, features)
    total = None
    for k, (i, j, c) in enumerate(itertools.product(range(rows), range(columns), range(channels))):
        values = lax.slice(x, (0, i, j, c), (len(x), i + shape[1], j + shape[2], c + 1))
        weights = lax.slice_in_dim(flat, k, k + 1)
        term = lax.broadcast_in_dim(values, shape, (0, 1, 2, 3)) * lax.broadcast_in_dim(weights, shape, (2, 3))
        total = term if total is None else total + term
    assert total is not None
    return total


def rows_as_channels(x: Array, kernel: Array, padding: str) -> Array:
    """All rows that an output row reads, side by side as channels, and a correlation along rows."""
    rows, columns, channels, features = kernel.shape
    height = x.shape[1] - rows + 1
    side_by_side = jnp.concatenate([lax.slice_in_dim(x, i, i + height, axis=1) for i in range(rows)], axis=-1)
    flat = kernel.transpose(1, 0, 2, 3).reshape(1, columns, rows * channels, features)
    return without_copies(side_by_side, flat, padding)


def padded(x: Array, window: Sequence[int], padding: str) -> Array:
    """An image with the zeros around it that "SAME" asks for."""
    if padding == "VALID":
        return x
    return lax.pad(x, x.dtype.type(0), [(0, 0, 0), *(((n - 1) // 2, n // 2, 0) for n in window), (0, 0, 0)])
