"""The steps of mean shift, on pixels and positions in units of the bandwidth.

A few seeds climb at a time, each in its lane; a seed that has converged frees its lane for the next one in the queue,
so that slow seeds do not block the others. Pixels are visited in chunks, so that no array of all pixels times all seeds
exists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from shiftjax._typing import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

BLOCK = 64  # centroids compared at a time
GOLDEN = 0.6180339887498949  # its multiples, modulo 1, are spread as evenly over [0, 1) as those of any number


class Kernel(NamedTuple):
    """How a pixel at a squared distance counts.

    Attributes:
        weight: squared distance to weight.
        arrival: distance from an earlier mode within which a seed stops, since modes closer than 1 are merged in the
            end. With the flat kernel no seed stops early, to agree with scikit-learn.
        rounding: largest harmless rounding error of a squared distance.
    """

    weight: Callable[[Array], Array]
    arrival: float
    rounding: float


# A rounding error of 0.01 changes a Gaussian weight by half a percent; the flat kernel decides at a square of 1.
KERNELS = {
    "gaussian": Kernel(lambda square: jnp.exp(-square / 2), arrival=0.1, rounding=1e-2),
    "flat": Kernel(lambda square: (square <= 1).astype(square.dtype), arrival=0.0, rounding=1e-4),
}


class Sizes(NamedTuple):
    """How much is done at a time; it changes no result but for rounding.

    Attributes:
        lanes: seeds that climb side by side.
        chunk: pixels that they visit side by side.
    """

    lanes: int
    chunk: int


CPU, ACCELERATOR = Sizes(32, 1024), Sizes(256, 1 << 17)  # a product that fits a cache, and one that fills the device


class Pixels(NamedTuple):
    """The pixels to cluster.

    Attributes:
        rows: positions and a last column of ones, the pixels of the mask first, then zeros up to a full chunk. The
            ones sum up the weights in the same product as the positions.
        size: number of pixels in the mask.
        exact: whether distances must be computed from differences; products are faster, but their rounding error grows
            with the square of the distance from the origin.
    """

    rows: Float[Array, "row channel+1"]
    size: Int[Array, ""]
    exact: Bool[Array, ""]


def origin_at(mean: Array, deviation: Array) -> Array:
    """Where to count from: the mean, so that a common offset costs no precision; 0 where that is no common offset.

    A single far pixel may move the mean so far that the others, counted from there, lose their digits.

    Args:
        mean: of the positions, `(channel,)`.
        deviation: their mean distance from it in each channel, `(channel,)`.
    """
    return jnp.where(jnp.abs(mean) <= deviation, 0, mean)  # NaN stays NaN


def gather(pixels: Float[Array, "pixel channel"], inside: Bool[Array, " pixel"], chunk: int, rounding: float) -> Pixels:
    """Moves the pixels of the mask to the front and fills the last chunk."""
    size = jnp.sum(inside)
    rows = jnp.concatenate([pixels, jnp.ones_like(pixels[:, :1])], axis=1)
    rows = rows[jnp.flatnonzero(inside, size=len(pixels), fill_value=0)]
    rows = jnp.where(jnp.arange(len(pixels))[:, None] < size, rows, 0)
    largest_square = jnp.max(jnp.sum(rows[:, :-1] ** 2, axis=1))
    rows = jnp.pad(rows, ((0, -len(rows) % chunk), (0, 0)))
    # The magnitudes in |a|^2 + |b|^2 - 2ab add up to at most four times the largest square.
    return Pixels(rows, size, 4 * jnp.finfo(rows.dtype).eps * largest_square > rounding)


def spread(pixels: Pixels, key: PRNGKeyArray | None, seeds: int) -> tuple[Float[Array, "seed channel"], Int[Array, ""]]:
    """One pixel from each of as many equal stretches of the image as there are seeds, and how many of them there are.

    Without a key golden-ratio offsets keep the seeds from lining up in columns of the image.
    """
    total = jnp.minimum(pixels.size, seeds)
    length, longer = jnp.divmod(pixels.size, jnp.maximum(total, 1))  # the first `longer` stretches have one pixel more
    edges = jnp.arange(seeds + 1) * length + jnp.minimum(jnp.arange(seeds + 1), longer)
    offset = (jnp.arange(seeds) * GOLDEN) % 1 if key is None else jax.random.uniform(key, (seeds,))
    index = edges[:-1] + (offset * jnp.diff(edges)).astype(edges.dtype)
    return pixels.rows[jnp.minimum(index, edges[1:] - 1), :-1], total


def squared_distances(
    a: Float[Array, "a channel"], b: Float[Array, "b channel"], exact: Bool[Array, ""]
) -> Float[Array, "a b"]:
    """Squared distances, from a matrix product where its rounding error allows."""

    def products() -> Array:
        cross = jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
        return jnp.sum(a**2, axis=1)[:, None] + jnp.sum(b**2, axis=1) - 2 * cross

    def differences() -> Array:  # a channel at a time: XLA does not vectorise a sum over a short last axis
        return jnp.asarray(sum((x[:, None] - y) ** 2 for x, y in zip(a.T, b.T, strict=True)))

    return jax.lax.cond(exact, differences, products)


def step(
    position: Float[Array, "lane channel"], pixels: Pixels, kernel: Kernel, chunk: int
) -> tuple[Float[Array, "lane channel"], Float[Array, " lane"]]:
    """Weighted mean of the pixels around every position, and the sum of their weights."""

    def add(index: Array, total: Array) -> Array:
        rows = jax.lax.dynamic_slice_in_dim(pixels.rows, index * chunk, chunk)
        weight = kernel.weight(squared_distances(position, rows[:, :-1], pixels.exact))
        return total + jnp.matmul(weight, rows, precision=jax.lax.Precision.HIGHEST)

    total = jnp.zeros((position.shape[0], pixels.rows.shape[1]), position.dtype)
    total = jax.lax.fori_loop(0, -(-pixels.size // chunk), add, total)  # as many chunks as the mask has, not the image
    density = total[:, -1]
    reached = density[:, None] > 0  # a seed with no pixel in reach stays where it is
    return jnp.where(reached, total[:, :-1] / jnp.where(reached, density[:, None], 1), position), density


class Climb(NamedTuple):
    """The state of all lanes and the modes reached so far.

    Attributes:
        position: where the seed of each lane is.
        seed: its number; past the queue in an idle lane.
        steps: how many it has taken.
        waiting: number of the next seed of the queue.
        modes: where each seed came to rest.
        density: the sum of the weights there; zero where the seed has no mode (yet).
        exhausted: whether some seed ran out of steps, or was lost to rounding.
    """

    position: Float[Array, "lane channel"]
    seed: Int[Array, " lane"]
    steps: Int[Array, " lane"]
    waiting: Int[Array, ""]
    modes: Float[Array, "seed channel"]
    density: Float[Array, " seed"]
    exhausted: Bool[Array, ""]


def climb(
    start: Float[Array, "seed channel"],
    total: Int[Array, ""],
    pixels: Pixels,
    kernel: Kernel,
    max_iter: ArrayLike,
    tol: ArrayLike,
    lanes: int,
    chunk: int,
) -> Climb:
    """Moves the first `total` seeds until each rests, meets an earlier mode, or has taken max_iter steps."""

    def unfinished(state: Climb) -> Array:
        return jnp.any(state.seed < total)

    def advance(state: Climb) -> Climb:
        moved, density = step(state.position, pixels, kernel, chunk)
        steps = state.steps + 1
        rests = ~(jnp.sum((moved - state.position) ** 2, axis=1) > jnp.square(tol))  # NaN rests, too: it would not end
        busy = state.seed < total
        done = busy & (rests | (steps >= max_iter))
        # Density grows from step to step. A seed that reached pixels and then reaches none was moved by rounding alone.
        lost = busy & (jnp.isnan(density) | ((density == 0) & (state.steps > 0)))
        arrived = jnp.zeros_like(done)
        if kernel.arrival:
            near = squared_distances(moved, state.modes, pixels.exact) < kernel.arrival**2
            arrived = jnp.any(near & (state.density > 0), axis=1)
        target = jnp.where(done, state.seed, len(start))  # past the end, where `mode="drop"` writes nothing
        free = done | arrived | ~busy
        # The free lanes take the next seeds of the queue in turn: the k-th of them seed `waiting + k - 1`.
        following = state.waiting + jnp.cumsum(free) - 1
        seed = jnp.where(free, jnp.minimum(following, total), state.seed)
        return Climb(
            position=jnp.where(free[:, None], start[jnp.minimum(seed, len(start) - 1)], moved),
            seed=seed,
            steps=jnp.where(free, 0, steps),
            waiting=jnp.minimum(state.waiting + jnp.sum(free), total),
            modes=state.modes.at[target].set(moved, mode="drop"),
            density=state.density.at[target].set(density, mode="drop"),
            exhausted=state.exhausted | jnp.any((done & ~rests) | lost),
        )

    seed = jnp.arange(lanes)
    first = Climb(
        position=start[jnp.minimum(seed, len(start) - 1)],
        seed=jnp.minimum(seed, total),
        steps=jnp.zeros(lanes, int),
        waiting=jnp.minimum(lanes, total),
        modes=jnp.zeros_like(start),
        density=jnp.zeros_like(start[:, 0]),
        exhausted=jnp.asarray(False),
    )
    return jax.lax.while_loop(unfinished, advance, first)


def merge(
    modes: Float[Array, "seed channel"], density: Float[Array, " seed"], most: int
) -> tuple[Float[Array, "centroid channel"], Bool[Array, " centroid"], Bool[Array, ""]]:
    """Keeps the densest mode, drops all within one bandwidth of it, and so on; and whether `most` were too few."""
    order = jnp.lexsort((*-modes.T[::-1], -density))  # equal densities in scikit-learn's order: the larger position
    modes, remaining = modes[order], density[order] > 0

    def keep(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, centroids, remaining = state
        best = jnp.argmax(remaining)
        near = jnp.sum((modes - modes[best]) ** 2, axis=1) <= 1
        # The best one goes in any case: NaN is not near itself, and the loop would not end.
        return count + 1, centroids.at[count].set(modes[best]), remaining & ~near.at[best].set(True)

    count, centroids, remaining = jax.lax.while_loop(
        lambda state: (state[0] < most) & jnp.any(state[2]),
        keep,
        (jnp.asarray(0), jnp.zeros((most, modes.shape[1]), modes.dtype), remaining),
    )
    return centroids, jnp.arange(most) < count, jnp.any(remaining)


def nearest(
    pixels: Float[Array, "pixel channel"],
    centroids: Float[Array, "centroid channel"],
    valid: Bool[Array, " centroid"],
    exact: Bool[Array, ""],
    chunk: int,
) -> Int[Array, " pixel"]:
    """Index of the nearest valid centroid of every pixel; the work grows with the valid ones, which come first."""
    padding = -len(centroids) % BLOCK
    centroids, valid = jnp.pad(centroids, ((0, padding), (0, 0))), jnp.pad(valid, (0, padding))
    index_in_block = jnp.arange(BLOCK)[:, None]

    def label(rows: Array) -> Array:
        def compare(block: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
            others, real = (jax.lax.dynamic_slice_in_dim(a, block * BLOCK, BLOCK) for a in (centroids, valid))
            square = jnp.where(real[:, None], squared_distances(others, rows, exact), jnp.inf)
            closest = jnp.min(square, axis=0)
            # The first of the closest; XLA's argmin is several times slower on a CPU.
            index = block * BLOCK + jnp.min(jnp.where(square == closest, index_in_block, BLOCK), axis=0)
            return jnp.minimum(closest, best[0]), jnp.where(closest < best[0], index, best[1])

        none = jnp.full(len(rows), jnp.inf, rows.dtype), jnp.full(len(rows), -1)
        return jax.lax.fori_loop(0, -(-jnp.sum(valid) // BLOCK), compare, none)[1]

    chunks = jnp.pad(pixels, ((0, -len(pixels) % chunk), (0, 0))).reshape(-1, chunk, pixels.shape[1])
    return jax.lax.map(label, chunks).reshape(-1)[: len(pixels)].astype(jnp.int32)
