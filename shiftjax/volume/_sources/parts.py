"""A volume in parts that fit into memory, each stored piece in as few of them as possible."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from shiftjax._arithmetic import ceil_div
from shiftjax.volume._sources.source import Source

AGAIN = 8  # tiles that read one stored piece, from which on it is said
PART = 2**26  # bytes: few requests for large volumes, little memory


def parts(source: Source) -> Iterator[tuple[slice, ...]]:
    """The pixels of an image in parts of about `PART` bytes, as slices of the spatial axes."""
    lengths = dict(zip(source.axes, source.array.shape, strict=True))
    stored = dict(zip(source.axes, pieces(source), strict=True))
    size = [min(stored[name], lengths[name]) for name in source.space_axes]
    room = max(1, PART // (source.dtype.itemsize * source.channels))
    for k in reversed(range(len(size))):  # grown along x first, in whole pieces
        size[k] = min(source.space[k], size[k] * max(1, room // max(1, math.prod(size))))
    for place in product(*(range(0, n, step) for n, step in zip(source.space, size, strict=True))):
        yield tuple(slice(a, min(a + step, n)) for a, step, n in zip(place, size, source.space, strict=True))


def reading_note(source: Source, tile: Sequence[int]) -> str:
    """What a user should know of reading tiles from pieces that are much larger than them; empty where they are not.

    Args:
        source: the volume.
        tile: pixels per spatial axis.
    """
    stored = dict(zip(source.axes, pieces(source), strict=True))
    size = [min(stored[name], n) for name, n in zip(source.space_axes, source.space, strict=True)]
    times = math.prod(map(ceil_div, size, tile))
    if times < AGAIN:
        return ""
    shape = " x ".join(map(str, size))
    return (
        f"{source.name}: stored in pieces of {shape} px, each of which is read again for about {times} tiles; larger "
        "tiles read less, and so does a copy as OME-Zarr with chunks of the tiles' size"
    )


def pieces(source: Source) -> tuple[int, ...]:
    """What is read at a time per axis, where the array says so by one number for each; of dask they are lists."""
    chunks: Any = getattr(source.array, "chunks", None)
    rank = len(source.axes)
    known = isinstance(chunks, tuple) and len(chunks) == rank and all(isinstance(n, int) and n > 0 for n in chunks)
    return chunks if known else (1,) * rank
