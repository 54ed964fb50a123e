"""From the fragments of all tiles to objects: joined where they meet at a tile face with one code, and numbered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from shiftjax._graph import components
from shiftjax.volume._jobs.tiles import TileAtTime
from shiftjax.volume._segmentation.fragments import FragmentTable


class VolumeObjects(NamedTuple):
    """The objects of a volume.

    Attributes:
        fragments: per tile, how many fragments there are before it, and before the next one.
        id: per fragment, counted from 1 through all tiles: uint64, its object, 0 where that was too small. Entry 0 is
            background.
        size: pixels of the objects 1, 2, 3...
    """

    fragments: dict[TileAtTime, tuple[int, int]]
    id: np.ndarray
    size: np.ndarray

    def of_tile(self, tile: TileAtTime) -> np.ndarray:
        """The ids of a tile's fragments 0 (background), 1, 2..."""
        begin, end = self.fragments[tile]
        return np.concatenate([self.id[:1], self.id[begin + 1 : end + 1]])


def join_fragments(
    tables: Iterable[tuple[TileAtTime, FragmentTable]], *, grid: Sequence[int], min_size: int = 0
) -> VolumeObjects:
    """Joins fragments across tile faces; time points stay apart.

    Every table is looked at once. Of a tile only its last faces are kept, until the next tile along that axis has come,
    so that at most one layer of tiles waits, however long the volume is.

    Args:
        tables: all tiles of all time points, in raster order.
        grid: tiles per axis of space.
        min_size: pixels of the smallest object that stays.

    Returns:
        The objects, 1, 2, 3... by first pixel in raster order.
    """
    fragments: dict[TileAtTime, tuple[int, int]] = {}
    total = 0
    sizes, firsts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    pairs: list[np.ndarray] = [np.zeros((0, 2), np.int64)]
    waiting: dict[tuple[int, TileAtTime], tuple[np.ndarray, np.ndarray, int]] = {}
    for tile, table in tables:
        fragments[tile] = total, total + len(table.size)
        for axis, count in enumerate(grid):
            if tile[axis + 1] > 0:
                high, code, offset = waiting.pop((axis, _before(tile, axis + 1)))
                pairs.append(np.add(_meetings(high, code, table.low[axis], table.code), (offset, total)))
            if tile[axis + 1] + 1 < count:
                waiting[axis, tile] = table.high[axis], table.code, total
        sizes.append(table.size)
        firsts.append(table.first)
        total += len(table.size)
    return _number(fragments, np.concatenate(pairs), np.concatenate(sizes), np.concatenate(firsts), min_size)


def _before(tile: TileAtTime, axis: int) -> TileAtTime:
    return (*tile[:axis], tile[axis] - 1, *tile[axis + 1 :])


def _meetings(high: np.ndarray, high_code: np.ndarray, low: np.ndarray, low_code: np.ndarray) -> np.ndarray:
    """Pairs of fragments of one code, counted from 0, that touch between the faces of two neighbouring tiles."""
    both = (high > 0) & (low > 0)
    before, after = high[both].astype(np.int64) - 1, low[both].astype(np.int64) - 1
    same = high_code[before] == low_code[after]
    width = max(len(low_code), 1)  # a pair as one number, so that each is counted once
    return np.stack(np.divmod(np.unique(before[same] * width + after[same]), width), axis=1)


def _number(
    fragments: dict[TileAtTime, tuple[int, int]],
    pairs: np.ndarray,
    size: np.ndarray,
    first: np.ndarray,
    min_size: int,
) -> VolumeObjects:
    """The objects that joined fragments make, by first pixel, without those that are too small."""
    count, whole = components(pairs[:, 0], pairs[:, 1], len(size))
    pixels, earliest = np.zeros(count, np.int64), np.full(count, np.iinfo(np.int64).max)
    np.add.at(pixels, whole, size)
    np.minimum.at(earliest, whole, first)
    order = np.argsort(earliest)
    order = order[pixels[order] >= min_size]
    object_id = np.zeros(count, np.uint64)
    object_id[order] = np.arange(1, len(order) + 1, dtype=np.uint64)
    return VolumeObjects(fragments, np.concatenate([np.zeros(1, np.uint64), object_id[whole]]), pixels[order])
