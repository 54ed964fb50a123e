"""Objects that look the same: the constant image and discs on a lattice, drawn in exact integer arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax import _checks
from shiftjax._typing import Array, Float, Int
from shiftjax.synthetic._inputs import space


class _Lattice(NamedTuple):
    """A lattice of discs and the image that shows it, in pixels; hashable, so that `jit` takes it as static."""

    shape: tuple[int, ...]
    pitch: tuple[int, ...]
    first: tuple[int, ...]  # a centre, per axis in [-pitch, 0): no disc before it touches the image
    limit: int  # largest squared distance inside a disc


def constant(shape: Sequence[int]) -> tuple[Float[Array, "1 *space 1"], Int[Array, "1 *space"]]:
    """The image of ones, every pixel an instance of its own: objects that only their position tells apart.

    Args:
        shape: sizes of the spatial axes in pixels.

    Returns:
        The image `(1, *space, 1)` and the labels 1, 2, 3... `(1, *space)` in raster order.

    Raises:
        ValueError: for sizes that are not integers >= 1.
    """
    shape = space(shape)
    labels = 1 + jnp.arange(math.prod(shape), dtype=jnp.int32).reshape(1, *shape)
    return jnp.ones((1, *shape, 1), jnp.float32), labels


def disc_lattice(
    shape: Sequence[int],
    *,
    pitch: int | Sequence[int],
    radius: int | float,
    origin: int | Sequence[int] | None = None,
) -> tuple[Float[Array, "1 *space 1"], Int[Array, "1 *space"]]:
    """Equal discs on a lattice (balls in 3-D, intervals in 1-D), 1 on a background of 0.

    A pixel belongs to the disc around a lattice point when its squared distance is below `radius ** 2`; radius 5 gives
    the 69 pixels of x^2 + y^2 < 25. The image is periodic up to its border: discs that the border cuts are drawn, too.

    Args:
        shape: sizes of the spatial axes in pixels.
        pitch: distance of neighbouring centres in pixels, one for all axes or one per axis.
        radius: in pixels.
        origin: pixel at the centre of one disc, by default `pitch // 2`, which shows the first disc whole.

    Returns:
        The image `(1, *space, 1)` and the labels 1, 2, 3... `(1, *space)` in row-major order of the centres.

    Raises:
        ValueError: for sizes that are not integers >= 1, a radius that is not positive, or discs that would overlap.

    Example:
        >>> image, labels = disc_lattice((13, 26), pitch=13, radius=5)
        >>> int(image.sum()), int(labels.max())
        (138, 2)
    """
    return _draw(_lattice(shape, pitch, radius, origin))


def disc_count(
    shape: Sequence[int],
    *,
    pitch: int | Sequence[int],
    radius: int | float,
    origin: int | Sequence[int] | None = None,
) -> int:
    """Number of discs that `disc_lattice` draws for the same arguments: a static bound for `max_instances`.

    Args:
        shape: sizes of the spatial axes in pixels.
        pitch: in pixels, as in `disc_lattice`.
        radius: in pixels, as in `disc_lattice`.
        origin: a pixel, as in `disc_lattice`.

    Returns:
        The number of discs with a pixel in the image.

    Raises:
        ValueError: as `disc_lattice`.
    """
    return int(_visible(_lattice(shape, pitch, radius, origin)).sum())


def _lattice(
    shape: Sequence[int],
    pitch: int | Sequence[int],
    radius: int | float,
    origin: int | Sequence[int] | None,
) -> _Lattice:
    """The arguments of `disc_lattice`, checked."""
    shape = space(shape)
    pitch = _checks.per_axis("pitch", pitch, len(shape))
    # Squared distances are integers; rounding turns sqrt(5) ** 2, which is 5.000000000000001, into 5.
    limit = max(math.ceil(round(_checks.number("radius", radius, above=0.0, most=2**31) ** 2, 9)) - 1, 0)
    reach = math.isqrt(limit)
    if min(pitch) < 2 * reach + 1:
        mend = f"take a pitch of at least {2 * reach + 1} or a smaller radius"
        _checks.fail("radius", f"discs that do not overlap at pitch {pitch}", radius, mend)
    centre = tuple(p // 2 for p in pitch) if origin is None else origin
    centre = _checks.per_axis("origin", centre, len(shape), least=-(2**31))
    first = tuple(c % p - p for c, p in zip(centre, pitch, strict=True))
    return _Lattice(shape, pitch, first, limit)


@partial(jax.jit, static_argnums=0)
def _draw(lattice: _Lattice) -> tuple[Array, Array]:
    """The image and the labels: per pixel, its distance from the nearest lattice point."""
    squared, nearest, outside = jnp.zeros(lattice.shape, jnp.int32), [], math.isqrt(lattice.limit) + 1
    for axis, (pitch, first) in enumerate(zip(lattice.pitch, lattice.first, strict=True)):
        x = jax.lax.broadcasted_iota(jnp.int32, lattice.shape, axis) - first
        nearest.append((x + pitch // 2) // pitch)
        # Bounded by the first distance outside a disc, so that squares do not overflow int32.
        squared += jnp.minimum(jnp.abs(x - nearest[-1] * pitch), outside) ** 2
    visible = _visible(lattice)
    numbers = jnp.asarray(np.cumsum(visible, dtype=np.int32).reshape(visible.shape))
    labels = jnp.where(squared <= lattice.limit, numbers[tuple(nearest)], 0)[None]
    return (labels > 0).astype(jnp.float32)[..., None], labels


def _visible(lattice: _Lattice) -> np.ndarray:
    """Per lattice point from `first` on: whether its disc has a pixel in the image."""
    squared = np.zeros((), np.int64)  # distance of the lattice point from the image
    for n, pitch, first in zip(lattice.shape, lattice.pitch, lattice.first, strict=True):
        points = np.arange(first, n + pitch, pitch)
        distance = np.maximum(np.maximum(-points, points - (n - 1)), 0)
        squared = squared[..., None] + distance**2
    return squared <= lattice.limit
