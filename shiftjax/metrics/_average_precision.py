"""Average precision at one overlap threshold."""

from __future__ import annotations

from shiftjax import _checks
from shiftjax._graph import matching_size
from shiftjax._host import host_labels, same_shape, with_batch
from shiftjax._typing import ArrayLike, Integer
from shiftjax.metrics._overlap import overlap


def average_precision(
    true: Integer[ArrayLike, "batch *space"], pred: Integer[ArrayLike, "batch *space"], *, iou: int | float = 0.5
) -> float:
    """Average precision of instance segmentation, `TP / (TP + FP + FN)`, pooled over the batch.

    A true and a predicted object may match when their intersection over union is at least `iou`, each with one partner
    at most. TP is the size of the largest such matching, so the score is also right for `iou <= 0.5`, where an object
    can have several candidates.

    Args:
        true: labels `(batch, *space)`, integers, 0 = background.
        pred: labels of the same shape.
        iou: smallest intersection over union of a match, in (0, 1].

    Returns:
        The score in [0, 1]; NaN where neither side holds an object, since there is nothing to score.

    Raises:
        ValueError: for labels that are not integers >= 0 or lack a batch axis, unequal shapes, or `iou` outside (0, 1].
    """
    true, pred = host_labels("true", true), host_labels("pred", pred)
    same_shape("pred", pred.shape, "true", true.shape)
    with_batch("true", true.shape)
    iou = _checks.number("iou", iou, above=0.0, most=1.0)
    table = overlap(true, pred)
    n_true, n_pred = len(table.true_area), len(table.pred_area)
    if n_true + n_pred == 0:
        return float("nan")
    union = table.true_area[table.true] + table.pred_area[table.pred] - table.shared
    may_match = table.shared / union >= iou
    hits = matching_size(table.true[may_match], table.pred[may_match], (n_true, n_pred))
    return hits / (n_true + n_pred - hits)
