"""Draws `docs/images/statistics.png`: a network with instance norms, stitched by statistics of tiles or of the image.

usage: python docs/draw_statistics.py [--steps 200]

Trains a small U-Net on synthetic discs, which lie in one half of each image. Stitched as tiles usually are, each tile
is normed by its own mean and variance; with `sj.freeze_statistics`, by those of the image.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

import shiftjax as sj
from shiftjax._figure import new_figure

FILE = Path(__file__).parent / "images" / "statistics.png"
SMALL, SIZE, TILE = 128, 256, 64


class Net(nn.Module):
    """A same-padded U-Net of two levels with an instance norm after every convolution."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        fine = self.block(x, 8)
        deep = self.block(nn.max_pool(fine, (2, 2), (2, 2)), 16)
        up = nn.ConvTranspose(8, (2, 2), (2, 2))(deep)
        return nn.Conv(1, (1, 1))(self.block(jnp.concatenate([fine, up], -1), 8))

    def block(self, x: Any, features: int) -> Any:
        for _ in range(2):
            x = nn.relu(nn.InstanceNorm()(nn.Conv(features, (3, 3), use_bias=False)(x)))
        return x


def discs(key: Any, size: int) -> tuple[Any, Any]:
    """An image and where its discs are: on a bright ground on one side, none on the other."""
    image, labels = sj.synthetic.disc_lattice((size, size), pitch=16, radius=5)
    across = jnp.linspace(0, 1, size)[None, None, :, None]
    mask = (labels > 0)[..., None] & (across < 0.55)
    ground = 0.6 * (1 - across) + 0.1
    return ground + 0.5 * mask + 0.15 * jax.random.normal(key, image.shape), mask


def train(net: Net, steps: int) -> Any:
    """Weights that tell discs from ground, by small images."""
    variables = jax.jit(net.init)(jax.random.key(1), discs(jax.random.key(0), SMALL)[0])
    optimizer = optax.adam(5e-3)

    def loss(variables: Any, key: Any) -> Any:
        image, mask = discs(key, SMALL)
        return optax.sigmoid_binary_cross_entropy(net.apply(variables, image), mask).mean()

    @jax.jit
    def step(variables: Any, state: Any, key: Any) -> Any:
        updates, state = optimizer.update(jax.grad(loss)(variables, key), state)
        return optax.apply_updates(variables, updates), state

    state = optimizer.init(variables)
    for k in range(steps):
        variables, state = step(variables, state, jax.random.key(k + 2))
    return variables


def stitched(fn: Callable[[Any], Any], image: Any, plan: sj.TilePlan) -> np.ndarray:
    """The same tiles, each with its own statistics, as tiles usually are."""
    run, host = jax.jit(fn), np.asarray(image)
    result = np.zeros((*image.shape[:-1], 1), np.float32)
    for tile in plan.tiles():
        output = np.asarray(run(plan.read_input(tile, lambda at: host[(slice(None), *at)])))
        (part,), (start,), (at,) = plan.inside(tile), plan.crop_starts(tile), plan.delivered(tile)
        kept = tuple(slice(s + p.start, s + p.stop) for s, p in zip(start, part[1:], strict=True))
        result[(slice(None), *at)] = output[(slice(None), *kept)]
    return result


def main() -> None:
    """Trains, freezes, stitches, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="of the training")
    steps = parser.parse_args().steps
    net = Net()
    fn = Partial(net.apply, train(net, steps))
    image, _ = discs(jax.random.key(99), SIZE)
    frozen = sj.freeze_statistics(fn, image, tile=TILE)
    plan = sj.plan_tiles(frozen, image.shape, tile=TILE, pad=None)
    whole = np.asarray(jax.jit(fn)(image))
    apart, once = stitched(fn, image, plan), sj.predict_tiled(frozen, image, plan)
    largest = [float(np.abs(y - whole).max() / np.abs(whole).max()) for y in (apart, once)]
    print(f"off the whole by {largest[0]:.2f} and {largest[1]:.1e} of its largest output")
    figure = new_figure(12, 3.3)
    ends = {"vmin": np.percentile(whole, 1), "vmax": np.percentile(whole, 99)}
    shown: dict[str, tuple[Any, dict[str, Any]]] = {
        "an image": (image, {"cmap": "gray"}),
        "output in one piece": (whole, ends),
        f"tiles by their own statistics: off by {largest[0]:.0%}": (apart, ends),
        f"tiles by the image's: off by {largest[1]:.0e}": (once, ends),
    }
    for panel, (title, (picture, options)) in zip(figure.subplots(1, 4), shown.items(), strict=True):
        panel.imshow(picture[0, ..., 0], interpolation="nearest", **options)
        panel.set(xticks=[], yticks=[])
        panel.set_title(title, fontsize=9)
    figure.savefig(FILE, dpi=80)


if __name__ == "__main__":
    main()
