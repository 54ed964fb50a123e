"""How many objects an embedding tells apart."""

from __future__ import annotations

import numpy as np

from shiftjax import _checks
from shiftjax._host import host_embedding, host_labels
from shiftjax._typing import ArrayLike, Integer, Num
from shiftjax.labelling import objects


def distinct_embeddings(
    embedding: Num[ArrayLike, "batch *space channel"],
    labels: Integer[ArrayLike, "batch *space"],
    *,
    tolerance: int | float,
) -> int:
    """Number of distinct embeddings among the objects of a batch.

    An object's embedding is the mean over its pixels. Embeddings at a distance of at most `tolerance` count as one, and
    so do those that a chain of such steps connects (single linkage). For objects that look the same this is the number
    that the capacity bound limits; 1 means that the network has collapsed.

    With `tolerance=0` only equal means count as one: the means of integer embeddings are compared as exact fractions,
    those of floating point ones as float64 means, summed in raster order.

    Args:
        embedding: `(batch, *space, channel)`, integers or floats.
        labels: `(batch, *space)`, integers, 0 = background, which is no object.
        tolerance: largest distance at which two embeddings count as one, in units of the embedding.

    Returns:
        The number of distinct embeddings; 0 when there are no objects.

    Raises:
        ValueError: for labels that are not integers >= 0, shapes that do not agree, a negative tolerance, or an
            embedding that is not finite.
    """
    labels = host_labels("labels", labels)
    values = host_embedding("embedding", embedding, "labels", labels.shape)
    tolerance = _checks.number("tolerance", tolerance, least=0.0)
    number, area = objects(labels)
    if values.dtype == np.int64 and max(-int(values.min()), int(values.max())) * int(area.max(initial=0)) >= 2**63:
        expected = "integers whose sums over the pixels of an object int64 holds"
        _checks.fail("embedding", expected, f"integers from {values.min()} to {values.max()}", "divide them first")
    sums = _sums(values.reshape(-1, values.shape[-1])[number >= 0], number[number >= 0], len(area))
    if tolerance == 0 and np.issubdtype(sums.dtype, np.integer):
        # Fractions in lowest terms, a row (numerators, denominators) per object: no float64 mean would be exact.
        common = np.gcd(sums, area[:, None])
        return len(np.unique(np.hstack([sums // common, area[:, None] // common]), axis=0))
    means = np.unique(sums / area[:, None] + 0.0, axis=0)  # + 0.0 turns -0.0 into 0.0: one value, one row
    return len(means) if tolerance == 0 else _linked(means, tolerance)


def _sums(values: np.ndarray, number: np.ndarray, count: int) -> np.ndarray:
    """Sum of `values` `(pixel, channel)` per object, exact for integers."""
    sums = np.zeros((count, values.shape[-1]), values.dtype)
    for channel in range(values.shape[-1]):
        np.add.at(sums[:, channel], number, values[:, channel])
    return sums


def _linked(points: np.ndarray, tolerance: float) -> int:
    """Number of groups when points at most `tolerance` apart are joined; memory linear in the number of points."""
    groups = 0
    while len(points):
        groups += 1
        frontier, points = points[:1], points[1:]
        while len(frontier):  # points that have joined the group, whose own neighbours are still to be found
            near = np.linalg.norm(points - frontier[0], axis=-1) <= tolerance
            frontier, points = np.concatenate([frontier[1:], points[near]]), points[~near]
    return groups
