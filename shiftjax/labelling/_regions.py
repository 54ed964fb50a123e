"""Connected regions of equal code in one image, found between runs of equal pixels instead of between pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shiftjax.labelling._objects import sparse


class Regions(NamedTuple):
    """The regions of an image, 1, 2, 3... by first pixel in raster order."""

    label: np.ndarray  # per pixel: the number of its region, 0 on background
    code: np.ndarray  # per region: its code
    size: np.ndarray  # per region: its pixels
    first: np.ndarray  # per region: flat index of its first pixel


def regions(codes: np.ndarray, *, background: int) -> Regions:
    """Joins neighbours along an axis (4 in 2-D, 6 in 3-D) that have one code.

    A run is a stretch of equal pixels along the last axis. Runs are numbered in raster order and are far fewer than
    pixels, so that the graph is small.
    """
    from scipy.sparse.csgraph import connected_components as components

    begins = np.ones(codes.shape, bool)
    begins[..., 1:] = codes[..., 1:] != codes[..., :-1]
    start = np.flatnonzero(begins)
    number = np.dtype(np.int32 if codes.size < 2**31 else np.int64)
    run = np.cumsum(begins.ravel(), dtype=number).reshape(codes.shape)
    run -= 1
    code = codes.ravel()[start]
    graph = sparse(*_touching(codes, run), (len(start), len(start)))
    region = components(graph, directed=False)[1]

    inside = code != background
    _, first_run, label = np.unique(region[inside], return_index=True, return_inverse=True)
    length = np.diff(start, append=codes.size)[inside]
    size = np.zeros(len(first_run), np.int64)
    np.add.at(size, label, length)
    name = np.zeros(len(start), number)
    name[inside] = label + 1
    return Regions(name[run], code[inside][first_run], size, start[inside][first_run])


def _touching(codes: np.ndarray, run: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of runs of one code that touch along any axis but the last; most of the repetitions left out."""
    rows, columns = [np.zeros(0, run.dtype)], [np.zeros(0, run.dtype)]
    for axis in range(codes.ndim - 1):
        here, there = neighbours(codes.ndim, axis)
        same = codes[here] == codes[there]
        a, b = run[here][same], run[there][same]
        new = np.ones(len(a), bool)
        new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
        rows.append(a[new])
        columns.append(b[new])
    return np.concatenate(rows), np.concatenate(columns)


def neighbours(ndim: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Index of the earlier and of the later pixel of every pair of neighbours along `axis`."""
    earlier, later = [slice(None)] * ndim, [slice(None)] * ndim
    earlier[axis], later[axis] = slice(None, -1), slice(1, None)
    return tuple(earlier), tuple(later)
