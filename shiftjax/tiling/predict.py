"""Tile-and-stitch in memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shiftjax._checks import fail, finite, integer
from shiftjax._typing import Array, Shaped
from shiftjax.tiling.plan import TilePlan

BATCH_PIXELS = 2**18  # input pixels per call when no batch size is given: small tiles share a call


def predict_tiled(
    fn: Callable[[Any], Any],
    image: Shaped[Array, "batch *space channel"] | Shaped[np.ndarray, "batch *space channel"],
    plan: TilePlan,
    *,
    batch_size: int | None = None,
) -> np.ndarray:
    """Predicts an image tile by tile and stitches the outputs.

    Args:
        fn: the function that was planned for.
        image: of the shape that was planned for.
        plan: from `plan_tiles`.
        batch_size: tiles per call of `fn`, stacked along its batch axis; by default as many as make a call worth while,
            one where `fn` may mix the images of a batch.

    Returns:
        `(batch, *space, channel)`, on the host. Where `plan.equals_whole` it equals
        `fn(jnp.pad(image, plan.pad_width, mode=plan.pad))[plan.whole_crop]`: bit for bit in integer arithmetic.

    Raises:
        ValueError: the image has another shape or holds NaN, or `batch_size` is above 1 where the plan forbids it.
    """
    if tuple(image.shape) != plan.image_shape:
        fail("image", f"the planned shape {plan.image_shape}", tuple(image.shape), "make a plan for this image")
    finite("image", image)
    count = _batch_size(plan) if batch_size is None else integer("batch_size", batch_size, least=1)
    if count > 1 and not plan.batchwise:
        fail("batch_size", "1, since this function may mix the images of a batch", count)
    padded = jnp.pad(jnp.asarray(image), plan.pad_width, mode=plan.pad)
    origins = np.array([np.multiply(tile, plan.tile_stride) for tile in product(*map(range, plan.grid))], np.int32)
    fn = fn if _is_pytree(fn) else jax.tree_util.Partial(fn)
    start = tuple(index.start for index in plan.crop[1:-1])
    stitched: np.ndarray | None = None
    for first in range(0, len(origins), count):
        places = origins[first : first + count]
        full = np.concatenate([places, np.repeat(places[-1:], count - len(places), axis=0)])  # one compiled shape
        outputs = np.asarray(_predict(fn, padded, full, plan.tile_input, start, plan.tile_output))
        if outputs.shape[2:-1] != plan.tile_output:
            fail("fn", f"the planned output of {plan.tile_output} px", outputs.shape[2:-1], "plan for this function")
        if stitched is None:
            extent = [n * t for n, t in zip(plan.grid, plan.tile_stride, strict=True)]
            stitched = np.empty((plan.image_shape[0], *extent, outputs.shape[-1]), outputs.dtype)
        for place, output in zip(places, outputs, strict=False):
            at = tuple(slice(o, o + t) for o, t in zip(place, plan.tile_output, strict=True))
            stitched[(slice(None), *at)] = output
    assert stitched is not None
    return stitched[(slice(None), *(slice(0, n) for n in plan.image_shape[1:-1]))]


def _batch_size(plan: TilePlan) -> int:
    if not plan.batchwise:
        return 1
    pixels = plan.image_shape[0] * math.prod(plan.tile_input)
    return max(1, min(math.prod(plan.grid), BATCH_PIXELS // pixels))


def _is_pytree(fn: Any) -> bool:
    return not jax.tree_util.all_leaves([fn])


@partial(jax.jit, static_argnames=("size", "start", "kept"))
def _predict(
    fn: Callable[[Array], Array], padded: Array, origins: Array, size: tuple, start: tuple, kept: tuple
) -> Array:
    """Outputs `(tile, batch, *tile_output, channel)` of the tiles at `origins` of the padded image."""

    def cut(origin: Array) -> Array:
        zero = jnp.zeros((), origin.dtype)
        return lax.dynamic_slice(padded, (zero, *origin, zero), (padded.shape[0], *size, padded.shape[-1]))

    tiles = jax.vmap(cut)(origins)
    crop = (slice(None), *(slice(a, a + n) for a, n in zip(start, kept, strict=True)))
    outputs = fn(tiles.reshape(-1, *tiles.shape[2:]))[crop]
    return outputs.reshape(*tiles.shape[:2], *outputs.shape[1:])
