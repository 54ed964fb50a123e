"""Small PyTorch networks for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from _plain_unet import PlainUNet
from torch import nn


def unet(**options: Any) -> PlainUNet:
    """A U-Net with three levels, seeded, in eval mode."""
    torch.manual_seed(0)
    return PlainUNet(base=2, **options).eval()


class Small(nn.Module):
    """Two levels: period 2."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (
            nn.Conv2d(1, 3, 3, padding=1),
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Conv2d(7, 2, 1),
        )

    def forward(self, x: Any) -> Any:
        a = torch.relu_(self.first(x))
        b = nn.functional.max_pool2d(a, 2)
        b = nn.functional.interpolate(self.second(b).relu(), scale_factor=2)
        return self.last(torch.cat([a, b], 1))


def small() -> Small:
    """`Small`, seeded, in eval mode."""
    torch.manual_seed(0)
    return Small().eval()


def image(*shape: int) -> np.ndarray:
    """Random numbers, channels last."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def by_torch(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """The module's output, channels last."""
    with torch.no_grad():
        y = module(torch.from_numpy(np.moveaxis(x, -1, 1)).contiguous())
    return np.moveaxis(y.numpy(), 1, -1)


def close(found: Any, expected: np.ndarray, rounding: float = 1e-5) -> bool:
    """Equal up to rounding, of the largest value."""
    found = np.asarray(found)
    return found.shape == expected.shape and float(np.abs(found - expected).max()) <= rounding * np.abs(expected).max()
