"""Simulated fluorescence nuclei."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax import _checks
from shiftjax._typing import Array, Float, Int, PRNGKeyArray
from shiftjax.synthetic._inputs import single_key, space

_CLEAR = 2.6  # distance of the centres of nuclei that stand apart, in radii
_APART = 1.3  # distance of the centres of a touching pair, in radii
_DRAWS = 32  # places tried for each nucleus
_STRETCH = 1.35  # longest half axis, in radii
_WAVES, _WAVE = 4, 0.05  # sine waves over the directions that make an outline uneven, and the amplitude of each


class _Nuclei(NamedTuple):
    """One nucleus per entry of the first axis."""

    centre: Array  # (space,) in pixels
    whiten: Array  # (space, space): takes pixels from the centre to a ball of radius 1
    waves: Array  # (wave, space)
    phases: Array  # (wave,)
    brightness: Array


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

    Nuclei are randomly turned ellipses with an uneven outline and unlike brightness, some of them in touching pairs,
    under uneven illumination, blurred by the optics, with Poisson noise of the photons and Gaussian noise of reading.
    Where two meet, each owns the pixels nearer to it in units of its own extent, so every label 1..count is there.

    Args:
        key: a random key; for the Poisson noise JAX wants its default, threefry.
        shape: sizes of the spatial axes in pixels, at least `2.6 * radius`.
        count: number of nuclei, static; by default a third as many as cubes of `2.6 * radius` pixels fill the image.
            At most half as many are accepted.
        radius: mean radius in pixels, at least 2.
        touching: share of the nuclei that touch a partner, in [0, 1].
        blur: standard deviation of the optical blur in pixels; 0 for none.
        photons: at full brightness, per pixel; the fewer, the noisier.
        read_noise: standard deviation, as a share of full brightness.

    Returns:
        The image, about [0, 1] (noise may step out of it), and the labels 1..count.

    Raises:
        ValueError: for an image too small for one nucleus, more nuclei than fit, or options out of range.
    """
    single_key(key)
    shape = space(shape)
    radius = _checks.number("radius", radius, least=2.0)
    if min(shape) < _CLEAR * radius:
        _checks.fail("shape", f"at least {math.ceil(_CLEAR * radius)} pixels per axis at radius {radius}", shape)
    blur, photons = _checks.number("blur", blur, least=0.0), _checks.number("photons", photons, above=0.0)
    read_noise = _checks.number("read_noise", read_noise, least=0.0)
    count, pairs = _numbers(count, math.prod(n / (_CLEAR * radius) for n in shape), touching)
    image, labels = _image(key, shape, count, pairs, radius, blur)
    return image[None, ..., None], labels[None]


def _numbers(count: int | None, room: float, touching: float) -> tuple[int, int]:
    """How many nuclei there are, and how many touching pairs among them."""
    if _checks.number("touching", touching, least=0.0) > 1:
        _checks.fail("touching", "a share in [0, 1]", touching)
    count = _checks.integer("count", max(1, int(room / 3)) if count is None else count, least=1)
    if count > max(1, int(room / 2)):
        mend = "take fewer or smaller nuclei or a larger image"
        _checks.fail("count", f"at most {max(1, int(room / 2))} nuclei in this image", count, mend)
    return count, int(count * touching / 2)


def _centres(key: Array, shape: tuple[int, ...], count: int, pairs: int, radius: float) -> Array:
    """Centres `(count, space)` in pixels, the pairs first; each at the first place drawn that is clear, or the best."""
    high = jnp.asarray(shape, jnp.float32) - 1
    margin = jnp.minimum(radius / 2, high / 2)

    def place(centres: Array, turn: tuple[Array, Array]) -> tuple[Array, None]:
        i, key = turn
        anywhere_key, direction_key = jax.random.split(key)
        anywhere = margin + jax.random.uniform(anywhere_key, (_DRAWS, len(shape))) * (high - 2 * margin)
        direction = jax.random.normal(direction_key, (_DRAWS, len(shape)))
        beside = centres[i - 1] + _APART * radius * direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)
        partner = (i % 2 == 1) & (i < 2 * pairs)
        drawn = jnp.where(partner, jnp.clip(beside, 0, high), anywhere)
        distance = jnp.linalg.norm(drawn[:, None] - centres, axis=-1).min(1)
        clear = radius * jnp.where(partner, 0.99 * _APART, _CLEAR)  # a partner is no farther from its own than _APART
        return centres.at[i].set(drawn[jnp.argmax(jnp.minimum(distance, clear))]), None

    nowhere = jnp.full((count, len(shape)), jnp.inf, jnp.float32)
    return jax.lax.scan(place, nowhere, (jnp.arange(count), jax.random.split(key, count)))[0]


