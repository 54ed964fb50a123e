"""How far the objects of two labellings overlap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shiftjax.labelling import objects


class Overlap(NamedTuple):
    """How many pixels each true object shares with each predicted one. Objects are numbered as `objects` does."""

    true: np.ndarray  # per pair of objects that share a pixel: number of the true one
    pred: np.ndarray  # per pair: number of the predicted one
    shared: np.ndarray  # per pair: shared pixels, > 0
    true_area: np.ndarray  # per true object: its pixels
    pred_area: np.ndarray  # per predicted object: its pixels


def overlap(true: np.ndarray, pred: np.ndarray) -> Overlap:
    """The table of overlaps of two labellings `(batch, *space)`."""
    a, b = objects(true), objects(pred)
    both = (a.number >= 0) & (b.number >= 0)
    width = max(len(b.area), 1)  # a pair becomes one number: sorting numbers is much faster than sorting rows
    pairs, shared = np.unique(a.number[both] * width + b.number[both], return_counts=True)
    return Overlap(pairs // width, pairs % width, shared, a.area, b.area)
