"""An embedding that cuts objects, which a loss over too small a window cannot tell from a good one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from shiftjax._checks import fail, integer, number, room, shown
from shiftjax._host import host
from shiftjax._typing import Float, Integer

LARGEST = 1e18  # of a distance, whose square float32 must hold


def splitting_map(
    labels: Integer[np.ndarray, "*space"], *, period: Sequence[int], push: float = 3.0
) -> Float[np.ndarray, "*space name"]:
    """Embeds pixels so that every instance is cut at the lines between periods, while no window of a period sees it.

    A fragment is the part of an instance in one cell of size `period`. Its name is the phase of its first pixel in the
    cell (the last axis running fastest), and every name has an embedding of its own. So within a cell, different
    fragments, which begin at different pixels, have different embeddings, as the loss wants them; but one instance
    changes its embedding across the line between two cells, and no training window of one period contains such a line.

    Args:
        labels: `(*space)`, instances, background included; pixel 0 of every axis has phase 0.
        period: cell size in pixels, per axis.
        push: distance between the embeddings of any two names; that of the loss is `2 delta_dist`.

    Returns:
        float32 `(*space, name)`, one channel per name. Moving the labels by whole periods moves the map along; its
        receptive field is the cell.

    Raises:
        ValueError: a period of another rank than the labels or below 1, or a distance that is not positive.
    """
    labels = host("labels", labels)
    if not np.issubdtype(labels.dtype, np.integer) or not labels.ndim:
        fail("labels", "integers (*space)", shown(labels))
    if not isinstance(period, Sequence) or isinstance(period, str | bytes) or len(period) != labels.ndim:
        fail("period", f"{labels.ndim} integers, one per axis of the labels", shown(period))
    cell = tuple(integer(f"period[{k}]", p, least=1) for k, p in enumerate(period))
    distance = np.float32(number("push", push, above=0.0, most=LARGEST))
    room("period", (max(labels.size, math.prod(cell)), math.prod(cell)), itemsize=4, copies=2)
    names = np.zeros(labels.shape, np.int64)
    for start in product(*(range(0, n, p) for n, p in zip(labels.shape, cell, strict=True))):
        box = tuple(slice(a, a + p) for a, p in zip(start, cell, strict=True))
        names[box] = _first_phases(labels[box], cell)
    return np.eye(int(np.prod(cell)), dtype=np.float32)[names] * distance


def _first_phases(labels: Integer[np.ndarray, "*space"], cell: tuple[int, ...]) -> Integer[np.ndarray, "*space"]:
    """For every pixel of a cell, the phase of the first pixel with its label."""
    phases = np.arange(int(np.prod(cell))).reshape(cell)[tuple(slice(n) for n in labels.shape)]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return phases.reshape(-1)[first][inverse.reshape(labels.shape)]
