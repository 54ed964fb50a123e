"""Mean shift on the accelerator: seeds climb to the modes of the embeddings, pixels take the nearest mode."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import array, fail, finite, floating, integer, length, number, one_of, room, single_key
from shiftjax._patience import patience
from shiftjax._typing import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray
from shiftjax._xla_cpu import cpu_form
from shiftjax.clustering._climb import (
    ACCELERATOR,
    CPU,
    KERNELS,
    Sizes,
    climb,
    gather,
    merge,
    nearest,
    origin_at,
    spread,
)
from shiftjax.clustering._rounding import HELD, is_moved

SIZES = (CPU, ACCELERATOR)


class Clusters(NamedTuple):
    """The clusters of an embedding.

    Attributes:
        centroids: `(centroid, channel)`, the densest first, zero where not valid.
        valid: which centroids exist, `(centroid,)`.
        labels: of every pixel `(*anything)`, int32: k + 1 where centroid k is the nearest valid one, 0 outside the
            mask, so that 0 is background here as in all labels.
        converged: whether every seed came to rest within max_iter and max_centroids were enough for all centroids.
            A seed that rounding moves away from all pixels does not: the embedding has too many bandwidths.
    """

    centroids: Float[Array, "centroid channel"]
    valid: Bool[Array, " centroid"]
    labels: Int[Array, " *space"]
    converged: Bool[Array, ""]


def mean_shift(
    embedding: ArrayLike,
    *,
    bandwidth: int | float,
    seeds: int | ArrayLike = 1000,
    key: PRNGKeyArray | None = None,
    kernel: str = "gaussian",
    mask: ArrayLike | None = None,
    max_centroids: int | None = None,
    max_iter: int = 300,
    tol: int | float = 1e-3,
) -> Clusters:
    """Clusters all pixels of an embedding together; tile by tile, clusters would differ from one tile to the next.

    With the flat kernel and the same seeds it agrees with `sklearn.cluster.MeanShift`. With the Gaussian kernel a seed
    stops where it comes within a tenth of a bandwidth of a mode that another seed has reached. Pixels are visited in
    chunks, so the memory does not grow with pixels times seeds; half precision is computed in float32.

    Args:
        embedding: floating point, `(*anything, channel)`.
        bandwidth: the length h of the kernel, in units of the embedding.
        seeds: how many pixels start a climb, or where to start, `(seed, channel)`. Pixels are taken one from each of
            as many equal stretches of the (masked) image.
        key: draws the pixel of every stretch; without a key they are spread evenly.
        kernel: weight of a pixel at distance r: `"gaussian"`, exp(-r^2 / 2h^2), or `"flat"`, 1 where r <= h.
        mask: the pixels to cluster, booleans of shape `embedding.shape[:-1]`; all by default.
        max_centroids: static bound on the centroids; by default the number of seeds, which always suffices.
        max_iter: steps after which a seed stops where it is.
        tol: a seed rests when a step is at most this fraction of the bandwidth.

    Returns:
        Centroids `(centroid, channel)`, which of them are valid `(centroid,)`, the label of every pixel `(*anything)`,
        and whether all seeds converged. An empty mask has no valid centroid.

    Raises:
        ValueError: wrong shapes or options; NaN in a known embedding, or float64 in which float32 would lose objects.
        TypeError: an embedding that is not floating point or a mask that is not boolean.

    References:
        Comaniciu and Meer: Mean shift, a robust approach toward feature space analysis, 2002.
    """
    bandwidth = length("bandwidth", bandwidth)
    if key is not None:
        single_key(key)
    one_of("kernel", kernel, KERNELS)
    shape = _check_shapes(embedding, mask)
    given = array("embedding", embedding)
    pixels = jnp.asarray(given).reshape(-1, shape[-1])
    pixels = pixels.astype(jnp.promote_types(pixels.dtype, jnp.float32))
    if given.dtype == np.float64 and pixels.dtype == jnp.float32 and is_moved(given, bandwidth):
        fail("embedding", HELD, "float64 that it does not", "subtract their mean first")
    finite("embedding", pixels)
    start, count = _check_seeds(seeds, pixels)
    limit = count if max_centroids is None else integer("max_centroids", max_centroids, least=1)
    room("max_centroids", (limit, shape[-1] + 1), itemsize=4, copies=4)
    inside = jnp.ones(len(pixels), bool) if mask is None else jnp.asarray(mask).reshape(-1)
    padding = -len(pixels) % _step_of_sizes(len(pixels))  # by pixels outside the mask
    steps, tolerance = integer("max_iter", max_iter, least=1), number("tol", tol, least=0.0)
    padded = jnp.pad(pixels, ((0, padding), (0, 0))), jnp.pad(inside, (0, padding))
    with patience("compiling mean shift"):
        clusters = _mean_shift(
            *padded, start, key, bandwidth, steps, tolerance, kernel=kernel, seeds=count, most=limit, sizes=SIZES
        )
    return clusters._replace(labels=clusters.labels[: len(pixels)].reshape(shape[:-1]))


def _step_of_sizes(pixels: int) -> int:
    """Padding to multiples of this costs at most a quarter, and images of similar sizes share one compilation."""
    return 1 << max(pixels.bit_length() - 3, 0)


def _check_shapes(embedding: ArrayLike, mask: Any) -> tuple[int, ...]:
    """Refuses wrong types and shapes; returns the shape of the embedding."""
    floating("embedding", embedding)
    shape = tuple(array("embedding", embedding).shape)
    if len(shape) < 2 or 0 in shape:
        fail("embedding", "a shape (*anything, channel) without empty axes", shape)
    if mask is None:
        return shape
    mask = array("mask", mask)
    if mask.dtype != jnp.bool_:
        raise TypeError(f"`mask`: expected booleans, found {mask.dtype}; write `mask > 0`.")
    if np.shape(mask) != shape[:-1]:
        fail("mask", f"the shape {shape[:-1]} of the embedding without its channels", np.shape(mask))
    return shape


def _check_seeds(seeds: Any, pixels: Array) -> tuple[Array | None, int]:
    """The positions to start from (None: pixels, still to be drawn) and the number of seeds."""
    if not isinstance(seeds, list | tuple) and getattr(seeds, "shape", ()) == ():
        return None, min(integer("seeds", seeds, least=1), len(pixels))
    seeds = array("seeds", seeds)
    shape = tuple(seeds.shape)
    if len(shape) != 2 or shape[0] == 0 or shape[1] != pixels.shape[1]:
        fail("seeds", f"a number of pixels or positions of shape (seed, {pixels.shape[1]})", f"shape {shape}")
    if jnp.issubdtype(seeds.dtype, jnp.complexfloating):
        fail("seeds", "real positions", seeds.dtype)
    start = jnp.asarray(seeds, pixels.dtype)
    finite("seeds", start)
    return start, len(start)


@partial(jax.jit, static_argnames=("kernel", "seeds", "most", "sizes"))
def _mean_shift(*arrays: Any, kernel: str, seeds: int, most: int, sizes: tuple[Sizes, Sizes]) -> Clusters:
    """The pure part, `_clusters`, with the sizes of a CPU or of other devices."""
    forms = [partial(_clusters, kernel=kernel, seeds=seeds, most=most, sizes=each) for each in sizes]
    return cpu_form(*forms, *arrays)


def _clusters(
    embedding: Float[Array, "pixel channel"],
    inside: Bool[Array, " pixel"],
    start: Float[Array, "seed channel"] | None,
    key: PRNGKeyArray | None,
    bandwidth: ArrayLike,
    max_iter: ArrayLike,
    tol: ArrayLike,
    *,
    kernel: str,
    seeds: int,
    most: int,
    sizes: Sizes,
) -> Clusters:
    """Scale to units of the bandwidth, climb, merge, label."""
    lanes, chunk = min(sizes.lanes, seeds), min(sizes.chunk, len(embedding))
    of_mask = partial(jnp.sum, axis=0, where=inside[:, None])
    count = jnp.maximum(jnp.sum(inside), 1)
    mean = of_mask(embedding) / count
    origin = origin_at(mean, of_mask(jnp.abs(embedding - mean)) / count)
    scaled = (embedding - origin) / bandwidth
    pixels = gather(scaled, inside, chunk, KERNELS[kernel].rounding)
    if start is None:
        start, total = spread(pixels, key, seeds)
    else:
        start, total = (start - origin) / bandwidth, jnp.where(pixels.size > 0, seeds, 0)
    end = climb(start, total, pixels, KERNELS[kernel], max_iter, tol, lanes, chunk)
    centroids, valid, overflow = merge(end.modes, end.density, most)
    labels = jnp.where(inside, nearest(scaled, centroids, valid, pixels.exact, chunk) + 1, 0)
    centroids = jnp.where(valid[:, None], origin + bandwidth * centroids, 0)
    return Clusters(centroids, valid, labels, jnp.all(jnp.isfinite(origin)) & ~(end.exhausted | overflow))
