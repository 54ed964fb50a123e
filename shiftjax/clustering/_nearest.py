"""The nearest code of every pixel, where the codes are known: for tiles of a volume whose codebook was found before."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._arithmetic import ceil_div
from shiftjax._typing import Array, Bool, Float, Int
from shiftjax._xla_cpu import cpu_form
from shiftjax.clustering._climb import ACCELERATOR, CPU, KERNELS, nearest, origin_at

STEP = 1024  # pixels, to which numbers of pixels are rounded up at least


def nearest_codes(pixels: np.ndarray, codes: np.ndarray, *, bandwidth: float, room: int) -> np.ndarray:
    """Index of the nearest code of every pixel, as `mean_shift` would label it.

    Args:
        pixels: `(pixel, channel)`, floats.
        codes: `(code, channel)`, say the valid centroids of `mean_shift`.
        bandwidth: of `mean_shift`, in units of the embedding; decides how exact distances must be.
        room: pixels of the largest call to come. Numbers of pixels are rounded up to eighths of it, so that calls of
            many sizes share a few compiled programs.

    Returns:
        int32 `(pixel,)`; -1 for pixels that are not finite, and for all where there are no codes.
    """
    if not len(codes) or not len(pixels):
        return np.full(len(pixels), -1, np.int32)
    mean = codes.mean(0, dtype=np.float64)
    origin = np.asarray(origin_at(mean, np.abs(codes - mean).mean(0))).astype(np.float32)
    reach = float(np.square(codes - origin).sum(1).max())
    exact = 4 * np.finfo(np.float32).eps * reach > KERNELS["gaussian"].rounding * bandwidth**2
    step = max(STEP, ceil_div(room, 8))
    padded = np.pad(pixels.astype(np.float32, copy=False), ((0, -len(pixels) % step), (0, 0)))
    chunks = min(CPU.chunk, step), min(ACCELERATOR.chunk, step)
    labels = _nearest(padded, codes, origin, jnp.asarray(exact), chunks=chunks)
    return np.asarray(labels)[: len(pixels)]


@partial(jax.jit, static_argnames="chunks")
def _nearest(
    pixels: Float[Array, "pixel channel"],
    codes: Float[Array, "code channel"],
    origin: Float[Array, " channel"],
    exact: Bool[Array, ""],
    *,
    chunks: tuple[int, int],
) -> Int[Array, " pixel"]:
    """Around the origin, because the rounding of distances grows with the square of their length."""
    pixels = pixels.astype(jnp.float32) - origin
    valid = jnp.ones(len(codes), bool)
    forms = [partial(nearest, chunk=chunk) for chunk in chunks]  # on a CPU, and elsewhere
    return cpu_form(*forms, pixels, codes - origin, valid, exact)
