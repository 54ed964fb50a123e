"""Host arrays that XLA's CPU backend takes without a copy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from shiftjax._xla_cpu import ALIGNMENT


def stacked(parts: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Arrays of one shape end to end along their first axis, the last one repeated until there are `count`."""
    length = parts[0].shape[0]
    stack = _empty((count * length, *parts[0].shape[1:]), parts[0].dtype)
    for k in range(count):
        stack[k * length : (k + 1) * length] = parts[min(k, len(parts) - 1)]
    return stack


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array that begins at a multiple of `ALIGNMENT` bytes, which NumPy itself does not promise."""
    size = math.prod(shape) * dtype.itemsize
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    skipped = -buffer.ctypes.data % ALIGNMENT
    return buffer[skipped : skipped + size].view(dtype).reshape(shape)
