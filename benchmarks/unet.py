"""How long do a forward pass and a training step take, against a PyTorch twin with the same weights and outputs?

    python benchmarks/unet.py

Both run in one process on the same number of threads, turn by turn. The twin is plain PyTorch in its faster memory
layout, channels last. On an accelerator, or without torch, only the JAX side runs. *Compile* is tracing, lowering and
compiling, once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
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
    print(f"JAX {jax.__version__} on {jax.default_backend()}, {os.cpu_count()} cores")
    print(f"{'':32}{'pass':>10}{'JAX ms':>10}{'torch ms':>10}{'JAX/torch':>11}{'compile s':>11}")
    for name, (options, size) in CASES.items():
        for kind, times in _measure(options, size).items():
            jax_ms, torch_ms = (1e3 * times.get(side, float("nan")) for side in ("jax", "torch"))
            ratio = jax_ms / torch_ms
            print(f"{name:32}{kind:>10}{jax_ms:10.1f}{torch_ms:10.1f}{ratio:11.2f}{times['compile']:11.1f}", flush=True)


def _measure(options: dict[str, Any], size: int) -> dict[str, dict[str, float]]:
    net = sj.UNet(OUT_CHANNELS, **options)
    image = np.random.default_rng(0).normal(size=(1, *(size,) * net.ndim, 1)).astype(np.float32)
    variables = jax.jit(net.init)(jax.random.key(0), image)
    apply: Callable[..., Any] = net.apply
    forward, forward_compile = _compiled(apply, variables, image)
    backward, backward_compile = _compiled(jax.grad(lambda v, x: jnp.sum(apply(v, x) ** 2)), variables, image)
    sides: dict[str, dict[str, Callable[[], Any]]] = {
        "forward": {"jax": lambda: jax.block_until_ready(forward(variables, image))},
        "training": {"jax": lambda: jax.block_until_ready(backward(variables, image))},
    }
    for kind, run in _torch_sides(net, variables, image, np.asarray(forward(variables, image))).items():
        sides[kind]["torch"] = run
    times = {kind: time_alternating(runs, repeats=7) for kind, runs in sides.items()}
    times["forward"]["compile"], times["training"]["compile"] = forward_compile, backward_compile
    return times


def _compiled(fn: Callable[..., Any], *operands: Any) -> tuple[Callable[..., Any], float]:
    """The function for operands like these, and how many seconds it took to compile it."""
    start = time.perf_counter()
    return jax.jit(fn).lower(*operands).compile(), time.perf_counter() - start


def _torch_sides(net: sj.UNet, variables: Any, image: np.ndarray, expected: np.ndarray) -> dict[str, Callable[[], Any]]:
    try:
        import _unet_twin
        import torch
    except ImportError:
        return {}
    if jax.default_backend() != "cpu":
        return {}
    torch.set_num_threads(os.cpu_count() or 1)
    layout = _unet_twin.channels_last(net)
    params, x = _unet_twin.parameters(variables["params"], layout), _unet_twin.to_torch(image, layout)
    run = _unet_twin.twin(net, image.shape[1:-1])

    def forward() -> Any:
        with torch.no_grad():
            return run(params, x)

    output = np.moveaxis(forward().numpy(), 1, -1)
    spread = float(np.std(expected))
    assert np.max(np.abs(output - expected)) < 1e-4 * spread, "the twin computes another function"
    return {"forward": forward, "training": partial(_unet_twin.training_step, run, params, x)}


if __name__ == "__main__":
    main()
