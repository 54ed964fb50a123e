"""How do times grow with the side of the image, levels, instances, replicas and tiles?

    python benchmarks/growth.py [--out benchmarks/results/growth]

Writes OUT.json and OUT.svg, both axes of every panel logarithmic: what does not grow is a level line, what grows as its
number is a line along the grey one.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from loss_vs_instances import image as labelled_image
from loss_vs_instances import in_jax

import shiftjax as sj
from shiftjax._figure import new_figure

Series = dict[str, list[tuple[int, float]]]  # of each curve, numbers and seconds
REPEATS = 3


def main() -> None:
    """Measures, prints and draws all panels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "growth")
    options = parser.parse_args()
    panels = {
        "image side, px": of_sides(),
        "levels": of_levels(),
        "instances": of_instances(),
        "replicas": of_replicas(),
        "tiles": of_tiles(),
    }
    for name, curves in panels.items():
        for curve, points in curves.items():
            print(f"{curve}, by {name}: " + ", ".join(f"{n}: {1e3 * s:.1f} ms" for n, s in points), flush=True)
    versions = {"jax": jax.__version__, "python": platform.python_version(), "date": date.today().isoformat()}
    options.out.with_suffix(".json").write_text(json.dumps({"made with": versions, "seconds": panels}, indent=1) + "\n")
    draw(panels).savefig(options.out.with_suffix(".svg"))


def best(run: Callable[[], Any]) -> float:
    """Seconds of the fastest of some runs, after one that warms up."""
    run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return min(times)


def of_sides() -> Series:
    """Proof and plan by the image's side; plans are made of a 2-D network."""
    flat = [(side, best(partial(sj.certify, *_network(2, side)))) for side in (236, 1004, 4076, 16364)]
    volumes = [(side, best(partial(sj.certify, *_network(3, side, levels=3)))) for side in (92, 252, 1004)]
    shape = [
        (side, best(partial(sj.plan_tiles, _network(2, 236)[0], (1, side, side, 1), tile=64))) for side in (1000, 16000)
    ]
    return {"proof, 2-D": flat, "proof, 3-D": volumes, "plan, 2-D": shape}


def of_levels() -> Series:
    """Proof by the number of levels."""
    return {"proof, 2-D": [(k, best(partial(sj.certify, *_network(2, 1004, levels=k)))) for k in (1, 2, 3, 4, 5)]}


def _network(ndim: int, side: int, levels: int = 4) -> tuple[Any, Any]:
    net = sj.UNet(3, ndim=ndim, features=8, factors=((2,) * ndim,) * levels)
    size = net.legal_sizes(side)[0][-1][0]
    x = jax.ShapeDtypeStruct((1, *(size,) * ndim, 1), jnp.float32)
    return Partial(net.apply, jax.eval_shape(net.init, jax.random.key(0), x)), x


def of_instances() -> Series:
    """Loss and gradient by the instances that are there, and by the bound on them where 200 are."""
    there = [(n, best(in_jax(*labelled_image(n, 256, 16), n))) for n in (5, 50, 500)]
    bound = [(n, best(in_jax(*labelled_image(200, 256, 16), n))) for n in (250, 1000, 8000)]
    return {"loss, all there": there, "loss, 200 there": bound}


def of_replicas() -> Series:
    """One gradient of so many small networks side by side."""
    net = sj.UNet(3, features=4, factors=(2, 2))
    x = jax.random.normal(jax.random.key(0), (1, 44, 44, 1))

    def step(variables: Any) -> Any:
        return jax.grad(lambda v: jnp.sum(jnp.asarray(net.apply(v, x)) ** 2))(variables)

    def time_of(count: int) -> float:
        variables = jax.vmap(lambda key: net.init(key, x))(jax.random.split(jax.random.key(1), count))
        return best(partial(jax.jit(jax.vmap(step)), variables))

    return {"gradient": [(n, time_of(n)) for n in (1, 8, 64)]}


def of_tiles() -> Series:
    """The plan, and the prediction of a function that costs nothing, by the number of tiles of 8 x 8 px."""

    def times(count: int) -> tuple[float, float]:
        side = 8 * round(count**0.5)
        plan = sj.plan_tiles(_cheap, (side, side, 1), tile=8)
        image = np.zeros((side, side, 1), np.float32)
        return best(partial(sj.plan_tiles, _cheap, (side, side, 1), tile=8)), best(
            partial(sj.predict_tiled, _cheap, image, plan)
        )

    counts = (100, 10_000, 1_000_000)
    both = [times(n) for n in counts]
    return {
        "plan": [(n, t[0]) for n, t in zip(counts, both, strict=True)],
        "prediction": [(n, t[1]) for n, t in zip(counts, both, strict=True)],
    }


def _cheap(x: Any) -> Any:
    return 2 * x


def draw(panels: dict[str, Series]) -> Any:
    """A panel for each number."""
    figure = new_figure(3 * len(panels), 3)
    for axes, (name, curves) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for curve, points in curves.items():
            axes.loglog(*zip(*points, strict=True), "o-", label=curve)
        numbers = sorted({n for points in curves.values() for n, _ in points})
        _proportional(axes, numbers)
        if numbers[-1] < 10:  # one tick each, where the powers of 10 are too few
            axes.set_xticks(numbers, map(str, numbers))
            axes.minorticks_off()
        axes.set(xlabel=name, ylabel="seconds")
        axes.legend(fontsize=7)
    return figure


def _proportional(axes: Any, numbers: Sequence[int]) -> None:
    """A grey line of what is proportional to the number, where the curves begin."""
    low, high = axes.get_ylim()
    first, last = min(numbers), max(numbers)
    axes.plot([first, last], [low, low * last / first], color="0.7", linewidth=1, label="proportional", zorder=0)
    axes.set_ylim(low / 1.5, high * 1.5)


if __name__ == "__main__":
    main()
