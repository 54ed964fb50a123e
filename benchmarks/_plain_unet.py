"""A U-Net in PyTorch with the usual choices: up-sampling, norm, padding, two or three axes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

NORMS = {2: (nn.BatchNorm2d, nn.InstanceNorm2d), 3: (nn.BatchNorm3d, nn.InstanceNorm3d)}


def _norm(kind: str | None, channels: int, ndim: int) -> nn.Module:
    batch, instance = NORMS[ndim]
    if kind == "batch":
        return batch(channels)
    if kind == "group":
        return nn.GroupNorm(2, channels)
    if kind in ("instance", "tracked"):
        return instance(channels, affine=True, track_running_stats=kind == "tracked")
    return nn.Identity()


class PlainUNet(nn.Module):
    """Three levels, two convolutions each; `padding=0` crops the skips by their middle."""

    def __init__(
        self, *, up: str = "learned", norm: str | None = None, padding: int = 1, ndim: int = 2, base: int = 4
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d if ndim == 2 else nn.Conv3d
        widths, self.ndim, self.norm, self.padding = [base, 2 * base, 4 * base], ndim, norm, padding
        self.down = nn.ModuleList(self._pass(a, b) for a, b in zip([1, *widths], widths, strict=False))
        self.pool = nn.MaxPool2d(2) if ndim == 2 else nn.MaxPool3d(2)
        self.up = nn.ModuleList(self._up(up, b, a) for a, b in pairwise(widths))
        self.join = nn.ModuleList(self._pass(2 * a, a) for a in widths[:-1])
        self.last = self.conv(base, 2, 1)

    def _pass(self, a: int, b: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for channels in (a, b):
            layers += [self.conv(channels, b, 3, padding=self.padding), _norm(self.norm, b, self.ndim), nn.ReLU(True)]
        return nn.Sequential(*layers)

    def _up(self, kind: str, a: int, b: int) -> nn.Module:
        if kind == "learned":
            return (nn.ConvTranspose2d if self.ndim == 2 else nn.ConvTranspose3d)(a, b, 2, 2)
        mode = "bilinear" if kind == "aligned" else kind
        corners = {"aligned": True, "bilinear": False, "bicubic": False}.get(kind)
        return nn.Sequential(nn.Upsample(scale_factor=2, mode=mode, align_corners=corners), self.conv(a, b, 1))

    def forward(self, x: Any) -> Any:
        skips = []
        for level in self.down[:-1]:
            x = level(x)
            skips.append(x)
            x = self.pool(x)
        x = self.down[-1](x)
        for up, join, skip in zip(reversed(self.up), reversed(self.join), reversed(skips), strict=True):
            x = up(x)
            for axis in range(2, skip.ndim):
                more = skip.shape[axis] - x.shape[axis]
                skip = skip.narrow(axis, more // 2, x.shape[axis])
            x = join(torch.cat([skip, x], 1))
        return self.last(x)
