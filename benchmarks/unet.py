"""How long do a forward pass and a training step take, against a PyTorch twin with the same weights and outputs?

    python benchmarks/unet.py

Both run in one process on the same number of threads, turn by turn. The twin is plain PyTorch in its faster memory
layout, channels last. On an accelerator, or without torch, only the JAX side runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _timing import time_alternating

import shiftjax as sj

CASES: dict[str, tuple[dict[str, Any], int]] = {
    "2-D, l=4, 16 features, 236^2": ({"features": 16, "crop": None}, 236),
    "2-D, l=2, 8 features, 52^2": ({"features": 8, "factors": (2, 2), "crop": None}, 52),
    "3-D, l=3, 8 features, 92^3": ({"features": 8, "factors": (2, 2, 2), "ndim": 3, "crop": None}, 92),
}
OUT_CHANNELS = 3


def main() -> None:
    """Prints one table."""
    print(f"{'':32}{'pass':>10}{'JAX ms':>10}{'torch ms':>10}{'JAX/torch':>11}")
    for name, (options, size) in CASES.items():
        for kind, times in _measure(options, size).items():
            jax_ms, torch_ms = (1e3 * times.get(side, float("nan")) for side in ("jax", "torch"))
            print(f"{name:32}{kind:>10}{jax_ms:10.1f}{torch_ms:10.1f}{jax_ms / torch_ms:11.2f}")


def _measure(options: dict[str, Any], size: int) -> dict[str, dict[str, float]]:
    net = sj.UNet(OUT_CHANNELS, **options)
    image = np.random.default_rng(0).normal(size=(1, *(size,) * net.ndim, 1)).astype(np.float32)
    variables = jax.jit(net.init)(jax.random.key(0), image)
    forward = jax.jit(net.apply)
    apply: Callable[..., Any] = net.apply
    backward = jax.jit(jax.grad(lambda v, x: jnp.sum(apply(v, x) ** 2)))
    sides: dict[str, dict[str, Callable[[], Any]]] = {
        "forward": {"jax": lambda: jax.block_until_ready(forward(variables, image))},
        "training": {"jax": lambda: jax.block_until_ready(backward(variables, image))},
    }
    for kind, run in _torch_sides(net, variables, image, np.asarray(forward(variables, image))).items():
        sides[kind]["torch"] = run
    return {kind: time_alternating(runs, repeats=7) for kind, runs in sides.items()}


def _torch_sides(net: sj.UNet, variables: Any, image: np.ndarray, expected: np.ndarray) -> dict[str, Callable[[], Any]]:
    try:
        import torch
    except ImportError:
        return {}
    if jax.default_backend() != "cpu":
        return {}
    torch.set_num_threads(os.cpu_count() or 1)
    layout = torch.channels_last if net.ndim == 2 else torch.channels_last_3d
    params = _torch_parameters(torch, variables["params"], layout)
    x = torch.from_numpy(np.moveaxis(image, -1, 1).copy()).contiguous(memory_format=layout)

    def forward() -> Any:
        with torch.no_grad():
            return _torch_apply(torch, net, params, x)

    def training() -> None:
        for weight, bias in params.values():
            weight.grad = bias.grad = None
        (_torch_apply(torch, net, params, x) ** 2).sum().backward()

    output = np.moveaxis(forward().numpy(), 1, -1)
    spread = float(np.std(expected))
    assert np.max(np.abs(output - expected)) < 1e-4 * spread, "the twin computes another function"
    return {"forward": forward, "training": training}


def _torch_parameters(torch: Any, params: Any, layout: Any) -> dict[str, Any]:
    def weight(name: str, kernel: np.ndarray) -> Any:
        ndim = kernel.ndim - 2
        order = (ndim, ndim + 1, *range(ndim)) if name.startswith("up_") else (ndim + 1, ndim, *range(ndim))
        tensor = torch.from_numpy(np.ascontiguousarray(kernel.transpose(order)))
        return tensor.contiguous(memory_format=layout).requires_grad_()

    return {
        name: (weight(name, np.asarray(p["kernel"])), torch.from_numpy(np.array(p["bias"])).requires_grad_())
        for name, p in params.items()
    }


def _torch_apply(torch: Any, net: sj.UNet, params: dict[str, Any], x: Any) -> Any:
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


if __name__ == "__main__":
    main()
