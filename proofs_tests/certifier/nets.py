"""Small hand-written networks, with their parameters as shapes only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial

NHWC = ("NHWC", "HWIO", "NHWC")


def conv(x: Any, kernel: Any, padding: Any = "VALID") -> Any:
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=NHWC)


def pool(x: Any, factor: int = 2) -> Any:
    window = (1, factor, factor, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def up(x: Any, kernel: Any, factor: int = 2) -> Any:
    return lax.conv_transpose(x, kernel, (factor, factor), "VALID", dimension_numbers=NHWC)


def shapes(*sizes: tuple[int, ...]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(size, jnp.float32) for size in sizes]


def level(p: Sequence[Any], x: Any, activation: Callable[[Any], Any] = jax.nn.relu, crop: int = 3) -> Any:
    """A U-Net with one level; the right crop of its skip is 3."""
    skip = activation(conv(x, p[0]))
    y = up(activation(conv(pool(skip), p[1])), p[2])
    skip = skip[:, crop - 1 : crop - 1 + y.shape[1], crop - 1 : crop - 1 + y.shape[2]]
    return conv(jnp.concatenate([skip, y], -1), p[3])


LEVEL = shapes((3, 3, 1, 4), (3, 3, 4, 4), (2, 2, 4, 4), (1, 1, 8, 2))
IMAGE = jax.ShapeDtypeStruct((1, 20, 20, 1), jnp.float32)


def small_unet(**options: Any) -> Partial:
    return Partial(Partial(level, **options), LEVEL)
