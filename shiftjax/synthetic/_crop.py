"""Random windows of an image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp

from shiftjax import _checks
from shiftjax._checks import single_key
from shiftjax._typing import Array, Float, Int, PRNGKeyArray
from shiftjax.synthetic._inputs import pictures


def random_crop(
    key: PRNGKeyArray,
    image: Float[Array, "batch *space channel"],
    labels: Int[Array, "batch *space"],
    *,
    size: int | Sequence[int],
) -> tuple[Float[Array, "batch *crop channel"], Int[Array, "batch *crop"]]:
    """Cuts a window at a random position out of each image, and the same one out of its labels.

    Args:
        key: a random key.
        image: floats `(batch, *space, channel)`.
        labels: integers `(batch, *space)`.
        size: of the window in pixels, one for all axes or one per axis.

    Returns:
        The windows `(batch, *size, channel)` and their labels `(batch, *size)`; instances keep their label.

    Raises:
        ValueError: for shapes that do not agree, or a window larger than the image.
    """
    single_key(key)
    pictures(image, labels)
    sizes = _checks.per_axis("size", size, labels.ndim - 1)
    if any(s > n for s, n in zip(sizes, labels.shape[1:], strict=True)):
        _checks.fail("size", f"at most the image's {labels.shape[1:]}", sizes)
    return _cropped(key, image, labels, sizes)


@partial(jax.jit, static_argnums=3)
def _cropped(key: Array, image: Array, labels: Array, sizes: tuple[int, ...]) -> tuple[Array, Array]:
    starts = jnp.asarray([n - s + 1 for s, n in zip(sizes, labels.shape[1:], strict=True)])  # how many, per axis

    def cut(key: Array, image: Array, labels: Array) -> tuple[Array, Array]:
        start = list(jax.random.randint(key, (len(sizes),), 0, starts))
        window = jax.lax.dynamic_slice(image, [*start, 0], (*sizes, image.shape[-1]))
        return window, jax.lax.dynamic_slice(labels, start, sizes)

    return jax.vmap(cut)(jax.random.split(key, image.shape[0]), image, labels)
