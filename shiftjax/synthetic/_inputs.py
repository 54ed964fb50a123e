"""Checks of the arguments of all generators: of shapes and types only, so that they hold under jit, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax import _checks


def space(shape: Any) -> tuple[int, ...]:
    """`shape` as the sizes of one or more spatial axes."""
    if not isinstance(shape, Sequence) or isinstance(shape, str | bytes) or len(shape) == 0:
        _checks.fail("shape", "the sizes of the spatial axes, say (64, 64)", _checks.shown(shape))
    sizes = _checks.per_axis("shape", shape, len(shape))
    _checks.room("shape", sizes, itemsize=4, copies=8)  # image, labels, and what they are made of
    if math.prod(sizes) >= 2**31:
        _checks.fail("shape", "fewer than 2^31 pixels, which int32 can count", sizes)
    return sizes


def picture(image: Any) -> None:
    """Refuses images that are not floats `(batch, *space, channel)`."""
    expected = "floats (batch, *space, channel)"
    if not isinstance(image, jax.Array | np.ndarray) or not hasattr(image, "dtype"):
        _checks.fail("image", expected, _checks.shown(image))
    _checks.images("image", image)
    if not jnp.issubdtype(image.dtype, jnp.floating):
        _checks.fail("image", expected, _checks.shown(image))


def pictures(image: Any, labels: Any) -> None:
    """Refuses images that are not floats `(batch, *space, channel)` and labels of another shape."""
    picture(image)
    if not isinstance(labels, jax.Array | np.ndarray) or isinstance(labels, np.ma.MaskedArray):
        _checks.fail("labels", "integers (batch, *space)", _checks.shown(labels))
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        _checks.fail("labels", "integers (batch, *space)", _checks.shown(labels))
    if isinstance(labels, np.ndarray) and labels.size:
        # Of 64 bits JAX would keep 32, and run objects together whose labels are 2^32 apart.
        kept = jnp.asarray(labels.reshape(-1)[:1]).dtype
        if labels.min() < jnp.iinfo(kept).min or labels.max() > jnp.iinfo(kept).max:
            found = f"labels from {labels.min()} to {labels.max()}"
            _checks.fail("labels", f"integers that {kept} holds", found, "make them consecutive: `shiftjax.relabel`")
    if labels.shape != image.shape[:-1]:
        _checks.fail("labels", f"shape {image.shape[:-1]}, the pixels of `image`", labels.shape)
