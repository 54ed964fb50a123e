"""What a network is trained for: foreground in its first channel, and in the others codes that differ where objects meet.

Objects that touch are told apart twice: between them the foreground has a gap of two pixels, and their codes differ.
Codes of objects far apart may be equal, since connected components tell those apart; so codes are compared within
neighbourhoods only, a few objects wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import optax

from shiftjax._losses import discriminative_loss
from shiftjax._typing import Array
from shiftjax.labelling import relabel

MOST = 64  # objects of a neighbourhood that count; those beyond are left out of the loss, not of the foreground
CONTACT = 4.0  # weight of the pixels between objects that touch or nearly do
SEPARATION = 0.5  # weight of the discriminative loss


def loss(output: Array, labels: Array, *, reach: Sequence[int]) -> Array:
    """The loss of an output window.

    Args:
        output: logit of the foreground, and embedding: `(batch, *space, 1 + channel)`.
        labels: `(batch, *space)`, int32, 0 = background.
        reach: size of a neighbourhood in pixels, per axis.
    """
    return foreground_loss(output[..., 0], labels) + SEPARATION * separation_loss(output[..., 1:], labels, reach)


def foreground_loss(logit: Array, labels: Array) -> Array:
    """Weighted cross entropy and soft Dice."""
    touching, near = _sees_two(labels, 1), _sees_two(labels, 2)
    target = ((labels > 0) & ~touching).astype(logit.dtype)
    weight = jnp.where(near, CONTACT, 1.0)
    entropy = jnp.sum(weight * optax.sigmoid_binary_cross_entropy(logit, target)) / jnp.sum(weight)
    probability = jax.nn.sigmoid(logit)
    dice = 1 - (2 * jnp.sum(probability * target) + 1) / (jnp.sum(probability) + jnp.sum(target) + 1)
    return entropy + dice


def _sees_two(labels: Array, radius: int) -> Array:
    """Whether pixels lie within `radius` of two objects."""
    size = (1, *(2 * radius + 1,) * (labels.ndim - 1))
    ones = (1,) * labels.ndim
    none = jnp.iinfo(labels.dtype).max
    most = jax.lax.reduce_window(labels, jnp.zeros((), labels.dtype), jax.lax.max, size, ones, "SAME")
    positive = jnp.where(labels > 0, labels, none)
    least = jax.lax.reduce_window(positive, jnp.asarray(none, labels.dtype), jax.lax.min, size, ones, "SAME")
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
    count = 1 + -(-(length - reach) // max(1, reach // 2))
    return sorted({int(start) for start in np.linspace(0, length - reach, count).round()})
