"""Simulated fluorescence nuclei."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax import _checks
from shiftjax._checks import single_key
from shiftjax._typing import Array, Float, Int, PRNGKeyArray
from shiftjax.synthetic._inputs import space
from shiftjax.synthetic._outlines import CLEAR, centres, draw, outlines


def nuclei(
    key: PRNGKeyArray,
    shape: Sequence[int],
    *,
    count: int | None = None,
    radius: int | float = 10,
    touching: int | float = 0.3,
    blur: int | float = 1.0,
    photons: int | float = 60,
    read_noise: int | float = 0.02,
) -> tuple[Float[Array, "1 *space 1"], Int[Array, "1 *space"]]:
    """Simulates a fluorescence image of nuclei, in any dimension.

    Nuclei are randomly turned ellipses with an uneven outline and different brightness, some of them in touching pairs,
    under uneven illumination, blurred by the optics, with Poisson noise of the photons and Gaussian read noise. Where
    two meet, each owns the pixels nearer to it in units of its own extent, so every label 1..count appears.

    Args:
        key: a random key, of JAX's default kind (threefry), which its Poisson noise requires.
        shape: sizes of the spatial axes in pixels, at least `2.6 * radius`.
        count: number of nuclei, static. With n the number of cubes of side `2.6 * radius` that fill the image, the
            default is n / 3, and at most n / 2 are accepted.
        radius: mean radius in pixels, at least 2.
        touching: share of the nuclei that touch another one, in [0, 1].
        blur: standard deviation of the optical blur in pixels; 0 for none.
        photons: per pixel at full brightness; the fewer, the noisier.
        read_noise: its standard deviation, as a share of full brightness.

    Returns:
        The image `(1, *space, 1)`, in about [0, 1] (noise may exceed it), and the labels 1..count, `(1, *space)`.

    Raises:
        ValueError: for an image too small for one nucleus, more nuclei than fit, or options out of range.
    """
    single_key(key)
    shape = space(shape)
    radius = _checks.number("radius", radius, least=2.0)
    if min(shape) < CLEAR * radius:
        _checks.fail("shape", f"at least {math.ceil(CLEAR * radius)} pixels per axis at radius {radius}", shape)
    blur = _checks.number("blur", blur, least=0.0, most=max(shape))
    photons = _checks.number("photons", photons, above=0.0)
    read_noise = _checks.number("read_noise", read_noise, least=0.0)
    touching = _checks.number("touching", touching, least=0.0, most=1.0)
    count, pairs = _numbers(count, math.prod(n / (CLEAR * radius) for n in shape), touching)
    image, labels = _photograph(key, pairs, photons, read_noise, shape=shape, count=count, radius=radius, blur=blur)
    return image[None, ..., None], labels[None]


def _numbers(count: int | None, cubes: float, touching: float) -> tuple[int, int]:
    """The number of nuclei, and of touching pairs among them, in an image that so many cubes fill."""
    most = max(1, int(cubes / 2))
    count = _checks.integer("count", max(1, int(cubes / 3)) if count is None else count, least=1)
    if count > most:
        mend = "take fewer or smaller nuclei or a larger image"
        _checks.fail("count", f"at most {most} nuclei in this image", count, mend)
    return count, int(count * touching / 2)


@partial(jax.jit, static_argnames=("shape", "count", "radius", "blur"))
def _photograph(
    key: Array,
    pairs: int | Array,
    photons: float | Array,
    read_noise: float | Array,
    *,
    shape: tuple[int, ...],
    count: int,
    radius: float,
    blur: float,
) -> tuple[Array, Array]:
    """Image and labels, both `(*space)`."""
    keys = jax.random.split(key, 5)
    labels, brightness = draw(shape, outlines(keys[1], centres(keys[0], shape, count, pairs, radius), radius), radius)
    light = _illumination(keys[2], shape) * (0.06 + 0.8 * _blurred(brightness, blur))
    shot = jax.random.poisson(keys[3], photons * light, dtype=jnp.int32) / photons
    return (shot + read_noise * jax.random.normal(keys[4], shape)).astype(jnp.float32), labels


def _illumination(key: Array, shape: tuple[int, ...]) -> Array:
    """Brightest, 1, at a random position in the middle half, falling off to about a half in the far corner."""
    brightest = jax.random.uniform(key, (len(shape),), jnp.float32, 0.25, 0.75)
    offset = [jax.lax.broadcasted_iota(jnp.float32, shape, k) / n - brightest[k] for k, n in enumerate(shape)]
    return jnp.exp(-0.6 * sum(x**2 for x in offset))


def _blurred(image: Array, deviation: float) -> Array:
    """Gaussian blur, truncated at three deviations, border pixels repeated."""
    if deviation == 0:
        return image
    reach = math.ceil(3 * deviation)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    for axis, n in enumerate(image.shape):
        padded = jnp.pad(image, [(reach, reach) if k == axis else (0, 0) for k in range(image.ndim)], mode="edge")
        image = jnp.zeros_like(image)
        for i, weight in enumerate(weights / weights.sum()):
            image += float(weight) * jax.lax.slice_in_dim(padded, i, i + n, axis=axis)
    return image
