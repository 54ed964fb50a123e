"""Random variants of training windows, made on the device: every window is seen once as it is drawn here."""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from shiftjax._typing import Array, PRNGKeyArray


class Augmentation(NamedTuple):
    """How far windows are changed; zeros leave them as they are.

    Attributes:
        flips: whether axes are mirrored, and y and x exchanged, so that all right angles occur.
        scale: windows are magnified by up to exp(scale), and reduced by as much.
        elastic: standard deviation of the displacement of control points, as a share of their distance.
        spacing: distance of control points, in pixels per axis: where voxels are longer in z, fewer there.
        gain: intensities are multiplied by up to exp(gain), and divided by as much.
        offset: up to this is added to them, or subtracted; a typical object is 1 brighter than its background.
        noise: largest standard deviation of the noise that is added, likewise.
    """

    flips: bool = True
    scale: float = 0.2
    elastic: float = 0.08
    spacing: tuple[int, ...] = (32, 32)
    gain: float = 0.4
    offset: float = 0.15
    noise: float = 0.15


def augment(key: PRNGKeyArray, images: Array, labels: Array, how: Augmentation) -> tuple[Array, Array]:
    """Changes windows `(batch, *space, channel)`, in units of contrast, and their labels `(batch, *space)`."""

    def one(key: Array, image: Array, label: Array) -> tuple[Array, Array]:
        turn_key, place_key, light_key = jax.random.split(key, 3)
        if how.flips:
            image, label = _turned(turn_key, image, label)
        points = _places(place_key, label.shape, how)
        read = jax.vmap(lambda x: map_coordinates(x, points, order=1, mode="mirror"), in_axes=-1, out_axes=-1)
        nearest = map_coordinates(label, [jnp.round(p) for p in points], order=0, mode="mirror")
        return _lit(light_key, read(image), how), nearest

    return jax.vmap(one)(jax.random.split(key, len(images)), images, labels)


def _turned(key: Array, image: Array, label: Array) -> tuple[Array, Array]:
    """Exchanges axes of one size, of y and x only: z often has pixels of another size."""
    ndim = label.ndim
    fixed = tuple(range(ndim - 2))
    orders = [fixed + order for order in permutations(range(max(0, ndim - 2), ndim))]
    orders = [order for order in orders if tuple(label.shape[k] for k in order) == label.shape]
    chosen = jax.random.randint(key, (), 0, len(orders))
    turned = jax.lax.switch(chosen, [lambda x, o=order: x.transpose((*o, ndim)) for order in orders], image)
    return turned, jax.lax.switch(chosen, [lambda x, o=order: x.transpose(o) for order in orders], label)


def _places(key: Array, space: tuple[int, ...], how: Augmentation) -> list[Array]:
    """Where each pixel is read, one array `(*space)` per axis."""
    flip_key, scale_key, move_key = jax.random.split(key, 3)
    sign = jax.random.rademacher(flip_key, (len(space),), jnp.float32) if how.flips else jnp.ones(len(space))
    size = jnp.exp(jax.random.uniform(scale_key, (), jnp.float32, -how.scale, how.scale))
    controls = tuple(max(2, n // spacing + 2) for n, spacing in zip(space, how.spacing, strict=True))
    moves = jax.random.truncated_normal(move_key, -2.0, 2.0, (len(space), *controls), jnp.float32)
    places = []
    for k, n in enumerate(space):
        offset = jax.lax.broadcasted_iota(jnp.float32, space, k) - (n - 1) / 2
        step = how.elastic * how.spacing[k]
        moved = jax.image.resize(step * moves[k], space, "cubic") if step else 0.0
        places.append((n - 1) / 2 + sign[k] * size * offset + moved)
    return places


def _lit(key: Array, image: Array, how: Augmentation) -> Array:
    """Brighter or darker, with more or less contrast, and noisier."""
    gain_key, offset_key, deviation_key, noise_key = jax.random.split(key, 4)
    gain = jnp.exp(jax.random.uniform(gain_key, (), jnp.float32, -how.gain, how.gain))
    offset = jax.random.uniform(offset_key, (), jnp.float32, -how.offset, how.offset)
    deviation = jax.random.uniform(deviation_key, (), jnp.float32, 0.0, how.noise)
    return gain * image + offset + deviation * jax.random.normal(noise_key, image.shape, image.dtype)