def _nuclei(key: Array, centres: Array, radius: float) -> _Nuclei:
    """Random outlines and brightness."""
    keys = jax.random.split(key, 5)
    count, ndim = centres.shape
    turn = jax.random.orthogonal(keys[0], ndim, (count,), jnp.float32)
    extent = radius * jax.random.uniform(keys[1], (count, ndim, 1), jnp.float32, 1 / _STRETCH, _STRETCH)
    waves = 2 * jax.random.normal(keys[2], (count, _WAVES, ndim), jnp.float32)
    phases = jax.random.uniform(keys[3], (count, _WAVES), jnp.float32, 0, 2 * math.pi)
    return _Nuclei(centres, turn / extent, waves, phases, jax.random.uniform(keys[4], (count,), jnp.float32, 0.5, 1))


def _draw(shape: tuple[int, ...], nuclei: _Nuclei, radius: float) -> tuple[Array, Array]:
    """Labels and brightness. Each nucleus touches only a window around it, so the cost does not grow with the image."""
    half = math.ceil(_STRETCH * (1 + _WAVES * _WAVE) * radius) + 1
    side = tuple(min(n, 2 * half + 1) for n in shape)
    last = jnp.asarray([n - s for n, s in zip(shape, side, strict=True)])

    def add(canvas: Any, numbered: tuple[Array, _Nuclei]) -> tuple[Any, None]:
        number, nucleus = numbered
        start = list(jnp.clip(jnp.round(nucleus.centre).astype(jnp.int32) - half, 0, last))
        labels, nearest, brightness = (jax.lax.dynamic_slice(x, start, side) for x in canvas)
        distance = _distance(nucleus, start, side)
        mine = (distance < 1) & (distance < nearest)
        updated = (
            jnp.where(mine, number, labels),
            jnp.where(mine, distance, nearest),
            jnp.where(mine, nucleus.brightness * (1 - 0.3 * distance**2), brightness),
        )
        return tuple(jax.lax.dynamic_update_slice(x, w, start) for x, w in zip(canvas, updated, strict=True)), None

    blank = (jnp.zeros(shape, jnp.int32), jnp.full(shape, jnp.inf, jnp.float32), jnp.zeros(shape, jnp.float32))
    numbers = 1 + jnp.arange(len(nuclei.centre), dtype=jnp.int32)
    (labels, _, brightness), _ = jax.lax.scan(add, blank, (numbers, nuclei))
    return labels, brightness


def _distance(nucleus: _Nuclei, start: list[Array], side: tuple[int, ...]) -> Array:
    """Distance of each pixel of a window from the centre, in units of the outline in its direction."""
    pixels = [s + jax.lax.broadcasted_iota(jnp.int32, side, k) for k, s in enumerate(start)]
    away = (jnp.stack(pixels, -1) - nucleus.centre) @ nucleus.whiten.T
    length = jnp.linalg.norm(away, axis=-1)
    direction = away / jnp.maximum(length, 1e-6)[..., None]
    outline = 1 + _WAVE * jnp.sin(direction @ nucleus.waves.T + nucleus.phases).sum(-1)
    return length / outline


def _illumination(key: Array, shape: tuple[int, ...]) -> Array:
    """Brightest, 1, at a random place of the middle half, falling off to about a half in the far corner."""
    place = jax.random.uniform(key, (len(shape),), jnp.float32, 0.25, 0.75)
    away = [jax.lax.broadcasted_iota(jnp.float32, shape, k) / n - place[k] for k, n in enumerate(shape)]
    return jnp.exp(-0.6 * sum(a**2 for a in away))


def _blurred(image: Array, deviation: float) -> Array:
    """Gaussian blur, cut at three deviations, borders repeated."""
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
