"""Forms of a 2-D correlation at stride 1, and the table that says which of them XLA's CPU backend runs fast.

Every form adds up the same products, so that in int32, where sums wrap around, all of them agree bit for bit. Which
form is taken depends on the kernel alone and never on the image's size, so that a tile and a whole image are computed
alike. Measured on 2 cores, ms forward; in parentheses with the XLA of JAX 0.12, which copies no windows:

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
from shiftjax._xla_cpu import COPIES_WINDOWS

Form = Callable[[Array, Array, str], Array]  # of an image with a kernel, padded as said

MOST_TERMS, MOST_PRODUCTS = 36, 96  # of a sum that XLA writes out: values per output, and channels times features
LEAST_FEATURES, LEAST_CHANNELS = 32, 16  # from which on three rows side by side are worth their copy
DEEP = 64  # channels and features from which on a kernel's gradient is a product of matrices sooner than a correlation


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
    if COPIES_WINDOWS and images and features >= max(channels, LEAST_FEATURES) and channels >= LEAST_CHANNELS:
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


def _differentiated(form: Form) -> Form:
    """The form, whose derivative is taken of forms that are fast at that."""
    fast = jax.custom_jvp(form, nondiff_argnums=(2,))

    @fast.defjvp
    def _(padding: str, primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
        (x, kernel), (dx, dkernel) = primals, tangents
        return fast(x, kernel, padding), direct(dx, kernel, padding) + _for_kernels(x, dkernel, padding)

    return functools.wraps(form)(lambda x, kernel, padding: fast(x, kernel, padding))


def _for_kernels(x: Array, kernel: Array, padding: str) -> Array:
    """A form whose transpose, the gradient of a kernel, is fast."""
    if padding == "VALID" and min(kernel.shape[-2:]) >= DEEP:
        return _products_by_rows(x, kernel)
    return direct(x, kernel, padding)


@_differentiated
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


@_differentiated
def rows_as_channels(x: Array, kernel: Array, padding: str) -> Array:
    """All rows that an output row reads, side by side as channels, and a correlation along rows."""
    rows, columns, channels, features = kernel.shape
    height = x.shape[1] - rows + 1
    side_by_side = jnp.concatenate([lax.slice_in_dim(x, i, i + height, axis=1) for i in range(rows)], axis=-1)
    flat = kernel.transpose(1, 0, 2, 3).reshape(1, columns, rows * channels, features)
    return without_copies(side_by_side, flat, padding)


def _products_by_rows(x: Array, kernel: Array) -> Array:
    """The columns that an output reads side by side as channels, and a product of matrices for each row."""
    rows, columns, channels, features = kernel.shape
    height, width = x.shape[1] - rows + 1, x.shape[2] - columns + 1
    side_by_side = jnp.concatenate([lax.slice_in_dim(x, j, j + width, axis=2) for j in range(columns)], axis=-1)
    flat = kernel.reshape(rows, columns * channels, features)
    parts = [
        lax.dot_general(lax.slice_in_dim(side_by_side, i, i + height, axis=1), flat[i], (((3,), (0,)), ((), ())))
        for i in range(rows)
    ]
    return sum(parts[1:], start=parts[0])


def padded(x: Array, window: Sequence[int], padding: str) -> Array:
    """An image with the zeros around it that "SAME" asks for."""
    if padding == "VALID":
        return x
    return lax.pad(x, x.dtype.type(0), [(0, 0, 0), *(((n - 1) // 2, n // 2, 0) for n in window), (0, 0, 0)])
