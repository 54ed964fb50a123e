"""What one tile knows of the objects: their fragments in it, and which of those lie at its faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from shiftjax.labelling import regions


class FragmentTable(NamedTuple):
    """The fragments of one tile, numbered from 1 by first pixel.

    Attributes:
        code: of every fragment, `(fragment,)`.
        size: pixels of every fragment.
        first: flat index of the first pixel of every fragment in the volume `(time, *space)`.
        low: per axis, the fragments at the tile's first pixels along it, 0 where there is none.
        high: the same at the tile's last pixels.
    """

    code: np.ndarray
    size: np.ndarray
    first: np.ndarray
    low: tuple[np.ndarray, ...]
    high: tuple[np.ndarray, ...]


def find_fragments(
    codes: np.ndarray, *, start: Sequence[int], shape: Sequence[int]
) -> tuple[np.ndarray, FragmentTable]:
    """The connected regions of equal code in one tile.

    Args:
        codes: integers `(*space)`, -1 = background.
        start: time point, then the position in space of the tile's first pixel.
        shape: of the volume, `(time, *space)`.

    Returns:
        The number of every pixel's fragment, uint32, 0 = background; and the table.
    """
    fragments = regions(codes, background=-1)
    label = fragments.label.astype(np.uint32)
    in_tile = np.unravel_index(fragments.first, codes.shape)
    in_space = (offset + pixel for offset, pixel in zip(start[1:], in_tile, strict=True))
    first = np.ravel_multi_index((np.full(len(fragments.first), start[0]), *in_space), tuple(shape))
    low = tuple(label.take([0], axis) for axis in range(label.ndim))
    high = tuple(label.take([-1], axis) for axis in range(label.ndim))
    return label, FragmentTable(fragments.code, fragments.size, first, low, high)


def to_arrays(table: FragmentTable) -> dict[str, np.ndarray]:
    """The table as arrays by name, to be stored."""
    arrays = {"code": table.code, "size": table.size, "first": table.first}
    for axis, (low, high) in enumerate(zip(table.low, table.high, strict=True)):
        arrays |= {f"low{axis}": low, f"high{axis}": high}
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray]) -> FragmentTable:
    """The inverse."""
    axes = range(sum(name.startswith("low") for name in arrays))
    low, high = (tuple(arrays[f"{side}{axis}"] for axis in axes) for side in ("low", "high"))
    return FragmentTable(arrays["code"], arrays["size"], arrays["first"], low, high)
