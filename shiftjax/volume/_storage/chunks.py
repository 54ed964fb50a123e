"""The chunks of an array as objects in storage: which pixels they hold, and which of them exist."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from shiftjax._arithmetic import ceil_div
from shiftjax._extras import require
from shiftjax.volume._storage.errors import storage_errors


def every_chunk() -> Any:
    """A context in which arrays are opened that store chunks of zeros too.

    By default zarr leaves out chunks that hold nothing but the fill value. Then nobody could tell a finished chunk of
    zeros from one that was lost.
    """
    return require("zarr", "volume").config.set({"array.write_empty_chunks": True})


def chunk_keys(array: Any, index: Sequence[slice]) -> set[str]:
    """Keys of the chunks that hold the pixels at `index`, one slice per axis; the array's keys must have slashes."""
    spans = []
    for part, length, size in zip(index, array.shape, array.chunks, strict=True):
        start, stop, _ = part.indices(length)
        spans.append(range(start // size, ceil_div(stop, size)))
    first = "" if array.metadata.zarr_format == 2 else "c/"
    return {first + "/".join(map(str, chunk)) for chunk in product(*spans)}


def stored_keys(folder: str, storage_options: dict[str, Any] | None) -> frozenset[str]:
    """Keys of all that is stored of the array in a folder.

    Raises:
        VolumeError: the folder cannot be listed.
    """
    files, path = require("fsspec.core", "volume").url_to_fs(folder, **(storage_options or {}))
    with storage_errors(f"list the chunks of {folder}"):
        files.invalidate_cache()  # other processes write too
        return frozenset(name.removeprefix(path).lstrip("/") for name in files.find(path))
