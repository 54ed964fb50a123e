"""What draws of operations are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

aten = torch.ops.aten
Draw = Callable[[st.SearchStrategy[Any]], Any]


def small(least: int, most: int) -> st.SearchStrategy[int]:
    return st.integers(least, most)


def tensor(draw: Draw, *shape: int, low: float = -2, high: float = 2, dtype: str = "float32") -> torch.Tensor:
    """Random numbers, no two alike."""
    numbers = np.random.default_rng(draw(st.integers(0, 2**16))).uniform(low, high, shape)
    return torch.from_numpy(np.asarray(numbers).astype(dtype))
