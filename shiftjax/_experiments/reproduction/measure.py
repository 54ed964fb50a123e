"""What is measured of an embedding beside the scores of its segmentation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from math import lcm
from typing import Any

import numpy as np

from shiftjax import metrics
from shiftjax._experiments.experiment import DELTA_DIST
from shiftjax._experiments.run import SAME_EMBEDDING, uncut

NEAR = 1.25  # distances of nearest centres within which two objects are neighbours; those across a diagonal are not
CENTRE = 4  # px per axis that the border of a same-padded network of two levels does not reach


def of_objects(embedding: np.ndarray, labels: np.ndarray, *, period: int, pitch: int) -> dict[str, float]:
    """Scores of an embedding `(1, *space, channel)` of alike objects, `labels` `(1, *space)`; cut ones do not count."""
    whole = uncut(labels)
    return {
        "codes": metrics.distinct_embeddings(embedding, whole, tolerance=DELTA_DIST),
        "told_apart": told_apart(embedding[0], whole[0]),
        "repeat": repeat(embedding, lcm(period, pitch)),
    }


def of_constant(embedding: np.ndarray, labels: np.ndarray, *, period: int) -> dict[str, float]:
    """Scores of an embedding `(1, *space, channel)` of a constant image."""
    inner = (slice(None), *(slice((n - CENTRE) // 2, (n + CENTRE) // 2) for n in labels.shape[1:]))
    return {
        "codes": metrics.distinct_embeddings(embedding, labels, tolerance=SAME_EMBEDDING),
        "centre": metrics.distinct_embeddings(embedding[inner], labels[inner], tolerance=SAME_EMBEDDING),
        "repeat": repeat(embedding, period),
    }


def told_apart(embedding: np.ndarray, labels: np.ndarray) -> float:
    """Share of the pairs of neighbouring objects whose mean embeddings lie more than delta_dist apart.

    Counts of codes chain what lies close, so that a code that varies smoothly counts as one; this share does not.
    """
    objects = [labels == label for label in np.unique(labels[labels > 0])]
    means = np.array([embedding[one].mean(axis=0) for one in objects])
    centres = np.array([np.argwhere(one).mean(axis=0) for one in objects])
    if len(objects) < 2:
        return float("nan")
    distance, apart = (np.linalg.norm(x[:, None] - x, axis=-1) for x in (centres, means))
    np.fill_diagonal(distance, np.inf)
    near = distance <= NEAR * np.median(distance.min(axis=1))
    return float(np.mean(apart[near] > DELTA_DIST))


def repeat(embedding: np.ndarray, shift: int) -> float:
    """Largest distance of two embeddings that lie `shift` pixels apart along an axis; NaN where none do."""
    axes = (np.moveaxis(embedding, axis, 0) for axis in range(1, embedding.ndim - 1))
    pairs = ((axis[shift:], axis[:-shift]) for axis in axes)
    return max((float(np.linalg.norm(a - b, axis=-1).max()) for a, b in pairs if a.size), default=float("nan"))


def splits_over_legal(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """False splits of each row of one network, over the mean of those with tiles of whole periods (1 at least)."""
    legal = [row["false_splits"] for row in rows if row["legal_tile"]]
    return [row["false_splits"] / max(1.0, sum(legal) / len(legal)) if legal else math.nan for row in rows]
