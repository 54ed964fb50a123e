"""What does tiling cost on this device, against the least it could, and where does the time go?

The bound is the time of the whole image in one pass on the device, times what the plan computes more than once.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _timing import time_alternating
from _variables import drawn_variables

import shiftjax as sj
from _accelerator.session import Session
from _accelerator.timing import compiled, of_jax, seconds_per_call
from shiftjax.tiling import check_function

# Network, pixels per axis of the image, wished pixels per axis of a tile.
CASES: dict[str, tuple[dict[str, Any], int, int]] = {
    "2-D, l=4, 16 features": ({"features": 16}, 4096, 1024),
    "3-D, l=3, 8 features": ({"features": 8, "factors": (2, 2, 2), "ndim": 3}, 320, 160),
}
TINY: dict[str, tuple[dict[str, Any], int, int]] = {
    "2-D, l=2, 4 features": ({"features": 4, "factors": (2, 2)}, 64, 32),
    "3-D, l=1, 2 features": ({"features": 2, "factors": (2,), "ndim": 3}, 24, 12),
}


def measure(session: Session) -> None:
    """A row for each network, and another of where the time goes."""
    for name, case in (TINY if session.tiny else CASES).items():
        session.need(10 * (not session.tiny))
        with session.attempt(name):
            _tiles(session, name, *case)


def network(options: dict[str, Any]) -> Callable[[Any], Any]:
    net = sj.UNet(3, **options)
    return jax.tree_util.Partial(net.apply, jax.device_put(drawn_variables(net)))


def _tiles(session: Session, name: str, options: dict[str, Any], side: int, tile: int) -> None:
    fn, ndim = network(options), options.get("ndim", 2)
    image = np.random.default_rng(0).normal(size=(1, *(side,) * ndim, 1)).astype(np.float32)
    start = time.perf_counter()
    plan = sj.plan_tiles(fn, image.shape, tile=tile)
    planned = time.perf_counter() - start
    padded = np.asarray(jnp.pad(image, plan.pad_width, mode=plan.pad or "reflect"))
    there = jax.device_put(padded)
    whole, compiling = compiled(lambda fn, x: fn(x), fn, there)
    start = time.perf_counter()
    stitched = sj.predict_tiled(fn, image, plan)
    first = time.perf_counter() - start
    seconds = time_alternating(
        {
            "whole": lambda: jax.block_until_ready(whole(fn, there)),
            "tiled": lambda: sj.predict_tiled(fn, image, plan),
        },
        repeats=3,
    )
    expected = np.asarray(whole(fn, there))[plan.whole_crop]
    # In one pass the network reads the padded border as well: counted per pixel of the image, as redundancy is.
    bound = seconds["whole"] * image.size / padded.size * plan.redundancy
    session.row(
        network=name,
        image=f"{side}^{ndim}",
        **{
            "tile reads": " x ".join(map(str, plan.tile_input)),
            "tiles": math.prod(plan.grid),
            "tiles per call": plan.batch_size,
            "redundancy": plan.redundancy,
            "whole ms": 1e3 * seconds["whole"],
            "tiled ms": 1e3 * seconds["tiled"],
            "of the bound": bound / seconds["tiled"],
            "difference": float(np.abs(stitched - expected).max() / expected.std()),
            "planned in s": planned,
            "begun in s": first,
            "compiled whole in s": compiling,
        },
    )
    del there, whole
    _where_time_goes(session, name, fn, plan, seconds["tiled"])


def _where_time_goes(session: Session, name: str, fn: Callable[[Any], Any], plan: sj.TilePlan, tiled: float) -> None:
    """The steps of one call, each alone, times the calls: what they would take one after the other."""
    calls = -(-math.prod(plan.grid) // plan.batch_size)
    batch = np.ones((plan.batch_size, *plan.tile_input, 1), np.float32)
    there = jax.block_until_ready(jax.device_put(batch))
    crop = (slice(None), *(slice(n) for n in plan.tile_output))
    run, _ = compiled(lambda fn, x: fn(x)[crop], fn, there)
    output = run(fn, there)
    bump, _ = compiled(lambda y: y + 1, output)
    host = np.empty((1, *plan.image_shape[1:-1], output.shape[-1]), np.float32)
    fetched = np.asarray(output)
    nothing = lambda _: None  # noqa: E731
    image = np.ones(plan.image_shape, np.float32)
    first = next(iter(plan.tiles()))
    taken = seconds_per_call(
        {
            "check": (lambda: check_function(fn, plan), nothing),  # is it the function that was planned for?
            "finite": (lambda: bool(np.isfinite(image).all()), nothing),
            "read": (lambda: plan.read_input(first, lambda at: image[(slice(None), *at)]).copy(), nothing),
            "allocate": (lambda: np.empty(host.shape, host.dtype).fill(0), nothing),  # the result's memory
            "send": of_jax(lambda: jax.device_put(batch)),
            "compute": of_jax(lambda: run(fn, there)),
            "bump": of_jax(lambda: bump(output)),
            "bump and fetch": (lambda: np.asarray(bump(output)), nothing),  # a fresh array, or its copy would be kept
            "stitch": (lambda: host.reshape(-1)[: fetched.size].__setitem__(slice(None), fetched.reshape(-1)), nothing),
        },
        turns=3,
    )
    taken["fetch"] = max(taken["bump and fetch"] - taken["bump"], 0.0)
    steps = {step: taken[step] for step in ("check", "finite", "allocate")}
    steps["read"] = math.prod(plan.grid) * taken["read"]  # in another thread
    steps |= {step: calls * taken[step] for step in ("send", "compute", "fetch", "stitch")}
    session.row(
        **{"time of": name, "calls": calls},
        **{f"{step} ms": 1e3 * seconds for step, seconds in steps.items()},
        **{"tiled ms": 1e3 * tiled, "sum / tiled": sum(steps.values()) / tiled},
    )


def measure_volume(session: Session) -> None:
    """`predict_volume` from an array in memory, to storage."""
    if importlib.util.find_spec("zarr") is None:
        session.note("not run: predict_volume writes Zarr, and zarr is not installed here")
        return
    name, (options, side, tile) = list((TINY if session.tiny else CASES).items())[1]
    fn = network(options)
    volume = np.random.default_rng(0).normal(size=(side,) * 3).astype(np.float32)
    plan = sj.plan_tiles(fn, (1, *volume.shape, 1), tile=tile)
    for turn in ("with compilation", "again"):
        target = session.work / f"volume {turn}.zarr"
        start = time.perf_counter()
        sj.predict_volume(fn, volume, target, plan, axes="zyx", progress=False, resume=False)
        seconds = time.perf_counter() - start
        rate = volume.size / seconds / 1e6
        session.row(volume=name, size=f"{side}^3", turn=turn, seconds=seconds, **{"Mpx/s": rate})
