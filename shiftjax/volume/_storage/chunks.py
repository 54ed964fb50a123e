"""The chunks of an array as objects in storage: which pixels they hold, and which of them exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from shiftjax._arithmetic import ceil_div
from shiftjax._extras import require

Part = tuple[str, tuple[slice, ...]]  # the key of a chunk within its array, and its pixels as an index of the array


def every_chunk() -> Any:
    """A context in which arrays are opened that store chunks of zeros too.

    By default zarr leaves out chunks that hold nothing but the fill value. Then nobody could tell a finished chunk of
    zeros from one that was lost.
    """
    return require("zarr", "volume").config.set({"array.write_empty_chunks": True})


def chunks_at(array: Any, index: Sequence[slice]) -> Iterator[Part]:
    """The stored objects (chunks, or shards where the array has some) that hold the pixels at `index`.

    Args:
        array: of zarr.
        index: one slice of step 1 per axis.
    """
    sizes = getattr(array, "shards", None) or array.chunks
    spans = []
    for part, length, size in zip(index, array.shape, sizes, strict=True):
        start, stop, _ = part.indices(length)
        spans.append(range(start // size, ceil_div(stop, size)))
    for chunk in product(*spans):
        pixels = (slice(c * n, min((c + 1) * n, m)) for c, n, m in zip(chunk, sizes, array.shape, strict=True))
        yield array.metadata.encode_chunk_key(chunk), tuple(pixels)


def chunk_keys(array: Any, index: Sequence[slice]) -> set[str]:
    """Keys of the chunks that hold the pixels at `index`, one slice per axis."""
    return {key for key, _ in chunks_at(array, index)}
