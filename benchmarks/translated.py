"""How long does a translated PyTorch network take in JAX, beside PyTorch itself?

    python benchmarks/translated.py

A plain U-Net as PyTorch users write it: padded convolutions, batch norm, transposed convolutions. Both sides run on the
same threads, turn by turn; the outputs are compared first. Training is the gradient of all weights.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from _timing import time_alternating
from torch import nn

import shiftjax as sj

CASES = {
    "2-D, l=4, 16 features, 240^2": (2, 4, 16, 240),
    "3-D, l=3, 8 features, 88^3": (3, 3, 8, 88),
}


class Block(nn.Sequential):
    """Two convolutions with batch norm."""

    def __init__(self, ndim: int, channels: int, features: int) -> None:
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if ndim == 2 else (nn.Conv3d, nn.BatchNorm3d)
        layers: list[nn.Module] = []
        for n in (channels, features):
            layers += [conv(n, features, 3, padding=1), norm(features), nn.ReLU()]
        super().__init__(*layers)


class Plain(nn.Module):
    """The usual U-Net."""

    def __init__(self, ndim: int, levels: int, features: int) -> None:
        super().__init__()
        widths = [features * 2**level for level in range(levels + 1)]
        up, pool = (nn.ConvTranspose2d, nn.MaxPool2d) if ndim == 2 else (nn.ConvTranspose3d, nn.MaxPool3d)
        conv = nn.Conv2d if ndim == 2 else nn.Conv3d
        self.down = nn.ModuleList([Block(ndim, a, b) for a, b in zip([1, *widths], widths, strict=False)])
        self.pool = pool(2)
        self.up = nn.ModuleList([up(2 * n, n, 2, stride=2) for n in widths[:-1]])
        self.merge = nn.ModuleList([Block(ndim, 2 * n, n) for n in widths[:-1]])
        self.head = conv(features, 3, 1)

    def forward(self, x: Any) -> Any:
        """Channels first."""
        skips = []
        for k, block in enumerate(self.down):
            x = block(x if k == 0 else self.pool(x))
            skips.append(x)
        for up, merge, skip in zip(reversed(self.up), reversed(self.merge), reversed(skips[:-1]), strict=True):
            x = merge(torch.cat([skip, up(x)], 1))
        return self.head(x)


def sides(ndim: int, levels: int, features: int, side: int) -> dict[str, dict[str, Callable[[], Any]]]:
    """For each pass, the runs to be timed."""
    torch.manual_seed(0)
    layout = torch.channels_last if ndim == 2 else torch.channels_last_3d
    module: Any = Plain(ndim, levels, features).eval().to(memory_format=layout)
    net = sj.from_torch(module)
    image = np.random.default_rng(0).normal(size=(1, *(side,) * ndim, 1)).astype(np.float32)
    x, ours = torch.from_numpy(np.moveaxis(image, -1, 1)), jax.device_put(image)
    gradient = jax.jit(jax.grad(lambda net, x: jnp.sum(net(x) ** 2), allow_int=True))

    def forward() -> Any:
        with torch.no_grad():
            return module(x)

    def training() -> None:
        module.zero_grad()
        (module(x) ** 2).sum().backward()

    expected = np.moveaxis(forward().numpy(), 1, -1)
    assert np.abs(np.asarray(net(ours)) - expected).max() < 1e-4 * expected.std(), "the two compute different functions"
    return {
        "forward": {"jax": lambda: jax.block_until_ready(net(ours)), "torch": forward},
        "training": {"jax": lambda: jax.block_until_ready(gradient(net, ours)), "torch": training},
    }


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    print(f"{'':32}{'pass':>10}{'JAX ms':>10}{'torch ms':>10}{'JAX/torch':>11}")
    for name, case in CASES.items():
        for kind, runs in sides(*case).items():
            times = {side: 1e3 * seconds for side, seconds in time_alternating(runs, options.repeats).items()}
            ratio = times["jax"] / times["torch"]
            print(f"{name:32}{kind:>10}{times['jax']:10.1f}{times['torch']:10.1f}{ratio:11.2f}", flush=True)


if __name__ == "__main__":
    main()
