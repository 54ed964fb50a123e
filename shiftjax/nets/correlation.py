"""Cross-correlation at stride 1: the one place that knows which form of it each backend runs fast.

Accelerators take it as it is. XLA's CPU backend is slow at two forms, and has quick ones that add up to the same sums:
- in 3-D, one 2-D correlation per depth of the kernel, with the slices of the image as its batch: 2 to 6 times faster,
  for twice the memory;
- to few features from many channels, some channels at a time: beyond about 144 products per output pixel it copies
  every window of the image out, several times the memory of the image and, for large images, three times as long.
The form never depends on the image's size, so that a tile and a whole image are computed alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
from jax import lax

from shiftjax._typing import Array

FEW = 16  # features, and channels at a time


def correlate(x: Array, kernel: Array, padding: str) -> Array:
    """`(batch, *space, channel)` with `(*window, channel, features)`."""
    if jax.default_backend() != "cpu":
        return _direct(x, kernel, padding)
    return _slices(x, kernel, padding) if x.ndim == 5 else _pieces(x, kernel, padding)


def _direct(x: Array, kernel: Array, padding: str) -> Array:
    ndim = x.ndim - 2
    space = tuple(range(1, ndim + 1))
    layout = lax.ConvDimensionNumbers(
        lhs_spec=(0, ndim + 1, *space),
        rhs_spec=(ndim + 1, ndim, *range(ndim)),
        out_spec=(0, ndim + 1, *space),
    )
    return lax.conv_general_dilated(x, kernel, (1,) * ndim, padding, dimension_numbers=layout)


def _slices(x: Array, kernel: Array, padding: str) -> Array:
    """3-D as a sum of 2-D."""
    depth = kernel.shape[0]
    if padding == "SAME":
        sides = [(0, 0, 0)] * x.ndim
        sides[1] = ((depth - 1) // 2, depth // 2, 0)
        x = lax.pad(x, x.dtype.type(0), sides)
    kept = x.shape[1] - depth + 1
    flat = x.reshape(-1, *x.shape[2:])

    def parts() -> Iterator[Array]:
        for k in range(depth):
            y = _pieces(flat, kernel[k], padding)
            # Cut after the sum and not before: slices of the image would be copies.
            yield lax.slice_in_dim(y.reshape(*x.shape[:2], *y.shape[1:]), k, k + kept, axis=1)

    return _sum(parts())


def _pieces(x: Array, kernel: Array, padding: str) -> Array:
    """Some channels at a time."""
    channels, features = kernel.shape[-2:]
    if channels <= FEW or features > FEW:
        return _direct(x, kernel, padding)
    ends = [(a, min(a + FEW, channels)) for a in range(0, channels, FEW)]
    return _sum(
        _direct(
            lax.slice_in_dim(x, a, b, axis=x.ndim - 1), lax.slice_in_dim(kernel, a, b, axis=kernel.ndim - 2), padding
        )
        for a, b in ends
    )


def _sum(parts: Iterator[Array]) -> Array:
    total = next(parts)
    for part in parts:
        total = total + part
    return total
