"""The pieces of mean shift, on pixels and positions in units of the bandwidth.

A few seeds climb at a time, each in its lane; whoever has arrived leaves the lane to the next seed of the queue, so
that slow seeds hold up nobody. Pixels are visited in chunks, so that no array of all pixels times all seeds exists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from shiftjax._typing import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

BLOCK = 64  # centroids compared at a time
GOLDEN = 0.6180339887498949


class Kernel(NamedTuple):
    """How a pixel at a squared distance counts.

    Attributes:
        weight: squared distance to weight.
        arrival: distance from an earlier centroid within which a seed need not go on: centroids closer than 1 are
            merged in the end. With the flat kernel all go to the end, to agree with scikit-learn.
        rounding: largest rounding error of a squared distance that does no harm.
    """

    weight: Callable[[Array], Array]
    arrival: float
    rounding: float


KERNELS = {
    "gaussian": Kernel(lambda square: jnp.exp(-square / 2), arrival=0.1, rounding=1e-2),
    "flat": Kernel(lambda square: (square <= 1).astype(square.dtype), arrival=0.0, rounding=1e-4),
}


def sizes() -> tuple[int, int]:
    """Lanes and pixels of a chunk: a product that fits the cache of a CPU, or one that fills an accelerator."""
    return (32, 1024) if jax.default_backend() == "cpu" else (256, 1 << 17)


class Pixels(NamedTuple):
    """The pixels to cluster.

    Attributes:
        rows: positions and a last column of ones, the pixels of the mask first, then zeros up to a full chunk.
        size: number of pixels in the mask.
        exact: whether distances must be computed from differences; products are faster, but their rounding error grows
            with the square of the distance from the origin.
    """

    rows: Float[Array, "row channel+1"]
    size: Int[Array, ""]
    exact: Bool[Array, ""]


def gather(pixels: Float[Array, "pixel channel"], inside: Bool[Array, " pixel"], chunk: int, rounding: float) -> Pixels:
    """Moves the pixels of the mask to the front and fills the last chunk."""
    size = jnp.sum(inside)
    rows = jnp.concatenate([pixels, jnp.ones_like(pixels[:, :1])], axis=1)
    rows = rows[jnp.flatnonzero(inside, size=len(pixels), fill_value=0)]
    rows = jnp.where(jnp.arange(len(pixels))[:, None] < size, rows, 0)
    reach = jnp.max(jnp.sum(rows[:, :-1] ** 2, axis=1))
    rows = jnp.pad(rows, ((0, -len(rows) % chunk), (0, 0)))
    return Pixels(rows, size, 4 * jnp.finfo(rows.dtype).eps * reach > rounding)


def spread(pixels: Pixels, key: PRNGKeyArray | None, seeds: int) -> tuple[Float[Array, "seed channel"], Int[Array, ""]]:
    """One pixel from each of as many equal stretches of the image, and how many of them there are.

    Without a key golden-ratio offsets keep the seeds from lining up in columns of the image.
    """
    total = jnp.minimum(pixels.size, seeds)
    length, longer = jnp.divmod(pixels.size, jnp.maximum(total, 1))
    edges = jnp.arange(seeds + 1) * length + jnp.minimum(jnp.arange(seeds + 1), longer)
    offset = (jnp.arange(seeds) * GOLDEN) % 1 if key is None else jax.random.uniform(key, (seeds,))
    rank = edges[:-1] + (offset * jnp.diff(edges)).astype(edges.dtype)
    return pixels.rows[jnp.minimum(rank, edges[1:] - 1), :-1], total


def squares(a: Float[Array, "a channel"], b: Float[Array, "b channel"], exact: Bool[Array, ""]) -> Float[Array, "a b"]:
    """Squared distances, from a matrix product where its rounding allows."""

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
        weight = kernel.weight(squares(position, rows[:, :-1], pixels.exact))
        return total + jnp.matmul(weight, rows, precision=jax.lax.Precision.HIGHEST)

    total = jnp.zeros((position.shape[0], pixels.rows.shape[1]), position.dtype)
    total = jax.lax.fori_loop(0, -(-pixels.size // chunk), add, total)
    density = total[:, -1]
    some = density[:, None] > 0
    return jnp.where(some, total[:, :-1] / jnp.where(some, density[:, None], 1), position), density


class Climb(NamedTuple):
    """Where the climb stands: `seed` is past the queue in an idle lane, `density` zero where nothing was found."""

    position: Float[Array, "lane channel"]
    seed: Int[Array, " lane"]
    steps: Int[Array, " lane"]
    waiting: Int[Array, ""]
    found: Float[Array, "seed channel"]
    density: Float[Array, " seed"]
    late: Bool[Array, ""]


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
    """Moves the first `total` seeds until each rests, meets an earlier centroid, or has taken max_iter steps."""

    def go_on(at: Climb) -> Array:
        return jnp.any(at.seed < total)

    def advance(at: Climb) -> Climb:
        moved, density = step(at.position, pixels, kernel, chunk)
        steps = at.steps + 1
        rests = ~(jnp.sum((moved - at.position) ** 2, axis=1) > jnp.square(tol))  # NaN does not go on either
        busy = at.seed < total
        done = busy & (rests | (steps >= max_iter))
        arrived = jnp.zeros_like(done)
        if kernel.arrival:
            near = squares(moved, at.found, pixels.exact) < kernel.arrival**2
            arrived = jnp.any(near & (at.density > 0), axis=1)
        target = jnp.where(done, at.seed, len(start))
        free = done | arrived | ~busy
        following = at.waiting + jnp.cumsum(free) - 1
        seed = jnp.where(free, jnp.minimum(following, total), at.seed)
        return Climb(
            position=jnp.where(free[:, None], start[jnp.minimum(seed, len(start) - 1)], moved),
            seed=seed,
            steps=jnp.where(free, 0, steps),
            waiting=jnp.minimum(at.waiting + jnp.sum(free), total),
            found=at.found.at[target].set(moved, mode="drop"),
            density=at.density.at[target].set(density, mode="drop"),
            late=at.late | jnp.any(done & ~rests),
        )

    seed = jnp.arange(lanes)
    first = Climb(
        position=start[jnp.minimum(seed, len(start) - 1)],
        seed=jnp.minimum(seed, total),
        steps=jnp.zeros(lanes, int),
        waiting=jnp.minimum(lanes, total),
        found=jnp.zeros_like(start),
        density=jnp.zeros_like(start[:, 0]),
        late=jnp.asarray(False),
    )
    return jax.lax.while_loop(go_on, advance, first)


def merge(
    found: Float[Array, "seed channel"], density: Float[Array, " seed"], most: int
) -> tuple[Float[Array, "centroid channel"], Bool[Array, " centroid"], Bool[Array, ""]]:
    """Keeps the densest, drops all within one bandwidth of it, and so on; whether some found no room."""
    order = jnp.lexsort((*-found.T[::-1], -density))  # equal densities in scikit-learn's order: the larger position
    found, left = found[order], density[order] > 0

    def keep(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, centroids, left = state
        best = jnp.argmax(left)
        near = jnp.sum((found - found[best]) ** 2, axis=1) <= 1
        return count + 1, centroids.at[count].set(found[best]), left & ~near.at[best].set(True)

    count, centroids, left = jax.lax.while_loop(
        lambda state: (state[0] < most) & jnp.any(state[2]),
        keep,
        (jnp.asarray(0), jnp.zeros((most, found.shape[1]), found.dtype), left),
    )
    return centroids, jnp.arange(most) < count, jnp.any(left)


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

    places = jnp.arange(BLOCK)[:, None]

    def label(some: Array) -> Array:
        def compare(block: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
            others, real = (jax.lax.dynamic_slice_in_dim(a, block * BLOCK, BLOCK) for a in (centroids, valid))
            square = jnp.where(real[:, None], squares(others, some, exact), jnp.inf)
            closest = jnp.min(square, axis=0)
            # The first of the closest; XLA's argmin is several times slower on a CPU.
            index = block * BLOCK + jnp.min(jnp.where(square == closest, places, BLOCK), axis=0)
            return jnp.minimum(closest, best[0]), jnp.where(closest < best[0], index, best[1])

        none = jnp.full(len(some), jnp.inf, some.dtype), jnp.full(len(some), -1)
        return jax.lax.fori_loop(0, -(-jnp.sum(valid) // BLOCK), compare, none)[1]

    chunks = jnp.pad(pixels, ((0, -len(pixels) % chunk), (0, 0))).reshape(-1, chunk, pixels.shape[1])
    return jax.lax.map(label, chunks).reshape(-1)[: len(pixels)].astype(jnp.int32)
