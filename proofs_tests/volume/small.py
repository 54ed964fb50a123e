"""A small network in whole numbers, its volume, and what it must give, by NumPy alone."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import settings
from jax.tree_util import Partial

import shiftjax as sj

SHAPE = (13, 18, 22)  # no multiple of a tile
TILE = (4, 8, 8)
WEIGHTS = np.random.default_rng(1).integers(-9, 10, (3, 3, 3, 2)).astype(np.int32)  # z, y, x, output channel


def volume(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(np.uint8)


def convolve(weights, image):
    """One valid convolution, (batch, z, y, x, 1) to two channels."""
    sizes = ("NDHWC", "DHWIO", "NDHWC")
    return jax.lax.conv_general_dilated(image, weights[:, :, :, None], (1, 1, 1), "VALID", dimension_numbers=sizes)


def net(weights=WEIGHTS):
    return Partial(convolve, jnp.asarray(weights))


def net_int():
    """For the command line: a function of no arguments that returns one."""
    return net()


def times_three(image):
    return image.astype(jnp.int32) * 3 - 7


def plan(fn=None, shape=SHAPE, tile=TILE, channels=1, **options):
    return sj.plan_tiles(fn or net(), (1, *shape, channels), tile=tile, dtype=jnp.int32, **options)


def expected(image, weights=WEIGHTS, pad="reflect"):
    """What `net` gives on a whole padded volume (z, y, x): (channel, z, y, x)."""
    padded = np.pad(image.astype(np.int32), 1, mode=pad)
    found = np.zeros((weights.shape[-1], *image.shape), np.int32)
    for z, y, x in product(range(3), repeat=3):
        window = padded[z : z + image.shape[0], y : y + image.shape[1], x : x + image.shape[2]]
        found += weights[z, y, x][:, None, None, None] * window
    return found


def is_deep():
    """Whether the longer profile runs."""
    return settings.get_current_profile_name() == "deep"
