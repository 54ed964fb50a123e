"""Which object each pixel belongs to, counted through a batch, and how far the objects of two labellings overlap."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Objects(NamedTuple):
    """The objects of a batch of labels, numbered from 0 image after image, within an image by label."""

    number: np.ndarray  # per pixel, flat: the number of its object, -1 on background
    area: np.ndarray  # per object: its pixels


class Overlap(NamedTuple):
    """How many pixels each true object shares with each predicted one."""

    true: np.ndarray  # per overlapping pair: number of the true object
    pred: np.ndarray  # per overlapping pair: number of the predicted object
    shared: np.ndarray  # per overlapping pair: shared pixels, > 0
    true_area: np.ndarray  # per true object: its pixels
    pred_area: np.ndarray  # per predicted object: its pixels


def objects(labels: np.ndarray) -> Objects:
    """Numbers the objects of `labels` `(batch, *space)`; equal labels in different images differ."""
    number, area, count = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for image in labels:
        ids, inverse, pixels = np.unique(image, return_inverse=True, return_counts=True)
        numbers = np.where(ids > 0, count + np.cumsum(ids > 0) - 1, -1)
        number.append(numbers[inverse.ravel()])
        area.append(pixels[ids > 0])
        count += len(area[-1])
    return Objects(np.concatenate(number), np.concatenate(area))


def overlap(true: np.ndarray, pred: np.ndarray) -> Overlap:
    """The table of overlaps, one row per pair of objects that share a pixel."""
    a, b = objects(true), objects(pred)
    both = (a.number >= 0) & (b.number >= 0)
    width = max(len(b.area), 1)
    pairs, shared = np.unique(a.number[both] * width + b.number[both], return_counts=True)
    return Overlap(pairs // width, pairs % width, shared, a.area, b.area)


def sparse(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Any:
    """The graph with an edge per (row, column), as a SciPy CSR array."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=shape)
