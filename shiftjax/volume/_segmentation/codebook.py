"""One codebook for a volume: pixels drawn from all of it, mean shift on them, and the nearest code of every pixel.

The pixels drawn are those with the smallest random numbers, and the random number of a pixel depends on the key and on
its position alone. So the sample is the same however the volume is cut into tiles and in whatever order they come, it
is uniform over the foreground, and samples of parts join to that of the whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._typing import Array, Bool, Float, Int, PRNGKeyArray
from shiftjax.clustering._climb import KERNELS, nearest, sizes
from shiftjax.clustering._mean_shift import mean_shift

STEP = 1024  # pixels, to which numbers of pixels are rounded up at least


class Sample(NamedTuple):
    """Pixels drawn from a part of a volume, by rising rank."""

    rank: np.ndarray  # (pixel,) uint64: the random number that decided
    embedding: np.ndarray  # (pixel, channel) float32


def seed_of(key: PRNGKeyArray) -> int:
    """64 random bits of a key."""
    high, low = np.asarray(jax.random.bits(key, (2,), jnp.uint32)).tolist()
    return high << 32 | low


def draw(
    embedding: np.ndarray, inside: np.ndarray, *, seed: int, start: Sequence[int], most: int, below: int | None = None
) -> Sample:
    """The foreground pixels of a window that have the smallest ranks.

    Args:
        embedding: `(*space, channel)`.
        inside: which pixels are foreground, `(*space)`.
        seed: what decides the ranks, the same for the whole volume.
        start: position in the volume of the window's first pixel.
        most: pixels to draw at most.
        below: ranks from here on are of no use, because others have been drawn already.

    Returns:
        The sample of this window.
    """
    rank = ranks(seed, start, inside.shape)
    chosen = np.flatnonzero(inside if below is None else inside & (rank < np.uint64(below)))
    found = rank.ravel()[chosen]
    order = np.argsort(found)[:most]
    pixels = embedding.reshape(-1, embedding.shape[-1])[chosen[order]]
    return Sample(found[order], pixels.astype(np.float32))


def join(samples: Iterable[Sample], *, most: int) -> Sample:
    """The sample of several windows together."""
    parts = list(samples)
    rank = np.concatenate([part.rank for part in parts])
    order = np.argsort(rank, kind="stable")[:most]
    return Sample(rank[order], np.concatenate([part.embedding for part in parts])[order])


def ranks(seed: int, start: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """A random number for every pixel of a window, uint64 `(*shape)`, given by the seed and the pixel's position."""
    rank = np.full((1,) * len(shape), seed, np.uint64)
    for axis, (first, size) in enumerate(zip(start, shape, strict=True)):
        place = np.arange(first, first + size, dtype=np.uint64)
        rank = _mix(rank ^ place.reshape(-1, *[1] * (len(shape) - axis - 1)))
    return rank


def _mix(x: np.ndarray) -> np.ndarray:
    """A bijection of 64 bits in which every bit depends on all (Steele et al.: SplitMix, 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def find_codes(sample: Sample, *, bandwidth: float, seeds: int) -> np.ndarray:
    """Codes float32 `(code, channel)`: where mean shift ends on the sample, the densest first."""
    if not len(sample.rank):
        return np.zeros((0, sample.embedding.shape[1]), np.float32)
    found = mean_shift(sample.embedding, bandwidth=bandwidth, seeds=seeds)
    if not bool(found.converged):
        warnings.warn(
            "mean shift did not come to rest on the sample of the volume; try a larger bandwidth", stacklevel=2
        )
    return np.asarray(found.centroids)[np.asarray(found.valid)]


def nearest_codes(pixels: np.ndarray, codes: np.ndarray, *, bandwidth: float, room: int) -> np.ndarray:
    """Index of the nearest code of every pixel, int32 `(pixel,)`; -1 for NaN, infinity, or where there are no codes.

    Args:
        pixels: `(pixel, channel)`.
        codes: `(code, channel)`.
        bandwidth: decides how exact distances must be.
        room: pixels of a tile; numbers of pixels are rounded up to eighths of it, so that few programs are compiled.
    """
    if not len(codes) or not len(pixels):
        return np.full(len(pixels), -1, np.int32)
    origin = codes.mean(0, dtype=np.float64).astype(np.float32)
    reach = float(np.square(codes - origin).sum(1).max())
    exact = 4 * np.finfo(np.float32).eps * reach > KERNELS["gaussian"].rounding * bandwidth**2
    step = max(STEP, -(-room // 8))
    padded = np.pad(pixels.astype(np.float32, copy=False), ((0, -len(pixels) % step), (0, 0)))
    found = _nearest(padded, codes, origin, jnp.asarray(exact), chunk=min(sizes()[1], step))
    return np.asarray(found)[: len(pixels)]


@partial(jax.jit, static_argnames="chunk")
def _nearest(
    pixels: Float[Array, "pixel channel"],
    codes: Float[Array, "code channel"],
    origin: Float[Array, " channel"],
    exact: Bool[Array, ""],
    *,
    chunk: int,
) -> Int[Array, " pixel"]:
    pixels = pixels.astype(jnp.float32) - origin
    return nearest(pixels, codes - origin, jnp.ones(len(codes), bool), exact, chunk)
