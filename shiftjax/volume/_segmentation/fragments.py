"""What one tile knows of the objects: its pieces, and which of them lie at its faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from shiftjax.labelling import regions


class Table(NamedTuple):
    """The pieces of one tile, numbered from 1 by first pixel.

    Attributes:
        code: of every piece, `(piece,)`.
        size: pixels of every piece.
        first: flat index of the first pixel of every piece in the volume `(time, *space)`.
        low: per axis, the pieces at the tile's first pixels along it, 0 where there is none.
        high: the same at the tile's last pixels.
    """

    code: np.ndarray
    size: np.ndarray
    first: np.ndarray
    low: tuple[np.ndarray, ...]
    high: tuple[np.ndarray, ...]


def find_pieces(codes: np.ndarray, *, start: Sequence[int], shape: Sequence[int]) -> tuple[np.ndarray, Table]:
    """The connected regions of equal code in one tile.

    Args:
        codes: integers `(*space)`, -1 = background.
        start: time point, then the position in space of the tile's first pixel.
        shape: of the volume, `(time, *space)`.

    Returns:
        The number of every pixel's piece, uint32, 0 = background; and the table.
    """
    found = regions(codes, background=-1)
    label = found.label.astype(np.uint32)
    local = np.unravel_index(found.first, codes.shape)
    place = (np.full(len(found.first), start[0]), *(a + x for a, x in zip(start[1:], local, strict=True)))
    first = np.ravel_multi_index(place, tuple(shape))
    low = tuple(label.take([0], axis) for axis in range(label.ndim))
    high = tuple(label.take([-1], axis) for axis in range(label.ndim))
    return label, Table(found.code, found.size, first, low, high)


def to_arrays(table: Table) -> dict[str, np.ndarray]:
    """The table by names, to be stored."""
    faces = enumerate(zip(table.low, table.high, strict=True))
    named = {f"{side}{axis}": face for axis, pair in faces for side, face in zip(("low", "high"), pair, strict=True)}
    return {"code": table.code, "size": table.size, "first": table.first, **named}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Table:
    """The inverse."""
    axes = range(sum(name.startswith("low") for name in arrays))
    low, high = (tuple(arrays[f"{side}{axis}"] for axis in axes) for side in ("low", "high"))
    return Table(arrays["code"], arrays["size"], arrays["first"], low, high)
