"""The chunks of an array as objects in storage: which pixels they hold, and which of them exist."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from shiftjax._arithmetic import ceil_div
from shiftjax._extras import require
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.retry import patiently

BLOSC = struct.Struct("<12xI")  # a chunk's header, which ends with the bytes of the whole
NONE = 2**64 - 1  # where a shard's list says that a part is not there
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


def check_not_cut_off(array: Any, index: Sequence[slice]) -> None:
    """Refuses chunks that an outage cut off where the codec would not see it: Blosc reads on in memory that is not its.

    Of shards that begin with a list of what is in them, that says how long they are; where they end with it, the list
    has a checksum. Other codecs see it themselves. A store that is not of this machine keeps whole objects.

    Raises:
        VolumeError: names the chunk.
    """
    if not isinstance(array.store_path.store, require("zarr.storage", "volume").LocalStore):
        return
    shard = _shard_with_list_first(array)
    if shard is None and not _is_blosc(array):
        return
    lengths = _lengths if shard is None else partial(_lengths_of_shard, **shard)
    folder = os.path.join(str(array.store_path.store.root), array.store_path.path)
    for key, _ in chunks_at(array, index):
        size, whole = patiently(partial(lengths, os.path.join(folder, key)))
        if size < whole:
            raise VolumeError(f"chunk {key} of the source was cut off after {size} of {whole} bytes; bring it back")


def _lengths(path: str) -> tuple[int, int]:
    """Bytes of a file, and those that Blosc packed into it, at least its header; none where there is no file."""
    try:
        with open(path, "rb") as file:
            header, size = file.read(BLOSC.size), os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return 0, 0
    return size, max(BLOSC.size, *BLOSC.unpack(header)) if len(header) == BLOSC.size else BLOSC.size


def _lengths_of_shard(path: str, parts: int, dtype: str) -> tuple[int, int]:
    """Bytes of a file, and those that the list at its beginning tells of; none where there is no file."""
    try:
        with open(path, "rb") as file:
            listed, size = file.read(16 * parts), os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return 0, 0
    if len(listed) < 16 * parts:
        return size, 16 * parts
    ends = [int(start) + int(length) for start, length in np.frombuffer(listed, dtype).reshape(-1, 2) if start != NONE]
    return size, max(ends, default=0)


def _shard_with_list_first(array: Any) -> dict[str, Any] | None:
    """How many parts a shard lists at its beginning, and the type of that list; None for all other arrays."""
    if array.metadata.zarr_format == 2:
        return None
    codec = array.metadata.codecs[0].to_dict()
    if codec["name"] != "sharding_indexed" or codec["configuration"]["index_location"] != "start":
        return None
    inner, (order, *_) = codec["configuration"]["chunk_shape"], codec["configuration"]["index_codecs"]
    endian = order["configuration"]["endian"]
    parts = math.prod(map(ceil_div, array.shards, inner))
    return {"parts": parts, "dtype": ">u8" if str(getattr(endian, "value", endian)) == "big" else "<u8"}


def _is_blosc(array: Any) -> bool:
    """Whether chunks are stored as Blosc packed them."""
    if array.metadata.zarr_format == 2:
        return getattr(array.metadata.compressor, "codec_id", "") == "blosc"
    return str(array.metadata.codecs[-1].to_dict()["name"]) in ("blosc", "numcodecs.blosc")
