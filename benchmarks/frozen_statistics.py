"""What do statistics of the whole image cost, in passes, time and memory?

    python benchmarks/frozen_statistics.py [chain] [padding] [large]

- chain: `freeze_statistics` of a network with k instance norms in a chain, and the tiled prediction after it, over
  k + 1 tiled predictions (aim: at most 1.2); without what is compiled for it, and with. For a small image all passes
  share a program, for a larger one each has its own, which computes no more than it measures.
- padding: `predict_tiled` of a plan that pads nothing over one that pads by reflection, with equal tiles (aim: at most
  1.1); both in one process, taking turns.
- large: a U-Net with 10 instance norms, from a volume of 64 Mpx to a volume: seconds, and resident memory beyond the
  imports (aim: 1 GiB), in a process of its own; and the largest error beside the whole in one piece where that fits,
  over the largest output.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from _timing import time_alternating
from jax.tree_util import Partial

import shiftjax as sj
from shiftjax.certifier import Cut
from shiftjax.freezing import _freeze

MIB = 2**20


class Chain(nn.Module):
    """Convolutions of 3 x 3 with 8 features, an instance norm and a ReLU after each."""

    norms: int

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for _ in range(self.norms):
            x = nn.relu(nn.InstanceNorm()(nn.Conv(8, (3, 3))(x)))
        return nn.Conv(2, (3, 3))(x)


class UNet(nn.Module):
    """Two levels below the first, two convolutions each, an instance norm after each: 10 norms; or none."""

    features: int = 4
    normed: bool = True

    @nn.compact
    def __call__(self, x: Any) -> Any:
        def block(x: Any, features: int, stride: int = 1) -> Any:
            for step in (stride, 1):
                x = nn.Conv(features, (3, 3), (step, step), padding=1)(x)
                x = nn.leaky_relu(nn.InstanceNorm()(x) if self.normed else x)
            return x

        first = block(x, self.features)
        second = block(first, 2 * self.features, 2)
        x = block(second, 4 * self.features, 2)
        for skip in (second, first):
            x = nn.ConvTranspose(skip.shape[-1], (2, 2), (2, 2))(x)
            x = block(jnp.concatenate([skip, x], -1), skip.shape[-1])
        return nn.Conv(2, (1, 1))(x)


def function(net: nn.Module) -> Any:
    return Partial(net.apply, jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 1))))


def image(*space: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, *space, 1)).astype(np.float32)


def chain() -> None:
    for side, tile in ((768, 160), (1536, 240)):
        chain_over(side, tile)


def chain_over(side: int, tile: int) -> None:
    """Passes and time against the number of norms."""
    print(f"k instance norms in a chain, {side}^2 px, tiles of {tile}^2 px (seconds)")
    print(f"{'k':>3}{'passes':>8}{'a pass':>9}{'freeze + predict':>18}{'ratio':>7}{'with compiling':>16}{'ratio':>7}")
    x = image(side, side)
    for norms in (1, 2, 4, 8) if side < 1000 else (2, 8):
        fn = function(Chain(norms))
        cut = Cut(fn, jax.ShapeDtypeStruct(x.shape, x.dtype))
        _freeze._cut = lambda *_, cut=cut: cut  # one for all calls: they compile once
        begin = time.perf_counter()
        frozen = sj.freeze_statistics(fn, x, tile=tile, progress=False)
        plan = sj.plan_tiles(frozen, x.shape, tile=tile, pad=None)
        sj.predict_tiled(frozen, x, plan)
        first = time.perf_counter() - begin
        calls = {
            "pass": partial(sj.predict_tiled, frozen, x, plan),
            "freeze": partial(sj.freeze_statistics, fn, x, tile=tile, progress=False),
        }
        seconds = time_alternating(calls, repeats=3)
        both = seconds["freeze"] + seconds["pass"]
        plain = (frozen.cut.passes + 1) * seconds["pass"]
        row = f"{norms:3d}{frozen.cut.passes:8d}{seconds['pass']:9.3f}{both:18.3f}{both / plain:7.2f}"
        print(f"{row}{first:16.2f}{first / plain:7.2f}", flush=True)


def padding(side: int = 1536, tile: int = 384) -> None:
    """Time of a plan that pads nothing over one that does."""
    fn, x = function(UNet(normed=False)), image(side, side)
    bare = sj.plan_tiles(fn, x.shape, pad=None, tile=tile)
    padded = sj.plan_tiles(fn, x.shape, pad="reflect", tile=tile)
    plans = {"None": bare, "reflect": padded}
    seconds = time_alternating({name: lambda p=p: sj.predict_tiled(fn, x, p) for name, p in plans.items()}, repeats=5)
    print(f"pad=None beside pad='reflect', U-Net without norms, {side}^2 px, wished tiles of {tile}^2 px")
    for name, plan in plans.items():
        per = seconds[name] / np.prod(plan.grid) / np.prod(plan.tile_input) * 1e9
        tiles = f"{plan.grid} tiles that read {plan.tile_input} px"
        print(f"  {name:8}{tiles}: {seconds[name]:.3f} s, {per:.2f} ns per pixel read")
    print(f"  ratio of times {seconds['None'] / seconds['reflect']:.2f}")


def large(side: int = 8192) -> None:
    """64 Mpx from volume to volume, and what fits in one piece."""
    script = f"import sys; sys.path.insert(0, {sys.path[0]!r}); import frozen_statistics as b; b.from_volume({side})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    row = json.loads(done.stdout.splitlines()[-1])
    print(f"U-Net with {row['passes']} norms over {side}^2 px, tiles of {row['tile']} px:")
    ratio = (row["freeze"] + row["predict"]) / ((row["passes"] + 1) * row["predict"])
    times = f"measured in {row['freeze']:.0f} s, predicted in {row['predict']:.0f} s, both with compiling:"
    print(f"{times} {ratio:.2f} of {row['passes'] + 1} predictions,")
    print(f"{row['resident']:.0f} MiB resident beyond the imports")
    fn, x = function(UNet()), image(1024, 1024)
    frozen = sj.freeze_statistics(fn, x, tile=256, progress=False)
    plan = sj.plan_tiles(frozen, x.shape, tile=256, pad=None)
    whole = np.asarray(jax.jit(fn)(x))
    error = np.abs(sj.predict_tiled(frozen, x, plan) - whole).max() / np.abs(whole).max()
    print(f"1024^2 px in {np.prod(plan.grid)} tiles beside the whole in one piece: {error:.0e} of the largest output")


def from_volume(side: int) -> None:
    """In a process of its own: the passes and the prediction, with memory, as a line of JSON."""
    import zarr

    fn = function(UNet())
    with tempfile.TemporaryDirectory() as folder:
        source = zarr.create_array(f"{folder}/in.zarr", shape=(side, side), chunks=(512, 512), dtype=np.uint8)
        for y in range(0, side, 512):
            source[y : y + 512] = np.random.default_rng(y).integers(0, 250, (512, side), np.uint8)
        before = resident()
        begin = time.perf_counter()
        frozen = sj.freeze_statistics(fn, f"{folder}/in.zarr", memory_bytes="512MiB", progress=False)
        middle = time.perf_counter()
        plan = sj.plan_tiles(frozen, (1, side, side, 1), pad=None, memory_bytes="512MiB")
        sj.predict_volume(frozen, f"{folder}/in.zarr", f"{folder}/out.zarr", plan, axes="yx", progress=False)
        row = {"passes": frozen.cut.passes, "tile": " x ".join(map(str, plan.tile_input)), "freeze": middle - begin}
        print(json.dumps({**row, "predict": time.perf_counter() - middle, "resident": resident() - before}))


def resident() -> float:
    """Most MiB ever resident in this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


if __name__ == "__main__":
    for name in sys.argv[1:] or ("chain", "padding", "large"):
        {"chain": chain, "padding": padding, "large": large}[name]()
