"""How does the time of the discriminative loss, forward and backward, grow with the number of instances?

Beside shiftjax's runs the same loss in plain torch (index_add instead of a loop), and torch_em's where that package is
installed (`pip install --no-deps torch-em`); its memory grows with the instances, so it stops at --torch-em-most.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from _timing import time_alternating

from shiftjax import discriminative_loss

torch: Any = importlib.import_module("torch") if importlib.util.find_spec("torch") else None

Run = Callable[[], tuple[float, Any]]


def image(instances: int, side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Random embedding and a grid of rectangles, one an instance; channels last."""
    rows = next(r for r in range(math.isqrt(instances), 0, -1) if instances % r == 0)
    columns = instances // rows
    y, x = np.mgrid[0:side, 0:side]
    labels = (y * rows // side) * columns + x * columns // side
    embedding = np.random.default_rng(0).normal(size=(side, side, channels))
    return embedding.astype(np.float32)[None], labels.astype(np.int32)[None]


def in_jax(embedding: np.ndarray, labels: np.ndarray, bound: int) -> Run:
    loss = jax.jit(jax.value_and_grad(partial(discriminative_loss, max_instances=bound), has_aux=True))
    x, ids = jax.device_put((embedding, labels))

    def run() -> tuple[float, Any]:
        (value, _), gradient = jax.block_until_ready(loss(x, ids))
        return float(value), gradient

    return run


def twin(x: Any, ids: Any, count: int) -> Any:
    """The same loss in torch; pixel by channel."""
    sizes = torch.bincount(ids, minlength=count).to(x.dtype)
    means = x.new_zeros(count, x.shape[1]).index_add(0, ids, x) / sizes[:, None]
    distance = torch.linalg.vector_norm(x - means[ids], dim=1)
    pull = (torch.clamp(distance - 0.5, min=0) ** 2 / sizes[ids]).sum() / count
    itself = torch.eye(count, device=x.device)
    difference = means[:, None] - means[None] + itself[..., None]
    shortfall = torch.clamp(3.0 - torch.linalg.vector_norm(difference, dim=2), min=0) ** 2
    push = (shortfall * (1 - itself)).sum() / (count * (count - 1))
    return pull + push + 1e-3 * torch.linalg.vector_norm(means, dim=1).mean()


def in_torch(embedding: np.ndarray, labels: np.ndarray, count: int, device: str = "cpu") -> Run:
    x = torch.from_numpy(embedding.reshape(-1, embedding.shape[-1])).to(device).requires_grad_()
    ids = torch.from_numpy(labels.reshape(-1)).long().to(device)

    def run() -> tuple[float, Any]:
        value = twin(x, ids, count)
        (gradient,) = torch.autograd.grad(value, x)
        if device != "cpu":
            torch.cuda.synchronize()
        return value.item(), gradient

    return run


def torch_em_loss() -> Any:
    """torch_em's loss, from its own files, without the many imports of the package around it."""
    spec = importlib.util.find_spec("torch_em")
    if torch is None or spec is None or not spec.submodule_search_locations:
        return None
    folder = types.ModuleType("torch_em_loss")
    folder.__path__ = [str(Path(spec.submodule_search_locations[0]) / "loss")]
    sys.modules["torch_em_loss"] = folder
    return importlib.import_module("torch_em_loss.contrastive").ContrastiveLoss(0.5, 1.5, impl="expand")


def in_torch_em(loss: Any, embedding: np.ndarray, labels: np.ndarray) -> Run:
    x = torch.from_numpy(np.moveaxis(embedding, -1, 1).copy()).requires_grad_()
    ids = torch.from_numpy(labels[:, None]).long()

    def run() -> tuple[float, Any]:
        value = loss(x, ids)
        return value.item(), torch.autograd.grad(value.sum(), x)

    return run


def growth(count: int, bounds: list[int], side: int, channels: int, repeats: int) -> None:
    """A line for each bound on the instances, where `count` are there."""
    embedding, labels = image(count, side, channels)
    runs = {str(bound): in_jax(embedding, labels, bound) for bound in bounds}
    print(f"\n{count} instances are there, ms forward and backward\n{'max_instances':>13} {'shiftjax':>9}")
    for bound, seconds in time_alternating(runs, repeats).items():
        print(f"{bound:>13} {1e3 * seconds:9.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, nargs="+", default=[5, 20, 50, 100, 200, 500])
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--torch-em-most", type=int, default=50)
    parser.add_argument("--bounds", type=int, nargs="+", default=[250, 1000, 8000], help="on 200 instances")
    options = parser.parse_args()
    peer = torch_em_loss()
    bound = max(options.instances)
    print(f"{options.side}^2 pixels, {options.channels} channels, ms forward and backward; times torch / shiftjax")
    print(f"{'instances':>9} {'shiftjax':>9} {f'bound {bound}':>10} {'torch':>16} {'torch_em':>18}")
    for count in options.instances:
        embedding, labels = image(count, options.side, options.channels)
        runs = {"shiftjax": in_jax(embedding, labels, count), "bound": in_jax(embedding, labels, bound)}
        if torch is not None:
            runs["torch"] = in_torch(embedding, labels, count)
        if peer is not None and count <= options.torch_em_most:
            runs["torch_em"] = in_torch_em(peer, embedding, labels)
        values = {name: run()[0] for name, run in runs.items()}
        if not np.allclose(list(values.values()), values["shiftjax"], rtol=1e-3):
            raise SystemExit(f"the losses disagree at {count} instances: {values}")
        ms = {name: 1e3 * seconds for name, seconds in time_alternating(runs, options.repeats).items()}
        others = [f"{ms[n]:9.1f} ({ms[n] / ms['shiftjax']:.1f}x)" if n in ms else "-" for n in ("torch", "torch_em")]
        print(f"{count:9} {ms['shiftjax']:9.2f} {ms['bound']:10.2f} {others[0]:>16} {others[1]:>18}", flush=True)
    growth(200, options.bounds, options.side, options.channels, options.repeats)


if __name__ == "__main__":
    main()
