"""Small labelled images, and a network that learns them in seconds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import shiftjax as sj
from shiftjax.fitting._data.intensities import Intensities
from shiftjax.fitting._settings import Settings

NET = sj.UNet(4, features=6, factors=(2,), convs=1)
QUICK = {"net": NET, "steps": 60, "window": 24, "rate": 1e-2, "augment": False, "progress": False}


def discs(shape=(64, 96), *, radius=4, pitch=12, seed=0):
    """Bright discs on a noisy ground, each at a random place of its cell, and their labels."""
    rng = np.random.default_rng(seed)
    grid = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for corner in np.ndindex(*(n // pitch for n in shape)):
        middle = (np.array(corner) + 0.5) * pitch + rng.uniform(-1.5, 1.5, len(shape))
        near = sum((axis - at) ** 2 for axis, at in zip(grid, middle, strict=True)) < radius**2
        labels[near] = labels.max() + 1
    image = 20 + 100 * (labels > 0) * rng.uniform(0.7, 1, labels.max() + 1)[labels] + rng.normal(0, 4, shape)
    return image.astype(np.float32), labels


IMAGE, LABELS = discs()


def fit(images=IMAGE, labels=LABELS, **options):
    """A quick run."""
    return sj.fit(images, labels, **{**QUICK, **options})


def untrained(net: Any = NET, window: tuple[int, ...] = (26, 26)) -> sj.Model:
    """A model whose labels mean nothing, made in no time."""
    variables = net.init(jax.random.key(3), jnp.zeros((1, *window, 1)))
    return sj.Model(net, variables, 1, window, Settings(0.5, None, 4), Intensities(1.0, 99.8, (0.1,), (2.0,)))
