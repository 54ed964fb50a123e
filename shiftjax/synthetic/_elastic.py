"""Smooth random deformation."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from shiftjax import _checks
from shiftjax._checks import single_key
from shiftjax._typing import Array, Float, Int, PRNGKeyArray
from shiftjax.synthetic._inputs import pictures


def elastic(
    key: PRNGKeyArray,
    image: Float[Array, "batch *space channel"],
    labels: Int[Array, "batch *space"],
    *,
    spacing: int = 20,
    jitter: int | float = 0.2,
) -> tuple[Float[Array, "batch *space channel"], Int[Array, "batch *space"]]:
    """Warps images and labels together by a random smooth displacement, a different one for each image.

    Control points every `spacing` pixels are displaced by normal steps of standard deviation `jitter * spacing`,
    truncated at two deviations, and a cubic B-spline interpolates between them. A spline is no steeper than its control
    points, so along each axis the displacement changes by less than `4 * jitter` per pixel: below a jitter of 1/4
    nothing folds along an axis, and objects with a gap stay apart.

    The image is read by linear interpolation, the labels at the nearest pixel, and both are mirrored at the border.
    Instances keep their label; one that the border mirrors may appear twice, and `connected_components` tells the
    copies apart.

    Args:
        key: a random key.
        image: floats `(batch, *space, channel)`.
        labels: integers `(batch, *space)`.
        spacing: distance of the control points, in pixels.
        jitter: standard deviation of their displacement, as a share of `spacing`; 0 leaves everything in place.

    Returns:
        The warped image `(batch, *space, channel)` and labels `(batch, *space)`, of the same types.

    Raises:
        ValueError: for shapes that do not agree, a spacing below 1, or a negative jitter.
    """
    single_key(key)
    pictures(image, labels)
    spacing = _checks.integer("spacing", spacing, least=1)
    step = _checks.number("jitter", jitter, least=0.0) * spacing
    return _warped(key, image, labels, spacing, step)


@partial(jax.jit, static_argnames=("spacing", "step"))
def _warped(key: Array, image: Array, labels: Array, spacing: int, step: float) -> tuple[Array, Array]:
    splines = [_spline(n, spacing) for n in labels.shape[1:]]

    def warp(key: Array, image: Array, labels: Array) -> tuple[Array, Array]:
        points = _coordinates(key, splines, step)
        read = jax.vmap(lambda x: map_coordinates(x, points, order=1, mode="nearest"), in_axes=-1, out_axes=-1)
        nearest = tuple(jnp.round(p).astype(jnp.int32) for p in points)
        return read(image).astype(image.dtype), labels[nearest]

    return jax.vmap(warp)(jax.random.split(key, image.shape[0]), image, labels)


def _coordinates(key: Array, splines: list[np.ndarray], step: float) -> list[Array]:
    """The position that each pixel reads, one array `(*space)` per axis."""
    controls = tuple(s.shape[1] for s in splines)
    shape = tuple(len(s) for s in splines)
    moves = step * jax.random.truncated_normal(key, -2.0, 2.0, (len(shape), *controls), jnp.float32)
    for spline in splines:  # interpolates along the first axis of control points, which becomes the last axis of pixels
        moves = jnp.tensordot(moves, jnp.asarray(spline), axes=((1,), (1,)), precision=jax.lax.Precision.HIGHEST)
    return [_mirror(jax.lax.broadcasted_iota(jnp.float32, shape, k) + moves[k], n) for k, n in enumerate(shape)]


def _mirror(x: Array, n: int) -> Array:
    """Reflects coordinates at 0 and n - 1."""
    return jnp.clip(n - 1 - jnp.abs(n - 1 - jnp.abs(x)), 0, n - 1)


def _spline(n: int, spacing: int) -> np.ndarray:
    """Weights `(n, controls)` of the uniform cubic B-spline with a knot every `spacing` of `n` pixels."""
    controls = math.ceil(n / spacing) + 3
    r = np.abs(np.arange(n)[:, None] / spacing - (np.arange(controls) - 1))
    near, far = 2 / 3 - r**2 + r**3 / 2, (2 - r) ** 3 / 6
    return np.where(r < 1, near, np.where(r < 2, far, 0)).astype(np.float32)
