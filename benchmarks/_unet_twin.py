"""The U-Net in plain PyTorch, with the same weights and outputs: what ours is timed against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import shiftjax as sj


def layout(net: sj.UNet) -> Any:
    """PyTorch's faster memory layout."""
    return torch.channels_last if net.ndim == 2 else torch.channels_last_3d


def to_torch(net: sj.UNet, image: np.ndarray, device: str = "cpu") -> Any:
    """An image `(batch, *space, channel)` as the twin takes it, `(batch, channel, *space)`."""
    return torch.from_numpy(np.moveaxis(image, -1, 1).copy()).to(device).contiguous(memory_format=layout(net))


def parameters(net: sj.UNet, params: Any, device: str = "cpu") -> dict[str, Any]:
    """Weight and bias of every layer by its name, as leaves of PyTorch's gradients."""

    def weight(name: str, kernel: np.ndarray) -> Any:
        ndim = kernel.ndim - 2
        order = (ndim, ndim + 1, *range(ndim)) if name.startswith("up_") else (ndim + 1, ndim, *range(ndim))
        tensor = torch.from_numpy(np.ascontiguousarray(kernel.transpose(order))).to(device)
        return tensor.contiguous(memory_format=layout(net)).requires_grad_()

    return {
        name: (weight(name, np.asarray(p["kernel"])), torch.from_numpy(np.array(p["bias"])).to(device).requires_grad_())
        for name, p in params.items()
    }


def apply(net: sj.UNet, params: dict[str, Any], x: Any) -> Any:
    """The output `(batch, channel, *space)`."""
    functional = torch.nn.functional
    convolve, transpose, pool = (
        (functional.conv2d, functional.conv_transpose2d, functional.max_pool2d)
        if net.ndim == 2
        else (functional.conv3d, functional.conv_transpose3d, functional.max_pool3d)
    )
    walks = [axis.walk(n) for axis, n in zip(net.geometry, x.shape[2:], strict=True)]

    def double(x: Any, name: str) -> Any:
        for i in range(net.convs):
            x = functional.relu(convolve(x, *params[f"{name}_conv_{i}"]))
        return x

    def cut(x: Any, start: list[int], level: int) -> Any:
        return x[(..., *(slice(a, a + walk.keep[level]) for a, walk in zip(start, walks, strict=True)))]

    skips = []
    for level, factor in enumerate(net.factors):
        x = double(x, f"encoder_{level}")
        skips.append(x)
        x = pool(x, factor)
    x = double(x, "bottom")
    for level in reversed(range(len(net.factors))):
        weight, bias = params[f"up_{level}"]
        x = cut(transpose(x, weight, bias, stride=tuple(weight.shape[2:])), [0] * net.ndim, level)
        skip = cut(skips[level], [axis.skip_start(level) for axis in net.geometry], level)
        x = double(torch.cat([skip, x], 1), f"decoder_{level}")
    return convolve(x, *params["head"])


def training_step(run: Callable[..., Any], params: dict[str, Any], x: Any) -> None:
    """Gradients of the sum of squares of `run(params, x)`, in `.grad` of the parameters."""
    for weight, bias in params.values():
        weight.grad = bias.grad = None
    (run(params, x).float() ** 2).sum().backward()
