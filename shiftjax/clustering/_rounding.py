"""Embeddings in float64 are clustered in float32, where that moves none of them noticeably."""

from __future__ import annotations

import numpy as np

MOST = 0.1  # of a bandwidth, within which mean shift takes two positions for one mode
HELD = "values that float32 holds to a tenth of the bandwidth"


def is_moved(values: np.ndarray, bandwidth: float) -> bool:
    """Whether float32 would move some of these values by more than a tenth of a bandwidth.

    Args:
        values: of an embedding, `(*anything, channel)`, of any type.
        bandwidth: of `mean_shift`, in units of the embedding.

    Returns:
        The answer; False for all types but float64.
    """
    if values.dtype != np.float64:
        return False
    with np.errstate(over="ignore", invalid="ignore"):  # what is infinite in float32 has moved; NaN is found elsewhere
        return bool((np.abs(values - values.astype(np.float32)) > MOST * bandwidth).any())
