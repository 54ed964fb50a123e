"""Whether an image is computed in tiles or in strips, and along which axis: whatever takes the least work.

Their `work` is compared, counted from traced programs, so that nothing is compiled for a stream that cannot win.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import jax

from shiftjax.tiling._geometry.axis_tiles import AxisTiles
from shiftjax.tiling._geometry.exact_window import exact_throughout
from shiftjax.tiling._hosted import tile_function
from shiftjax.tiling._plan import TilePlan
from shiftjax.tiling._planning.problem import Problem

CHEAPER = 0.9  # of the work of the tiles, at most: the count of it is no closer than that
PROMISING = 0.95  # for strips as wide as the tiles: wider ones, for which there may be room, take a little less


def cheaper_of(problem: Problem, tiled: TilePlan, stream: Callable[[int], TilePlan], *, asked: bool) -> TilePlan:
    """The plan in tiles, or that of a stream where it takes less work; `unstreamed` says why a stream was not chosen.

    Args:
        problem: the function and its image.
        tiled: the plan in tiles.
        stream: makes the plan of a stream along a spatial axis; may raise.
        asked: whether the user asked for a stream wherever it takes less.
    """
    axis = _axis(tiled)
    try:
        reason = _kept_to_tiles(problem, tiled, asked) or _no_gain(axis, _promised(problem, tiled, axis), PROMISING)
        if reason:
            return replace(tiled, unstreamed=reason)
        streamed = stream(axis)
        reason = _no_gain(axis, _work(problem, streamed) / _work(problem, tiled), CHEAPER)
    except ValueError as refusal:  # NotStreamable, or a strip does not fit where a tile does
        return replace(tiled, unstreamed=str(refusal))
    if streamed.equals_whole < tiled.equals_whole:
        reason = streamed.why
    return replace(tiled, unstreamed=reason) if reason else streamed


def _kept_to_tiles(problem: Problem, tiled: TilePlan, asked: bool) -> str:
    """Why no stream is considered; empty where one is."""
    if math.prod(tiled.grid) == 1 and not asked:
        return "the image is one tile, of which nothing is computed twice"
    if tile_function(problem.fn) is not None:
        return "another library computes the tiles"
    if not asked and (jax.default_backend() != "cpu" or jax.local_device_count() > 1):
        return "a stream runs on one device, and what its steps take was measured on a CPU only"
    return ""


def _axis(tiled: TilePlan) -> int:
    """The axis along which tiles compute most twice, compared with the start of a strip; the longest of equals."""

    def gain(k: int) -> tuple[float, int]:
        along = tiled.axes[k]
        return round(along.count * along.tile / _streamed(along), 2), along.image

    return max(range(len(tiled.axes)), key=gain)


def _streamed(along: AxisTiles) -> int:
    """Pixels that a stream along an axis reads: the image, and what a tile reads beyond those that it delivers."""
    return along.image + along.tile - min(along.step, along.image)  # one tile may be all of an image that is smaller


def _no_gain(axis: int, share: float, most: float) -> str:
    """Why a stream that takes this share of the work of the tiles is not chosen; empty where it may be."""
    what = f"along spatial axis {axis} a stream would take {share:.2f} of the work of the tiles"
    return "" if share <= most else what


def _promised(problem: Problem, tiled: TilePlan, axis: int) -> float:
    """The share of the tiles' work that a stream with strips as wide as the tiles would take, about."""
    certificate, along = tiled.certificate, tiled.axes[axis]
    whole = None if tiled.pad is not None or exact_throughout(certificate, axis) else along.image
    size = certificate.shape[1:-1]
    period = problem.stream(size, certificate, axis, whole).period
    step = period * max(1, along.step // period)
    steps = _streamed(along) / step
    return steps * problem.step_work(size, certificate, axis, step, whole) / (along.count * problem.tile_work(size))


def _work(problem: Problem, plan: TilePlan) -> float:
    """The work of all tiles, or of all steps."""
    size, tiles = plan.certificate.shape[1:-1], math.prod(plan.grid)
    if (axis := plan.stream) is None:
        return tiles * problem.tile_work(size)
    steps = tiles / plan.grid[axis] * (plan.grid[axis] + plan.filling)
    return steps * problem.step_work(size, plan.certificate, axis, plan.tile_output[axis], plan.streamed_ends)
