"""Host arrays that XLA's CPU backend takes as they are; it copies those that do not begin at a multiple of 64 bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

BYTES = 64


def stacked(parts: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Arrays of one shape end to end along their first axis, the last one repeated until there are `count`."""
    first = parts[0]
    shape = (count * first.shape[0], *first.shape[1:])
    room = np.empty(math.prod(shape) * first.itemsize + BYTES, np.uint8)
    skip = -room.ctypes.data % BYTES
    whole = room[skip : skip + math.prod(shape) * first.itemsize].view(first.dtype).reshape(shape)
    for k in range(count):
        whole[k * first.shape[0] : (k + 1) * first.shape[0]] = parts[min(k, len(parts) - 1)]
    return whole
