"""The U-Net in plain PyTorch, with the same weights and outputs: what ours is timed against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import shiftjax as sj


def channels_last(net: sj.UNet) -> Any:
    """PyTorch's faster memory layout, but for float32 on some GPUs."""
    return torch.channels_last if net.ndim == 2 else torch.channels_last_3d


def to_torch(image: np.ndarray, layout: Any, device: str = "cpu") -> Any:
    """An image `(batch, *space, channel)` as the twin takes it, `(batch, channel, *space)`."""
    return torch.from_numpy(np.moveaxis(image, -1, 1).copy()).to(device).contiguous(memory_format=layout)


def parameters(params: Any, layout: Any, device: str = "cpu") -> dict[str, Any]:
    """Weight and bias of every layer by its name, as leaves of PyTorch's gradients."""

    def weight(name: str, kernel: np.ndarray) -> Any:
        ndim = kernel.ndim - 2
        order = (ndim, ndim + 1, *range(ndim)) if name.startswith("up_") else (ndim + 1, ndim, *range(ndim))
        tensor = torch.from_numpy(np.ascontiguousarray(kernel.transpose(order))).to(device)
        return tensor.contiguous(memory_format=layout).requires_grad_()

    return {
        name: (weight(name, np.asarray(p["kernel"])), torch.from_numpy(np.array(p["bias"])).to(device).requires_grad_())
        for name, p in params.items()
    }


def twin(net: sj.UNet, space: Sequence[int]) -> Callable[[dict[str, Any], Any], Any]:
    """The network for images of these sizes: from parameters and an image, the output `(batch, channel, *space)`.

    All sizes are worked out here, so that `torch.compile` sees nothing but PyTorch.
    """
    functional = torch.nn.functional
    convolve, transpose, pool = (
        (functional.conv2d, functional.conv_transpose2d, functional.max_pool2d)
        if net.ndim == 2
        else (functional.conv3d, functional.conv_transpose3d, functional.max_pool3d)
    )
    factors = [(factor,) * net.ndim if isinstance(factor, int) else tuple(factor) for factor in net.factors]
    levels, convs = range(len(factors)), range(net.convs)
    keep = [[axis.walk(n).keep[level] for axis, n in zip(net.geometry, space, strict=True)] for level in levels]
    starts = [[axis.skip_start(level) for axis in net.geometry] for level in levels]
    upsampled = [tuple(slice(n) for n in keep[level]) for level in levels]
    skipped = [tuple(slice(a, a + n) for a, n in zip(starts[level], keep[level], strict=True)) for level in levels]

    def several(params: dict[str, Any], x: Any, name: str) -> Any:
        for i in convs:
            x = functional.relu(convolve(x, *params[f"{name}_conv_{i}"]))
        return x

    def run(params: dict[str, Any], x: Any) -> Any:
        skips = []
        for level, factor in enumerate(factors):
            x = several(params, x, f"encoder_{level}")
            skips.append(x[(..., *skipped[level])])
            x = pool(x, factor)
        x = several(params, x, "bottom")
        for level in reversed(levels):
            x = transpose(x, *params[f"up_{level}"], stride=factors[level])[(..., *upsampled[level])]
            x = several(params, torch.cat([skips[level], x], 1), f"decoder_{level}")
        return convolve(x, *params["head"])

    return run


def training_step(run: Callable[..., Any], params: dict[str, Any], x: Any) -> None:
    """Gradients of the sum of squares of `run(params, x)`, in `.grad` of the parameters."""
    for weight, bias in params.values():
        weight.grad = bias.grad = None
    (run(params, x).float() ** 2).sum().backward()
