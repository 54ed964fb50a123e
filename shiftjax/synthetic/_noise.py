"""Sensor noise."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from shiftjax import _checks
from shiftjax._checks import single_key
from shiftjax._typing import Array, Float, PRNGKeyArray
from shiftjax.synthetic._inputs import picture


def noise(
    key: PRNGKeyArray, image: Float[Array, "batch *space channel"], *, variance: int | float = 0.01
) -> Float[Array, "batch *space channel"]:
    """Adds independent Gaussian noise to every pixel and clips to [0, 1].

    Args:
        key: a random key.
        image: floats `(batch, *space, channel)`.
        variance: of the noise, before clipping, in squared units of the image.

    Returns:
        The noisy image `(batch, *space, channel)`, of the same type.

    Raises:
        ValueError: for an image that is not floating point, or a negative variance.
    """
    single_key(key)
    picture(image)
    deviation = math.sqrt(_checks.number("variance", variance, least=0.0))
    return jnp.clip(image + deviation * jax.random.normal(key, image.shape, image.dtype), 0, 1)
