"""Intensities scaled alike in all tiles: measured once over the volume, then fixed.

Scaling each tile by its own intensities makes neighbouring tiles disagree, so whatever runs before the network must act
on every pixel alone. The certifier decides: period 1 and a receptive field of one pixel, or a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, number
from shiftjax._typing import Array, Shaped
from shiftjax.certifier import CertificationError, batchwise, certify
from shiftjax.tiling._plan import TilePlan
from shiftjax.volume._storage.casting import holds
from shiftjax.volume._storage.provenance import sampled_blocks
from shiftjax.volume._storage.source import Source, open_source

BLOCKS = 64  # sampled over the volume
BLOCK = 32  # pixels per axis of one


def normalize(
    source: Any, *, low: int | float = 1, high: int | float = 99.8, axes: str | None = None, level: int = 0
) -> jax.tree_util.Partial:
    """Measures a volume's intensities and returns the function that scales them: `preprocess` of `predict_volume`.

    Args:
        source: as `predict_volume` takes it.
        low: percentile that becomes 0, per channel, over blocks sampled from the whole volume (always the same ones).
            NaN and infinity do not count; the function returned leaves them as they are.
        high: percentile that becomes 1.
        axes: of the source.
        level: of an OME-Zarr image.

    Returns:
        A function of an image `(batch, *space, channel)`, to float32.

    Raises:
        ValueError: percentiles out of order, or a channel whose percentiles coincide.
    """
    low, high = number("low", low, least=0), number("high", high, above=low)
    if high > 100:
        fail("high", "a percentile of at most 100", high)
    found = percentiles(open_source(source, axes, level=level), low, high)
    flat = [c for c in range(found.shape[1]) if found[0, c] == found[1, c]]
    if flat:
        fail("source", "intensities that differ", f"both percentiles of channel {flat[0]} at {found[0, flat[0]]}")
    return jax.tree_util.Partial(scale, low=jnp.asarray(found[0]), high=jnp.asarray(found[1]))


def percentiles(source: Source, low: float, high: float) -> np.ndarray:
    """Two percentiles per channel, `(2, channel)` in float32, over blocks sampled from the whole volume."""
    blocks = [source.at(time)(slices) for time, slices in sampled_blocks(source, BLOCKS, BLOCK)]
    pixels = np.concatenate([block.reshape(-1, source.channels) for block in blocks])
    pixels = pixels.view(np.uint8) if pixels.dtype == bool else pixels
    finite = [channel[np.isfinite(channel)] for channel in pixels.T]
    empty = [c for c, channel in enumerate(finite) if not channel.size]
    if empty:
        fail("source", "finite intensities", f"none in the blocks sampled of channel {empty[0]}")
    return np.stack([np.percentile(channel, [low, high]) for channel in finite], axis=1).astype(np.float32)


def scale(
    image: Shaped[Array, "batch *space channel"],
    *,
    low: Shaped[Array, " channel"],
    high: Shaped[Array, " channel"],
) -> Shaped[Array, "batch *space channel"]:
    """Intensities `low` to `high` as 0 to 1, in float32."""
    return (image.astype(jnp.float32) - low) / (high - low)


def check_preprocess(preprocess: Callable[[Any], Any] | None, plan: TilePlan, dtype: np.dtype) -> None:
    """Refuses what is not the same function of every pixel alone, or does not give what the plan is for.

    Args:
        preprocess: a JAX function of an image, or None.
        plan: of the network that follows.
        dtype: of the source.

    Raises:
        ValueError: with the certifier's reason, or with the types that do not match.
    """
    if preprocess is None:
        if not holds(np.dtype(plan.dtype), dtype):
            fail("source", f"pixels that {plan.dtype} holds, as planned", dtype, "give a `preprocess` that converts")
        return
    mend = "scale all pixels alike, as `shiftjax.volume.normalize` does"
    image = jax.ShapeDtypeStruct((1, *plan.tile_input, plan.image_shape[-1]), jax.dtypes.canonicalize_dtype(dtype))
    try:
        certificate = certify(preprocess, image)
    except (CertificationError, TypeError, ValueError) as refusal:  # the last two from the function itself
        raise ValueError(
            f"`preprocess`: expected a JAX function of every pixel alone, found no proof of that ({refusal}); {mend}."
        ) from refusal
    made = jax.eval_shape(preprocess, image)
    if made.shape != image.shape or str(made.dtype) != plan.dtype:
        fail("preprocess", f"an image {image.shape} in {plan.dtype}, as planned", f"{made.shape} in {made.dtype}")
    reach = [(axis.period, axis.lo, axis.hi) for axis in certificate.axes]
    if any(period != 1 or tuple(lo) != (0,) or tuple(hi) != (0,) for period, lo, hi in reach):
        found = f"receptive fields {[axis.field for axis in certificate.axes]} and periods {certificate.period}"
        fail("preprocess", "a function of every pixel alone", found, mend)
    if not batchwise(preprocess, image):
        fail("preprocess", "a function that treats each image of a batch alone", "no proof that it does", mend)
