"""Pieces of all tiles to objects: joined where they meet at a tile face with one code, and numbered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from shiftjax._graph import components
from shiftjax.volume._jobs.job import Item
from shiftjax.volume._segmentation.fragments import Table


class Merged(NamedTuple):
    """The objects of a volume.

    Attributes:
        pieces: per tile, how many pieces there are before it, and before the next one.
        id: per piece, counted from 1 through all tiles: uint64, its object, 0 where that was too small. Entry 0 is
            background.
        size: pixels of the objects 1, 2, 3...
    """

    pieces: dict[Item, tuple[int, int]]
    id: np.ndarray
    size: np.ndarray

    def of_tile(self, item: Item) -> np.ndarray:
        """The ids of a tile's pieces 0 (background), 1, 2..."""
        begin, end = self.pieces[item]
        return np.concatenate([self.id[:1], self.id[begin + 1 : end + 1]])


def merge(tables: Iterable[tuple[Item, Table]], *, grid: Sequence[int], min_size: int = 0) -> Merged:
    """Joins pieces across tile faces; time points stay apart.

    Every table is looked at once. Of a tile only its last faces are kept, until the next tile along that axis has come,
    so that one layer of tiles is the most that waits.

    Args:
        tables: all tiles of all time points, in raster order.
        grid: tiles per axis of space.
        min_size: pixels of the smallest object that stays.

    Returns:
        The objects, 1, 2, 3... by first pixel in raster order.
    """
    pieces: dict[Item, tuple[int, int]] = {}
    total = 0
    sizes, firsts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    pairs: list[np.ndarray] = [np.zeros((0, 2), np.int64)]
    waiting: dict[tuple[int, Item], tuple[np.ndarray, np.ndarray, int]] = {}
    for item, table in tables:
        pieces[item] = total, total + len(table.size)
        for axis, tiles in enumerate(grid):
            if item[axis + 1] > 0:
                high, code, offset = waiting.pop((axis, _before(item, axis + 1)))
                pairs.append(np.add(_meetings(high, code, table.low[axis], table.code), (offset, total)))
            if item[axis + 1] + 1 < tiles:
                waiting[axis, item] = table.high[axis], table.code, total
        sizes.append(table.size)
        firsts.append(table.first)
        total += len(table.size)
    return _number(pieces, np.concatenate(pairs), np.concatenate(sizes), np.concatenate(firsts), min_size)


def _before(item: Item, axis: int) -> Item:
    return (*item[:axis], item[axis] - 1, *item[axis + 1 :])


def _meetings(high: np.ndarray, high_code: np.ndarray, low: np.ndarray, low_code: np.ndarray) -> np.ndarray:
    """Pairs of pieces of one code, counted from 0, that touch between the faces of two neighbouring tiles."""
    both = (high > 0) & (low > 0)
    a, b = high[both].astype(np.int64) - 1, low[both].astype(np.int64) - 1
    same = high_code[a] == low_code[b]
    width = max(len(low_code), 1)
    return np.stack(np.divmod(np.unique(a[same] * width + b[same]), width), axis=1)


def _number(
    pieces: dict[Item, tuple[int, int]], pairs: np.ndarray, size: np.ndarray, first: np.ndarray, min_size: int
) -> Merged:
    count, whole = components(pairs[:, 0], pairs[:, 1], len(size))
    pixels, earliest = np.zeros(count, np.int64), np.full(count, np.iinfo(np.int64).max)
    np.add.at(pixels, whole, size)
    np.minimum.at(earliest, whole, first)
    order = np.argsort(earliest)
    order = order[pixels[order] >= min_size]
    name = np.zeros(count, np.uint64)
    name[order] = np.arange(1, len(order) + 1, dtype=np.uint64)
    return Merged(pieces, np.concatenate([np.zeros(1, np.uint64), name[whole]]), pixels[order])
