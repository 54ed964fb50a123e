"""False splits and false merges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shiftjax import _checks
from shiftjax._host import host_labels, same_shape, with_batch
from shiftjax._typing import ArrayLike, Integer
from shiftjax.metrics._overlap import overlap


class SplitMerge(NamedTuple):
    """Numbers of false splits and false merges, summed over the batch."""

    splits: int
    merges: int


def split_merge_counts(
    true: Integer[ArrayLike, "batch *space"], pred: Integer[ArrayLike, "batch *space"], *, tau: int | float = 0.05
) -> SplitMerge:
    """Counts the surplus fragments that objects were cut into, and the surplus objects that were run together.

    With `n_ij` the overlap in pixels of the true object i with the predicted object j, j is a fragment of i when most
    of j lies in i (`n_ij > |j| / 2`) and it is not negligible (`n_ij >= tau |i|`). An object in m fragments counts
    `max(0, m - 1)` false splits. False merges are the same with i and j exchanged.

    Args:
        true: labels `(batch, *space)`, integers, 0 = background.
        pred: labels of the same shape.
        tau: smallest share of an object that counts as a fragment of it, in [0, 1].

    Returns:
        `SplitMerge(splits, merges)`, summed over the batch.

    Raises:
        ValueError: for labels that are not integers >= 0 or lack a batch axis, unequal shapes, or `tau` outside [0, 1].
    """
    true, pred = host_labels("true", true), host_labels("pred", pred)
    same_shape("pred", pred.shape, "true", true.shape)
    with_batch("true", true.shape)
    tau = _checks.number("tau", tau, least=0.0, most=1.0)
    table = overlap(true, pred)
    true_area, pred_area = table.true_area[table.true], table.pred_area[table.pred]
    splits = _surplus(table.true, table.shared, whole=true_area, fragment=pred_area, tau=tau)
    merges = _surplus(table.pred, table.shared, whole=pred_area, fragment=true_area, tau=tau)
    return SplitMerge(splits, merges)


def _surplus(owner: np.ndarray, shared: np.ndarray, *, whole: np.ndarray, fragment: np.ndarray, tau: float) -> int:
    """Fragments beyond the first of every owner; a row per pair of objects."""
    # A quotient rounds to the float that the user wrote for tau (7 / 100 is 0.07); a product need not (0.07 * 100 > 7).
    counts = np.bincount(owner[(2 * shared > fragment) & (shared / whole >= tau)])
    return int(np.maximum(counts - 1, 0).sum())
