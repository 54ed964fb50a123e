"""Labels of any integers as consecutive ones, on the host."""

from __future__ import annotations

import numpy as np


def consecutive(labels: np.ndarray) -> np.ndarray:
    """Labels from 0 on as 0, 1, 2..., in their order, as int32; 0 stays 0, also where it does not occur.

    Args:
        labels: integers from 0 on, of any width and shape.
    """
    with_zero = np.append(labels, np.zeros(1, labels.dtype))  # of their own type: uint64 beside int64 becomes float64
    return np.unique(with_zero, return_inverse=True)[1][:-1].reshape(labels.shape).astype(np.int32)
