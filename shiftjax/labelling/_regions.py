"""Connected regions of equal code in one image, found between runs of equal pixels instead of between pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shiftjax._graph import components
from shiftjax._typing import Int, Integer, Shaped


class Regions(NamedTuple):
    """The regions of an image, 1, 2, 3... by first pixel in raster order.

    Attributes:
        label: per pixel: the number of its region, 0 on background.
        code: per region: its code.
        size: per region: its pixels.
        first: per region: flat index of its first pixel.
    """

    label: Int[np.ndarray, " *space"]
    code: Integer[np.ndarray, " region"]
    size: Int[np.ndarray, " region"]
    first: Int[np.ndarray, " region"]


def regions(codes: Integer[np.ndarray, " *space"], *, background: int) -> Regions:
    """Joins neighbours along an axis (2 in 1-D, 4 in 2-D, 6 in 3-D) that have one code.

    Args:
        codes: of one image, `(*space)`, integers.
        background: the code of pixels that belong to no region.

    Returns:
        The region of every pixel, `(*space)`, and the code, size and first pixel of every region, `(region,)`.
    """
    # A run is a stretch of equal pixels along the last axis. Runs are numbered in raster order and are far fewer than
    # pixels, so that the graph is small.
    begins = np.ones(codes.shape, bool)
    begins[..., 1:] = codes[..., 1:] != codes[..., :-1]
    start = np.flatnonzero(begins)
    # Half the memory of int64, for an array as large as the image.
    number = np.dtype(np.int32 if codes.size < 2**31 else np.int64)
    run = np.cumsum(begins.ravel(), dtype=number).reshape(codes.shape)
    run -= 1  # in place: an array of all pixels is large
    code = codes.ravel()[start]
    _, region = components(*_touching(codes, run), len(start))

    inside = code != background
    _, first_run, label = np.unique(region[inside], return_index=True, return_inverse=True)
    length = np.diff(start, append=codes.size)[inside]
    size = np.zeros(len(first_run), np.int64)
    np.add.at(size, label, length)
    label_of_run = np.zeros(len(start), number)
    label_of_run[inside] = label + 1
    return Regions(label_of_run[run], code[inside][first_run], size, start[inside][first_run])


def _touching(
    codes: Shaped[np.ndarray, " *space"], run: Int[np.ndarray, " *space"]
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Pairs of runs of one code that touch along any axis but the last; most of the repetitions left out."""
    rows, columns = [np.zeros(0, run.dtype)], [np.zeros(0, run.dtype)]
    for axis in range(codes.ndim - 1):
        leading = (slice(None),) * axis
        earlier, later = (*leading, slice(None, -1)), (*leading, slice(1, None))
        same = codes[earlier] == codes[later]
        row, column = run[earlier][same], run[later][same]
        # Runs that touch do so along many pixels, one after the other: the first is enough.
        new = np.ones(len(row), bool)
        new[1:] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
        rows.append(row[new])
        columns.append(column[new])
    return np.concatenate(rows), np.concatenate(columns)
