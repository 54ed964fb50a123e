"""The one place that reads pixels of a source: tried again, still the same array, missing chunks counted, digested."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from shiftjax._checks import one_of
from shiftjax._extras import require
from shiftjax.volume._storage.chunks import Part, check_not_cut_off, chunks_at
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.retry import passes, patiently

Missing = Literal["fill", "error"]
METADATA = {2: ".zarray", 3: "zarr.json"}


class Reading(NamedTuple):
    """What was read for a tile.

    Attributes:
        digest: of the pixels as they are stored; empty where nothing was read.
        missing: chunks that the source has not, which were read as its fill value.
    """

    digest: str = ""
    missing: int = 0


NOTHING_READ = Reading()


class ReadLog:
    """Digests what is read, block by block."""

    def __init__(self) -> None:
        self._digest, self._missing = hashlib.blake2b(digest_size=16), 0

    def add(self, block: np.ndarray, missing: int) -> None:
        """Adds a block."""
        add_array(self._digest, block)
        self._missing += missing

    def reading(self) -> Reading:
        """Of all blocks so far."""
        return Reading(self._digest.hexdigest(), self._missing)


class MissingLog(ReadLog):
    """Counts missing chunks alone, where nobody asks what was read."""

    def add(self, block: np.ndarray, missing: int) -> None:
        """Adds a block."""
        self._missing += missing


def together(readings: Sequence[Reading]) -> Reading:
    """What was read for a tile in several parts."""
    if len(readings) == 1:
        return readings[0]
    parts = " ".join(reading.digest for reading in readings)
    digest = hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()
    return Reading(digest, sum(reading.missing for reading in readings))


def add_array(digest: Any, array: np.ndarray) -> None:
    """Adds type, shape and bytes of an array to a digest."""
    digest.update(f"{array.dtype} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")


def check_missing(missing: Any) -> Missing:
    """What is to be done about chunks that a source has not."""
    one_of("missing", missing, ("fill", "error"))
    return missing


def read_block(
    array: Any,
    index: Sequence[slice],
    *,
    missing: Missing,
    must_exist: Callable[[tuple[slice, ...]], bool] = lambda chunk: False,
) -> tuple[np.ndarray, int]:
    """Pixels of an array, and how many of their chunks were missing.

    Args:
        array: the source.
        index: of the pixels.
        missing: what a chunk stands for that is missing.
        must_exist: whether a chunk, by its pixels, was stored once, so that it is lost if it is missing.

    Raises:
        VolumeError: a chunk is missing, and that is an error; or the array gives something else than it says it holds.
        Exception: whatever the array raises, if it goes on to do so.
    """
    if is_zarr(array):
        check_not_cut_off(array, index)
    block = _pixels(array, tuple(index))
    _check_block(array, index, block)
    lost = _missing_chunks(array, index, block) if is_zarr(array) else []
    for key, chunk in lost:
        if must_exist(chunk):
            raise VolumeError(f"chunk {key} of the source is missing; the call that began it computes it again")
        if missing == "error":
            raise VolumeError(
                f"chunk {key} of the source is missing; bring it back, or take the fill value {array.fill_value} for "
                "all that are missing with missing='fill'"
            )
    return block, len(lost)


def _pixels(array: Any, index: tuple[slice, ...]) -> np.ndarray:
    """Pixels of an array; where that fails for a moment, chunk by chunk, so that each is tried again by itself."""
    try:
        return _without_mask(array[index])
    except Exception as error:
        if not passes(error):
            raise
    if not is_zarr(array):
        return patiently(lambda: _without_mask(array[index]))
    bounds = [part.indices(length)[:2] for part, length in zip(index, array.shape, strict=True)]
    block = np.empty([stop - start for start, stop in bounds], array.dtype)
    for _, pixels in chunks_at(array, index):
        ends = [
            (max(part.start, start), min(part.stop, stop)) for part, (start, stop) in zip(pixels, bounds, strict=True)
        ]
        inside = tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(ends, bounds, strict=True))
        part = tuple(slice(a, b) for a, b in ends)
        block[inside] = patiently(lambda part=part: np.asarray(array[part]))  # type: ignore[misc]
    return block


def _without_mask(pixels: Any) -> np.ndarray:
    """Pixels of which none is masked; arrays of dask and netCDF4 give masks that they do not speak of."""
    block = np.asanyarray(pixels)
    if np.ma.is_masked(block):
        raise VolumeError("some of these pixels are masked, and the mask would be dropped; fill it: `.filled(0)`")
    return np.asarray(block)


def _check_block(array: Any, index: Sequence[slice], block: np.ndarray) -> None:
    """Refuses pixels of another type or number than the array says, as after a wrong `dtype=` of dask."""
    every = zip(index, array.shape, strict=True)
    shape = tuple((n if part.stop is None else part.stop) - (part.start or 0) for part, n in every)
    dtype = np.dtype(array.dtype)
    if block.shape != shape or block.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise VolumeError(
            f"the array says that these are {dtype} of shape {shape}, but gives {block.dtype} of shape {block.shape}; "
            "give one that is what it says"
        )


def is_zarr(array: Any) -> bool:
    """Whether this is an array of zarr, with a store behind it."""
    return hasattr(array, "store_path") and hasattr(array, "metadata")


def _missing_chunks(array: Any, index: Sequence[slice], block: np.ndarray) -> list[Part]:
    """The chunks that the store has not. Only where nothing but the fill value was read need it be asked."""
    lost = []
    starts = [part.indices(length)[0] for part, length in zip(index, array.shape, strict=True)]
    fill = np.asarray(0 if array.fill_value is None else array.fill_value).astype(block.dtype)
    for key, pixels in chunks_at(array, index):
        inside = (
            slice(max(0, part.start - start), part.stop - start) for part, start in zip(pixels, starts, strict=True)
        )
        read = block[tuple(inside)]
        if ((read == fill) | ((read != read) & (fill != fill))).all() and not _exists(array, key):
            lost.append((key, pixels))
    return lost


def _exists(array: Any, key: str) -> bool:
    """Whether the store has a chunk.

    Raises:
        VolumeError: it has a shard without a byte, as an outage leaves it, which zarr takes for one without chunks.
    """
    sync, path = require("zarr.core.sync", "volume").sync, array.store_path / key
    if not patiently(lambda: sync(path.exists())):
        return False
    if getattr(array, "shards", None) and not patiently(lambda: sync(path.store.getsize(path.path))):
        raise VolumeError(f"chunk {key} of the source is empty, as an outage leaves it; bring it back")
    return True


def stamp(array: Any, path: str | None) -> Any:
    """What of a source stays as it is while it is read: the metadata of a Zarr array, size and time of a file.

    Args:
        array: the source.
        path: of the file that it is, if it is one.

    Raises:
        VolumeError: it is gone.
    """
    if is_zarr(array):
        return _metadata(array), _file(path)
    return None, _file(path)


def _metadata(array: Any) -> str:
    """All but the attributes, which decide no pixel."""
    sync = require("zarr.core.sync", "volume").sync
    name = METADATA[array.metadata.zarr_format]
    stored = patiently(lambda: sync((array.store_path / name).get()))
    if stored is None:
        raise VolumeError(f"the source is gone: there is no {name} any more at {array.store_path}")
    entries = json.loads(stored.to_bytes())
    entries.pop("attributes", None)
    return json.dumps(entries, sort_keys=True)


def _file(path: str | None) -> tuple[int, int] | None:
    if path is None or not os.path.isfile(path):
        return None
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns
