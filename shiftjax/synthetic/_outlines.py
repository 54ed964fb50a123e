"""Centres and outlines of simulated nuclei."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from shiftjax._typing import Array

CLEAR = 2.6  # distance of the centres of nuclei that stand apart, in radii
_APART = 1.3  # distance of the centres of a touching pair, in radii
_DRAWS = 32  # centres tried for each nucleus
_STRETCH = 1.35  # longest half axis, in radii
_WAVES, _WAVE = 4, 0.05  # sine waves over the directions that make an outline uneven, and the amplitude of each


class Nuclei(NamedTuple):
    """One nucleus per entry of the first axis."""

    centre: Array  # (nucleus, space) in pixels
    whiten: Array  # (nucleus, space, space): maps the ellipse around the centre to a ball of radius 1
    waves: Array  # (nucleus, wave, space)
    phases: Array  # (nucleus, wave)
    brightness: Array  # (nucleus,)


def centres(key: Array, shape: tuple[int, ...], count: int, pairs: int | Array, radius: float) -> Array:
    """Centres `(count, space)` in pixels, the touching pairs first.

    Each nucleus takes the first of its random positions that is clear of those before it, or else the clearest.
    """
    high = jnp.asarray(shape, jnp.float32) - 1
    margin = jnp.minimum(radius / 2, high / 2)
    anywhere_key, direction_key = jax.random.split(key)
    draws = (count, _DRAWS, len(shape))
    anywhere = margin + jax.random.uniform(anywhere_key, draws, jnp.float32) * (high - 2 * margin)
    direction = jax.random.normal(direction_key, draws, jnp.float32)
    beside = _APART * radius * direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)

    def add(centres: Array, candidate: tuple[Array, Array, Array]) -> tuple[Array, None]:
        i, anywhere, beside = candidate
        is_partner = (i % 2 == 1) & (i < 2 * pairs)
        drawn = jnp.where(is_partner, jnp.clip(centres[i - 1] + beside, 0, high), anywhere)
        distance = jnp.linalg.norm(drawn[:, None] - centres, axis=-1).min(1)
        # A partner is at _APART from its own; rounding must not make it count as too near.
        clear = radius * jnp.where(is_partner, 0.99 * _APART, CLEAR)
        return centres.at[i].set(drawn[jnp.argmax(jnp.minimum(distance, clear))]), None

    infinitely_far = jnp.full((count, len(shape)), jnp.inf, jnp.float32)
    return jax.lax.scan(add, infinitely_far, (jnp.arange(count), anywhere, beside))[0]


def outlines(key: Array, centres: Array, radius: float) -> Nuclei:
    """Random outlines and brightness."""
    count, ndim = centres.shape
    normal_key, uniform_key = jax.random.split(key)
    normal = jax.random.normal(normal_key, (count, 1 + _WAVES, ndim), jnp.float32)
    uniform = jax.random.uniform(uniform_key, (count, ndim + _WAVES + 1), jnp.float32)
    mirror = normal[:, :1] / jnp.linalg.norm(normal[:, :1], axis=-1, keepdims=True)
    # A reflection at a random plane turns the axes of an ellipse as well as a rotation does, and is cheaper to draw.
    turn = jnp.eye(ndim, dtype=jnp.float32) - 2 * mirror.mT * mirror
    extent = radius * (1 / _STRETCH + (_STRETCH - 1 / _STRETCH) * uniform[:, :ndim, None])
    phases = 2 * math.pi * uniform[:, ndim:-1]
    return Nuclei(centres, turn / extent, 2 * normal[:, 1:], phases, 0.5 + 0.5 * uniform[:, -1])


def draw(shape: tuple[int, ...], nuclei: Nuclei, radius: float) -> tuple[Array, Array]:
    """Labels and brightness `(*space)`, a window per nucleus, so that the cost does not grow with the image."""
    half = math.ceil(_STRETCH * (1 + _WAVES * _WAVE) * radius) + 1
    side = tuple(min(n, 2 * half + 1) for n in shape)
    last = jnp.asarray([n - s for n, s in zip(shape, side, strict=True)])

    def add(canvas: Any, numbered: tuple[Array, Nuclei]) -> tuple[Any, None]:
        number, nucleus = numbered
        start = list(jnp.clip(jnp.round(nucleus.centre).astype(jnp.int32) - half, 0, last))
        labels, nearest, brightness = (jax.lax.dynamic_slice(x, start, side) for x in canvas)
        distance = _distance(nucleus, start, side)
        owned = (distance < 1) & (distance < nearest)
        updated = (
            jnp.where(owned, number, labels),
            jnp.where(owned, distance, nearest),
            jnp.where(owned, nucleus.brightness * (1 - 0.3 * distance**2), brightness),
        )
        return tuple(jax.lax.dynamic_update_slice(x, new, start) for x, new in zip(canvas, updated, strict=True)), None

    blank = (jnp.zeros(shape, jnp.int32), jnp.full(shape, jnp.inf, jnp.float32), jnp.zeros(shape, jnp.float32))
    numbers = 1 + jnp.arange(len(nuclei.centre), dtype=jnp.int32)
    (labels, _, brightness), _ = jax.lax.scan(add, blank, (numbers, nuclei))
    return labels, brightness


def _distance(nucleus: Nuclei, start: list[Array], side: tuple[int, ...]) -> Array:
    """Distance of each pixel of a window from the centre, in units of the outline in its direction."""
    pixels = [s + jax.lax.broadcasted_iota(jnp.int32, side, k) for k, s in enumerate(start)]
    offset = (jnp.stack(pixels, -1) - nucleus.centre) @ nucleus.whiten.T
    length = jnp.linalg.norm(offset, axis=-1)
    direction = offset / jnp.maximum(length, 1e-6)[..., None]  # at the centre itself there is none
    outline = 1 + _WAVE * jnp.sin(direction @ nucleus.waves.T + nucleus.phases).sum(-1)
    return length / outline
