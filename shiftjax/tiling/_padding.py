"""Windows of an image that reach beyond its border, read from memory or from disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

PADS = ("reflect", "edge", "constant")
Read = Callable[[tuple[slice, ...]], np.ndarray]


def read_window(read: Read, space: Sequence[int], start: Sequence[int], size: Sequence[int], pad: str) -> np.ndarray:
    """Reads a window of the padded image: what `np.pad` with this mode would hold there, without padding the image.

    Args:
        read: gives the pixels `(batch, *space, channel)` of the image for slices within it, one per spatial axis.
        space: pixels of the image per axis.
        start: image pixel where the window begins, per axis; negative before the image.
        size: pixels of the window per axis.
        pad: how the image continues beyond its border, one of `PADS`; "constant" means zeros.

    Returns:
        `(batch, *size, channel)`, in the type that `read` gives. Only the smallest block of the image that holds all of
        the window's pixels is read.
    """
    if all(a >= 0 and a + n <= whole for a, n, whole in zip(start, size, space, strict=True)):
        return read(tuple(slice(a, a + n) for a, n in zip(start, size, strict=True)))
    sources = [_sources(a, n, whole, pad) for a, n, whole in zip(start, size, space, strict=True)]
    window = read(tuple(slice(int(index.min()), int(index.max()) + 1) for index in sources))
    for axis, index in enumerate(sources, start=1):
        window = window.take(index - index.min(), axis)
    if pad == "constant":
        zero_outside(window, space, start)
    return window


def zero_outside(window: np.ndarray, space: Sequence[int], start: Sequence[int]) -> None:
    """Sets the pixels of a window that lie outside the image to 0, in place.

    Args:
        window: input pixels `(batch, *size, channel)`.
        space: pixels of the image per axis.
        start: image pixel where the window begins, per axis.
    """
    for axis, (first, whole) in enumerate(zip(start, space, strict=True), start=1):
        along = np.moveaxis(window, axis, 0)
        along[: max(0, -first)] = 0
        along[max(0, whole - first) :] = 0


def _sources(start: int, size: int, whole: int, pad: str) -> np.ndarray:
    """Along one axis, the image pixel that each pixel of the window repeats."""
    at = np.arange(start, start + size)
    if pad != "reflect":
        return at.clip(0, whole - 1)
    # Reflection repeats the image, then the image backwards without its two ends: every 2 (n - 1) pixels.
    cycle = max(1, 2 * (whole - 1))
    return np.minimum(at % cycle, cycle - at % cycle)
