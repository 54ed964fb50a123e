"""An unfinished result is never taken for a finished one: whoever opens an array of shiftjax asks its journal."""

from __future__ import annotations

import math
import os
import posixpath
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from shiftjax._arithmetic import ceil_div
from shiftjax._checks import MOST, fail, shown
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


def note(journal: str, grid: Sequence[int], tile: Sequence[int], work: str) -> dict[str, Any]:
    """What is noted in an array's attributes.

    Args:
        journal: the journal's folder, as a path from the array's.
        grid: time points, then tiles per spatial axis.
        tile: pixels of a tile per spatial axis.
        work: a digest of what the array is made from.
    """
    return {"journal": journal, "grid": list(map(int, grid)), "tile": list(map(int, tile)), "work": work}


class Noted(NamedTuple):
    """What shiftjax noted in an array's attributes, as `note` makes it."""

    journal: str
    grid: tuple[int, ...]
    tile: tuple[int, ...]


class LeftOut(NamedTuple):
    """The tiles of a result of shiftjax that nobody wanted: of its chunks, only theirs need not exist.

    Attributes:
        numbers: of these tiles.
        grid: frames, then tiles per spatial axis.
        tile: pixels of a tile per spatial axis.
    """

    numbers: frozenset[Any]
    grid: tuple[int, ...]
    tile: tuple[int, ...]

    def holds(self, frame: int, pixel: Sequence[int]) -> bool:
        """Whether a pixel, by its place in space, belongs to such a tile, as its chunk does: tiles never share one."""
        if not self.numbers:
            return False
        tiles = (min(at // size, n - 1) for at, size, n in zip(pixel, self.tile, self.grid[1:], strict=True))
        return int(np.ravel_multi_index((frame, *tiles), self.grid)) in self.numbers


def noted(array: Any, name: str) -> Noted | None:
    """The note of shiftjax in an array's attributes; None where it did not write the array.

    Raises:
        VolumeError: what is there is no such note.
    """
    entries = getattr(array, "attrs", {}).get(NOTE) if hasattr(array, "store_path") else None
    if not isinstance(entries, dict) or "journal" not in entries:
        return None
    parts: list[Any] = [entries.get(key) for key in ("journal", "grid", "tile")]
    journal, grid, tile = parts
    named = isinstance(journal, str) and journal != "" and "\0" not in journal
    if not named or not _sizes(grid) or not _sizes(tile) or not len(tile) + 1 == len(grid) <= array.ndim + 1:
        raise VolumeError(
            f"the attributes of {name} do not say which tiles make it whole: expected journal, grid and tile as "
            f"`{NOTE}`, found {shown(entries)}; bring them back from a copy, or remove the entry if shiftjax did not "
            "write the array"
        )
    return Noted(journal, tuple(grid), tuple(tile))


def _sizes(value: Any) -> bool:
    """Whether these are lengths of axes, as JSON keeps them."""
    return isinstance(value, list) and bool(value) and all(type(n) is int and 0 < n < MOST for n in value)


def check_finished(
    array: Any, name: str, *, region: Sequence[slice] | None = None, wait: float = 0.0
) -> LeftOut | None:
    """Refuses an array of shiftjax that is not finished.

    Args:
        array: any array; one that shiftjax did not write passes.
        name: for messages.
        region: slices in pixels per spatial axis: only the tiles that meet them need be finished.
        wait: seconds to wait at most until they are.

    Returns:
        The tiles that were left out, without which each chunk of the array must exist; None where shiftjax did not
        write it.

    Raises:
        VolumeError: it is not finished; says how many tiles are.
    """
    found = noted(array, name)
    if found is None:
        return None
    spans = _spans(found, array.shape, region)
    needed = math.prod(map(len, spans))
    until = time.monotonic() + wait
    while True:
        journal = Journal(_beside(array, found.journal))
        done = sum(_is_among(number, found.grid, spans) for number in journal.finished | journal.left_out)
        if done == needed:
            return LeftOut(frozenset(journal.left_out), found.grid, found.tile)
        if time.monotonic() >= until:
            raise VolumeError(
                f"{name} is not finished: {done} of {needed} tiles are there; finish it with "
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
    if region is not None and not (parts and all(map(is_plain, parts))):
        fail("region", "slices of integers with step 1, one per spatial axis", shown(region))
    return None if region is None else parts


def is_plain(part: Any) -> bool:
    """Whether this is a slice of integers of step 1."""
    if not isinstance(part, slice) or part.step not in (None, 1):
        return False
    return all(isinstance(end, int | np.integer | None) for end in (part.start, part.stop))


def bounds_of(region: Sequence[slice], space: Sequence[int]) -> list[tuple[int, int]]:
    """First pixel of a region, and the one behind its last, per spatial axis.

    Raises:
        ValueError: another number of axes, or no pixel within the image.
    """
    if len(region) != len(space):
        fail("region", f"{len(space)} slices, one per spatial axis", f"{len(region)}")
    bounds = [part.indices(n)[:2] for part, n in zip(region, space, strict=True)]
    if any(start >= stop for start, stop in bounds):
        fail("region", f"pixels within the image, {tuple(space)}", shown(region))
    return bounds


def _spans(found: Noted, shape: Sequence[int], region: Sequence[slice] | None) -> list[range]:
    """The tiles that meet a region, at all time points: their indices per axis of the grid."""
    if region is None:
        return [range(n) for n in found.grid]
    bounds = bounds_of(region, shape[-len(found.tile) :])
    tiles = zip(bounds, found.grid[1:], found.tile, strict=True)
    return [range(found.grid[0]), *(range(a // size, min(n, ceil_div(b, size))) for (a, b), n, size in tiles)]


def _is_among(number: Any, grid: Sequence[int], spans: Sequence[range]) -> bool:
    """Whether an entry of a journal is the number of one of these tiles."""
    if not isinstance(number, int) or not 0 <= number < math.prod(grid):
        return False
    for n, span in zip(reversed(grid), reversed(spans), strict=True):
        number, index = divmod(number, n)
        if index not in span:
            return False
    return True


def _beside(array: Any, relative: str) -> Readable:
    """The folder at a path from an array's, wherever the array is stored."""
    storage = require("zarr.storage", "volume")
    store, path = array.store_path.store, array.store_path.path
    if isinstance(store, storage.LocalStore):
        whole = Path(store.root) / path / relative
        # Of several outputs one may be a link to elsewhere; or a link leads to the array itself.
        place = Path(os.path.normpath(whole))
        return LocalFolder(str(place if place.is_dir() else whole.resolve()))
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
