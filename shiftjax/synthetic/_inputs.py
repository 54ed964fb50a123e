"""Checks of the arguments of all generators: of shapes and types only, so that they hold under jit, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from shiftjax import _checks


def space(shape: Any) -> tuple[int, ...]:
    """`shape` as the sizes of one or more spatial axes."""
    if not isinstance(shape, Sequence) or len(shape) == 0:
        _checks.fail("shape", "the sizes of the spatial axes, say (64, 64)", repr(shape))
    return _checks.per_axis("shape", shape, len(shape))


def pictures(image: Any, labels: Any = None) -> None:
    """Refuses images that are not floats `(batch, *space, channel)` and labels of another shape."""
    if not hasattr(image, "dtype") or not jnp.issubdtype(image.dtype, jnp.floating) or image.ndim < 3:
        found = f"{image.dtype} of shape {image.shape}" if hasattr(image, "dtype") else type(image).__name__
        _checks.fail("image", "floats (batch, *space, channel)", found)
    if labels is None:
        return
    if not hasattr(labels, "dtype") or not jnp.issubdtype(labels.dtype, jnp.integer):
        _checks.fail("labels", "integers (batch, *space)", getattr(labels, "dtype", type(labels).__name__))
    if labels.shape != image.shape[:-1]:
        _checks.fail("labels", f"shape {image.shape[:-1]}, the pixels of `image`", labels.shape)
