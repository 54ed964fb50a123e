"""One codebook for a volume: pixels drawn from all of it, and mean shift on them.

The pixels drawn are those with the smallest random numbers, and the random number of a pixel depends on the key and on
its position alone. So the sample is the same however the volume is cut into tiles and in whatever order they come, it
is uniform over the foreground, and samples of parts join to that of the whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail
from shiftjax._typing import PRNGKeyArray
from shiftjax.clustering import mean_shift


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
    candidates = np.flatnonzero(inside if below is None else inside & (rank < np.uint64(below)))
    candidates = candidates[np.argsort(rank.ravel()[candidates])[:most]]
    pixels = embedding.reshape(-1, embedding.shape[-1])[candidates]
    return Sample(rank.ravel()[candidates], pixels.astype(np.float32))


def join_samples(samples: Iterable[Sample], *, most: int) -> Sample:
    """The sample of several windows together."""
    parts = list(samples)
    rank = np.concatenate([part.rank for part in parts])
    order = np.argsort(rank, kind="stable")[:most]
    return Sample(rank[order], np.concatenate([part.embedding for part in parts])[order])


def ranks(seed: int, start: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """A random number for every pixel of a window, uint64 `(*shape)`, given by the seed and the pixel's position."""
    rank = np.full((1,) * len(shape), seed, np.uint64)
    for axis, (first, size) in enumerate(zip(start, shape, strict=True)):
        pixel = np.arange(first, first + size, dtype=np.uint64)
        rank = _mix(rank ^ pixel.reshape(-1, *[1] * (len(shape) - axis - 1)))
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
    clusters = mean_shift(sample.embedding, bandwidth=bandwidth, seeds=seeds)
    codes = np.asarray(clusters.centroids)[np.asarray(clusters.valid)]
    if not len(codes):  # all pixels would be background
        fail("bandwidth", "a length that float32 can tell beside the embedding", f"{bandwidth}", "give a larger one")
    if not bool(clusters.converged):
        warnings.warn(
            "mean shift did not come to rest on the sample of the volume; try a larger bandwidth", stacklevel=2
        )
    return codes
