"""Windows of an image that go on beyond its border, read from memory or disk alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

PADS = ("reflect", "edge", "constant")
Read = Callable[[tuple[slice, ...]], np.ndarray]  # image pixels -> (batch, *space, channel)


def read_window(read: Read, space: Sequence[int], start: Sequence[int], size: Sequence[int], pad: str) -> np.ndarray:
    """A window of the padded image: what `np.pad` with this mode would hold there, without padding the image.

    Args:
        read: gives `(batch, *space, channel)` for slices that lie within the image.
        space: pixels of the image per axis.
        start: image pixel of the window's first; may be negative.
        size: pixels of the window per axis.
        pad: "reflect", "edge" or "constant" (zeros).

    Returns:
        `(batch, *size, channel)`.
    """
    if all(a >= 0 and a + n <= whole for a, n, whole in zip(start, size, space, strict=True)):
        return read(tuple(slice(a, a + n) for a, n in zip(start, size, strict=True)))
    places = [np.arange(a, a + n) for a, n in zip(start, size, strict=True)]
    sources = [_inside(place, whole, pad) for place, whole in zip(places, space, strict=True)]
    block = read(tuple(slice(int(index.min()), int(index.max()) + 1) for index in sources))
    for axis, index in enumerate(sources, start=1):
        block = block.take(index - index.min(), axis)
    if pad == "constant":
        for axis, (place, whole) in enumerate(zip(places, space, strict=True), start=1):
            inside = ((place >= 0) & (place < whole)).reshape(-1, *[1] * (block.ndim - axis - 1))
            block = np.where(inside, block, np.zeros((), block.dtype))
    return block


def _inside(place: np.ndarray, whole: int, pad: str) -> np.ndarray:
    """The image pixel that stands at each place of the padded image."""
    if pad != "reflect":
        return place.clip(0, whole - 1)
    turn = max(1, 2 * (whole - 1))
    folded = place % turn
    return np.minimum(folded, turn - folded)
