"""Maxima and means over windows, of a given size or a given number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from shiftjax._arithmetic import ceil_div
from shiftjax.nets import operators
from shiftjax.translation._torch._operations.table import (
    Unsupported,
    channels_first,
    channels_last,
    each,
    operation,
    wide,
)

Ints = int | Sequence[int]


class Windows(NamedTuple):
    """Windows along an axis of `size` pixels.

    Attributes:
        size: pixels of the image.
        kernel: pixels of a window.
        stride: from one to the next.
        pad: pixels beyond either end.
        dilation: from one pixel of a window to the next.
        number: of windows.
    """

    size: int
    kernel: int
    stride: int
    pad: int
    dilation: int
    number: int

    @property
    def right(self) -> int:
        """Pixels beyond the right end, which the last window may need more of than `pad` if sizes are rounded up."""
        end = (self.number - 1) * self.stride + self.dilation * (self.kernel - 1) + 1 - self.pad
        return max(self.pad, end - self.size)


def _windows(
    sizes: Sequence[int], kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
) -> list[Windows]:
    ndim = len(sizes)
    kernels = each(kernel, ndim)
    strides = each(stride, ndim) if stride != [] and stride != () else kernels
    parts = zip(sizes, kernels, strides, each(padding, ndim), each(dilation, ndim), strict=True)
    return [Windows(n, k, s, p, d, _count(n, k, s, p, d, ceil_mode)) for n, k, s, p, d in parts]


def _count(size: int, kernel: int, stride: int, pad: int, dilation: int, ceil_mode: bool) -> int:
    """As many windows as fit; rounded up, one more, cut off at the end, if it begins before the right padding."""
    free = size + 2 * pad - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return free // stride + 1
    count = ceil_div(free, stride) + 1
    return count - 1 if (count - 1) * stride >= size + pad else count


def _reduce(x: Any, windows: Sequence[Windows], empty: Any, join: Callable[..., Any]) -> Any:
    lead = x.ndim - len(windows)
    y = lax.reduce_window(
        x,
        empty,
        join,
        (1,) * lead + tuple(w.kernel for w in windows),
        (1,) * lead + tuple(w.stride for w in windows),
        [(0, 0)] * lead + [(w.pad, w.right) for w in windows],
        window_dilation=(1,) * lead + tuple(w.dilation for w in windows),
    )
    return y[(..., *(slice(w.number) for w in windows))]


def _side_by_side(w: Windows) -> bool:
    """Whether windows are blocks within the image."""
    return w.kernel == w.stride and w.pad == 0 and w.dilation == 1 and w.number * w.kernel <= w.size


def _largest_of_blocks(x: Any, windows: Sequence[Windows]) -> Any:
    """As this library's networks compute it: with channels last, with a fast gradient, which equal values share."""
    x = x[(..., *(slice(w.number * w.kernel) for w in windows))]
    return channels_first(operators.max_pool(channels_last(x), [w.kernel for w in windows]))


def _max_pool(ndim: int) -> Callable[..., Any]:
    def max_pool(
        x: Any, kernel_size: Ints, stride: Ints = (), padding: Ints = 0, dilation: Ints = 1, ceil_mode: bool = False
    ) -> Any:
        """out[i] = the largest of x[stride * i + dilation * k - padding] within the image."""
        windows = _windows(x.shape[-ndim:], kernel_size, stride, padding, dilation, ceil_mode)
        if x.ndim == ndim + 2 and all(map(_side_by_side, windows)):
            return _largest_of_blocks(x, windows)
        least = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
        return _reduce(x, windows, np.array(least, x.dtype), lax.max)

    return max_pool


def _avg_pool(ndim: int) -> Callable[..., Any]:
    def avg_pool(
        x: Any,
        kernel_size: Ints,
        stride: Ints = (),
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Any:
        """out[i] = the sum of x[stride * i + k - padding] over the number of pixels, or over a given divisor."""
        windows = _windows(x.shape[-ndim:], kernel_size, stride, padding, 1, ceil_mode)
        x = wide(x)
        total = _reduce(x, windows, np.array(0, x.dtype), lax.add)
        if divisor_override is not None:
            return total / divisor_override
        for axis, window in enumerate(windows, start=x.ndim - ndim):
            counts = _counts(window, padded=count_include_pad)
            if len(set(counts)) == 1:
                total = total / counts[0]
            else:
                total = total / np.array(counts, x.dtype).reshape(-1, *(1,) * (x.ndim - axis - 1))
        return total

    return avg_pool


def _counts(window: Windows, *, padded: bool) -> list[int]:
    """Pixels of each window that count: those in the image, or those in the image with its padding."""
    low, high = (-window.pad, window.size + window.pad) if padded else (0, window.size)
    starts = [i * window.stride - window.pad for i in range(window.number)]
    return [min(start + window.kernel, high) - max(start, low) for start in starts]


def _bins(n: int, count: int) -> list[slice]:
    """So many windows that cover n pixels, of nearly the same size."""
    return [slice(i * n // count, ceil_div((i + 1) * n, count)) for i in range(count)]


def _adaptive(ndim: int, reduce: Callable[..., Any]) -> Callable[..., Any]:
    def adaptive_pool(x: Any, output_size: Ints) -> Any:
        """So many windows that cover the image: their sizes depend on that of the image."""
        counts, space = each(output_size, ndim), tuple(range(x.ndim - ndim, x.ndim))
        if all(count == 1 for count in counts):  # a statistic of the whole image, by which it is known
            return reduce(x, axis=space, keepdims=True)
        for axis, count in zip(space, counts, strict=True):
            n = x.shape[axis]
            if count == 1:
                x = reduce(x, axis=axis, keepdims=True)
            elif n % count == 0:
                parts = x.reshape(*x.shape[:axis], count, n // count, *x.shape[axis + 1 :])
                x = reduce(parts, axis=axis + 1)
            else:
                pieces = [lax.slice_in_dim(x, b.start, b.stop, axis=axis) for b in _bins(n, count)]
                x = jnp.concatenate([reduce(piece, axis=axis, keepdims=True) for piece in pieces], axis)
        return x

    return adaptive_pool


class Places:
    """Stands for the places of maxima, which nobody computes here."""

    def refuse(self) -> None:
        raise Unsupported("it uses the places of the maxima, not their values")


def _with_places(pool: Callable[..., Any]) -> Callable[..., Any]:
    def pool_with_places(*args: Any, **options: Any) -> Any:
        return pool(*args, **options), Places()

    return pool_with_places


for _ndim in (1, 2, 3):
    operation(f"max_pool{_ndim}d")(_max_pool(_ndim))
    operation(f"avg_pool{_ndim}d")(_avg_pool(_ndim))
    operation(f"adaptive_avg_pool{_ndim}d", *([f"_adaptive_avg_pool{_ndim}d"] if _ndim > 1 else []))(
        _adaptive(_ndim, jnp.mean)
    )
    operation(f"adaptive_max_pool{_ndim}d")(_with_places(_adaptive(_ndim, jnp.max)))
    operation(f"max_pool{_ndim}d_with_indices")(_with_places(_max_pool(_ndim)))
