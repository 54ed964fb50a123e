"""What a network is trained for: foreground in its first channel, in the others codes that differ where objects meet.

Objects that touch are told apart twice: the foreground has a gap between them, and their codes differ. Codes of objects
far apart may be equal, since connected components tell those apart; so codes are compared within neighbourhoods only, a
few objects wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from shiftjax._arithmetic import ceil_div
from shiftjax._losses import discriminative_loss
from shiftjax._typing import Array
from shiftjax.labelling import relabel

MOST = 64  # objects of a neighbourhood that count; those beyond are left out of the loss, not of the foreground
CONTACT = 8.0  # weight of the pixels between objects that touch or nearly do
SEPARATION = 0.1  # weight of the discriminative loss
GAP = 0.1  # half the gap between objects that touch, as a share of their extent
REACH = 2.5  # objects that a neighbourhood holds along an axis


class Shape(NamedTuple):
    """What the loss knows of objects, in pixels per axis.

    Attributes:
        gap: what an object that touches another gives up there.
        reach: size of a neighbourhood.
    """

    gap: tuple[int, ...]
    reach: tuple[int, ...]

    @classmethod
    def of(cls, extent: Sequence[float]) -> Shape:
        """From the extent of a typical object."""
        gap = tuple(min(4, max(1, round(GAP * size))) for size in extent)
        return cls(gap, tuple(max(8, math.ceil(REACH * size)) for size in extent))


def loss(output: Array, labels: Array, shape: Shape) -> Array:
    """The loss of an output window: logit of the foreground and embedding `(batch, *space, 1 + channel)`."""
    codes = separation_loss(output[..., 1:], labels, shape.reach)
    return foreground_loss(output[..., 0], labels, shape.gap) + SEPARATION * codes


def foreground_loss(logit: Array, labels: Array, gap: Sequence[int]) -> Array:
    """Weighted cross entropy and soft Dice."""
    touching, near = _sees_two(labels, gap), _sees_two(labels, [n + 1 for n in gap])
    target = ((labels > 0) & ~touching).astype(logit.dtype)
    weight = jnp.where(near, CONTACT, 1.0)
    entropy = jnp.sum(weight * optax.sigmoid_binary_cross_entropy(logit, target)) / jnp.sum(weight)
    probability = jax.nn.sigmoid(logit)
    dice = 1 - (2 * jnp.sum(probability * target) + 1) / (jnp.sum(probability) + jnp.sum(target) + 1)
    return entropy + dice


def _sees_two(labels: Array, radius: Sequence[int]) -> Array:
    """Whether pixels lie within `radius` of two objects."""
    most, least = labels, jnp.where(labels > 0, labels, none := jnp.iinfo(labels.dtype).max)
    for axis, n in enumerate(radius, start=1):  # one axis after the other: a square window costs its sides only
        size = [2 * n + 1 if k == axis else 1 for k in range(labels.ndim)]
        ones = (1,) * labels.ndim
        most = jax.lax.reduce_window(most, jnp.zeros((), labels.dtype), jax.lax.max, size, ones, "SAME")
        least = jax.lax.reduce_window(least, jnp.asarray(none, labels.dtype), jax.lax.min, size, ones, "SAME")
    return (least < most) & (most > 0)


def separation_loss(embedding: Array, labels: Array, reach: Sequence[int]) -> Array:
    """The discriminative loss of all neighbourhoods, which overlap by half."""
    places = list(product(*(_starts(n, r) for n, r in zip(labels.shape[1:], reach, strict=True))))
    sizes = [min(n, r) for n, r in zip(labels.shape[1:], reach, strict=True)]

    def parts(x: Array) -> Array:
        cut = [x[(slice(None), *(slice(a, a + n) for a, n in zip(place, sizes, strict=True)))] for place in places]
        return jnp.concatenate(cut)

    numbers = relabel(parts(labels))
    numbers = jnp.where(numbers < MOST, numbers, -1)
    value, _ = discriminative_loss(
        parts(embedding), numbers, max_instances=MOST, background="ignore", ignore_label=-1, gamma=1e-3
    )
    return value


def _starts(length: int, reach: int) -> list[int]:
    """Where neighbourhoods begin along an axis: every half of one, the last one at the end."""
    if reach >= length:
        return [0]
    count = 1 + ceil_div(length - reach, max(1, reach // 2))
    return sorted({int(start) for start in np.linspace(0, length - reach, count).round()})
