"""An unfinished result is never taken for a finished one: whoever opens an array of shiftjax asks its journal."""

from __future__ import annotations

import math
import posixpath
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from shiftjax._arithmetic import ceil_div
from shiftjax._checks import fail, shown
from shiftjax._extras import require
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.folder import LocalFolder
from shiftjax.volume._storage.journal import Journal

NOTE = "shiftjax"  # of an array's attributes: where its journal is, and which tiles make it whole
POLL = 1.0  # seconds between two looks at a journal that is waited for


@runtime_checkable
class Readable(Protocol):
    """What a journal needs of a folder in order to be read."""

    def names(self) -> list[str]:
        """Of what lies in it."""

    def get(self, name: str) -> bytes:
        """An object."""


def note(journal: str, grid: Sequence[int], tile: Sequence[int]) -> dict[str, Any]:
    """What is noted in an array's attributes.

    Args:
        journal: the journal's folder, as a path from the array's.
        grid: time points, then tiles per spatial axis.
        tile: pixels of a tile per spatial axis.
    """
    return {"journal": journal, "grid": list(map(int, grid)), "tile": list(map(int, tile))}


def check_finished(array: Any, name: str, *, region: Sequence[slice] | None = None, wait: float = 0.0) -> bool:
    """Refuses an array of shiftjax that is not finished.

    Args:
        array: any array; one that shiftjax did not write passes.
        name: for messages.
        region: slices in pixels per spatial axis: only the tiles that meet them need be finished.
        wait: seconds to wait at most until they are.

    Returns:
        Whether each chunk of the array must exist: shiftjax wrote it, and left no tile out.

    Raises:
        VolumeError: it is not finished; says how many tiles are.
    """
    entries = getattr(array, "attrs", {}).get(NOTE) if hasattr(array, "store_path") else None
    if not isinstance(entries, dict) or "journal" not in entries:
        return False
    needed = _tiles(entries["grid"], entries["tile"], region)
    until = time.monotonic() + wait
    while True:
        journal = Journal(_beside(array, entries["journal"]))
        left = needed - journal.finished - journal.left_out
        if not left:
            return not journal.left_out
        if time.monotonic() >= until:
            raise VolumeError(
                f"{name} is not finished: {len(needed) - len(left)} of {len(needed)} tiles are there; finish it with "
                "the call that began it, or open it by `shiftjax.volume.open_source` with `region=` for pixels that "
                "are finished, or with `wait=` seconds until it is"
            )
        time.sleep(min(POLL, max(0.0, until - time.monotonic())))


def check_slices(region: Any) -> tuple[slice, ...] | None:
    """A region as a tuple of slices; None for none.

    Raises:
        ValueError: anything else.
    """
    parts = tuple(region) if isinstance(region, list | tuple) else ()
    if region is not None and not (parts and all(isinstance(part, slice) for part in parts)):
        fail("region", "slices of pixels, one per spatial axis", shown(region))
    return None if region is None else parts


def _tiles(grid: Sequence[int], tile: Sequence[int], region: Sequence[slice] | None) -> set[Any]:
    """Numbers of the tiles that meet a region, at all time points."""
    if region is None:
        return set(range(math.prod(grid)))
    if len(region) != len(tile):
        fail("region", f"{len(tile)} slices, one per spatial axis", f"{len(region)}")
    spans = [range(grid[0])]
    for part, count, size in zip(region, grid[1:], tile, strict=True):
        start, stop, _ = part.indices(count * size)
        spans.append(range(start // size, min(count, ceil_div(stop, size))))
    strides = [math.prod(grid[k + 1 :]) for k in range(len(grid))]
    return {sum(i * n for i, n in zip(index, strides, strict=True)) for index in product(*spans)}


def _beside(array: Any, relative: str) -> Readable:
    """The folder at a path from an array's, wherever the array is stored."""
    storage = require("zarr.storage", "volume")
    store, path = array.store_path.store, array.store_path.path
    if isinstance(store, storage.LocalStore):
        return LocalFolder(str((Path(store.root) / path / relative).resolve()))
    if isinstance(store, storage.FsspecStore):
        folder = posixpath.normpath(posixpath.join(store.path, path, relative))
        return StoreFolder(storage.FsspecStore(store.fs, path=folder, read_only=True), "")
    return StoreFolder(store, posixpath.normpath(posixpath.join(path, relative)))


class StoreFolder:
    """A folder within a store of zarr, to read from."""

    def __init__(self, store: Any, prefix: str) -> None:
        self._store, self._prefix = store, prefix

    def names(self) -> list[str]:
        async def listed() -> list[str]:
            return [name.rstrip("/") async for name in self._store.list_dir(self._prefix)]

        return sorted(require("zarr.core.sync", "volume").sync(listed()))

    def get(self, name: str) -> bytes:
        prototype = require("zarr.core.buffer", "volume").default_buffer_prototype()
        key = f"{self._prefix}/{name}".lstrip("/")
        found = require("zarr.core.sync", "volume").sync(self._store.get(key, prototype))
        if found is None:
            raise FileNotFoundError(key)
        return found.to_bytes()
