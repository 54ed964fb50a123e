"""Intensities scaled alike in all tiles: measured once over the volume, then fixed.

Scaling each tile by its own intensities would make neighbouring tiles disagree.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, number
from shiftjax._typing import Array, Shaped
from shiftjax.volume._storage.source import Source, open_source

BLOCKS = 64  # sampled over the volume: in 3-D two million pixels
BLOCK = 32  # pixels per axis of one


def normalize(source: Any, *, low: int | float = 1, high: int | float = 99.8) -> jax.tree_util.Partial:
    """Measures a volume's intensities and returns the function that scales them: `preprocess` of `predict_volume`.

    Args:
        source: as `predict_volume` takes it; where it needs axes, a level or options, from
            `shiftjax.volume.open_source`.
        low: percentile that becomes 0, per channel, over blocks sampled from the whole volume (always the same ones).
            NaN and infinity do not count; the function returned leaves them as they are.
        high: percentile that becomes 1.

    Returns:
        A function of an image `(batch, *space, channel)`, to float32.

    Raises:
        ValueError: percentiles out of order, or a channel whose percentiles coincide or that has no finite pixels.
        VolumeError: the source cannot be read.
    """
    low, high = number("low", low, least=0), number("high", high, above=low)
    if high > 100:
        fail("high", "a percentile of at most 100", high)
    at_low, at_high = percentiles(open_source(source), low, high)
    flat = np.flatnonzero(at_low == at_high)
    if len(flat):
        fail("source", "intensities that differ", f"both percentiles of channel {flat[0]} at {at_low[flat[0]]}")
    return jax.tree_util.Partial(scale, low=jnp.asarray(at_low), high=jnp.asarray(at_high))


def percentiles(source: Source, low: float, high: float) -> np.ndarray:
    """Two percentiles per channel, `(2, channel)` in float32, over blocks sampled from the whole volume."""
    blocks = [source.at(time)(slices) for time, slices in source.sampled_blocks(BLOCKS, BLOCK)]
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
