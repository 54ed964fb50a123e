"""The chunks of an array as objects in storage: which pixels they hold, and which of them are there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from shiftjax._extras import require
from shiftjax.volume._storage.errors import VolumeError, reason


def every_chunk() -> Any:
    """Arrays opened meanwhile store chunks of nothing but zeros too, so that one that is missing is known as lost."""
    return require("zarr", "volume").config.set({"array.write_empty_chunks": True})


def keys(array: Any, places: Sequence[slice]) -> set[str]:
    """The chunks that hold the pixels at `places`, one slice per axis, of an array whose keys have slashes."""
    spans = [range(at.start // size, -(-at.stop // size)) for at, size in zip(places, array.chunks, strict=True)]
    first = "" if array.metadata.zarr_format == 2 else "c/"
    return {first + "/".join(map(str, chunk)) for chunk in product(*spans)}


def stored(folder: str, storage_options: dict[str, Any] | None) -> frozenset[str]:
    """Keys of all that is stored of the array in a folder.

    Raises:
        VolumeError: it cannot be listed.
    """
    try:
        files, path = require("fsspec.core", "volume").url_to_fs(folder, **(storage_options or {}))
        files.invalidate_cache()
        return frozenset(found.removeprefix(path).lstrip("/") for found in files.find(path))
    except OSError as error:
        raise VolumeError(f"cannot list the chunks of {folder} ({reason(error)})") from error
