"""The discriminative loss: its face, its checks, and its three terms."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import array, concrete, fail, floating, integer, integers, number, one_of, room
from shiftjax._losses._pairs import pairs_shortfall
from shiftjax._losses._segments import rows_of, segment_sum
from shiftjax._typing import Array, ArrayLike, Bool, Float, Int, Integer

LARGEST = 1e18  # of a weight or a distance, whose square float32 must hold
BACKGROUNDS = ("instance", "ignore", "push")


class DiscriminativeParts(NamedTuple):
    """The terms of the loss, before the weights alpha, beta and gamma; scalars.

    Attributes:
        pull: mean over the images of the pull term.
        push: mean over the images of the push term.
        regulariser: mean over the images of the mean length of an instance mean.
        overflow: whether a label lies outside 0..max_instances-1; loss, pull, push and regulariser are NaN then.
        instances: instances that pull and regulariser count, summed over the images.
    """

    pull: Float[Array, ""]
    push: Float[Array, ""]
    regulariser: Float[Array, ""]
    overflow: Bool[Array, ""]
    instances: Int[Array, ""]


def discriminative_loss(
    embedding: ArrayLike,
    labels: ArrayLike,
    *,
    max_instances: int,
    delta_var: int | float = 0.5,
    delta_dist: int | float = 1.5,
    alpha: int | float = 1.0,
    beta: int | float = 1.0,
    gamma: int | float = 1e-3,
    background: str = "instance",
    ignore_label: int | None = None,
) -> tuple[Float[Array, ""], DiscriminativeParts]:
    r"""Pulls pixels to the mean of their instance and pushes the means of different instances apart.

    For one image with instances $1..K$, means $\mu_k$ and pixels $x$:

    $$\alpha \operatorname*{mean}_k \operatorname*{mean}_{x \in k} [|x - \mu_k| - \delta_{var}]_+^2
      + \frac{\beta}{K(K-1)} \sum_{i \neq j} [2 \delta_{dist} - |\mu_i - \mu_j|]_+^2
      + \gamma \operatorname*{mean}_k |\mu_k|$$

    The loss of a batch is the mean over its images. Gradients are of the first order, in reverse mode, and finite
    wherever squared distances are (in float32, for distances below 1e19). Means that coincide count fully in the push
    term; their gradient pushes the mean of the smaller label along the first channel and the other one against it. This
    is the limit of the gradients of means that meet along that channel in the order of their labels, hence a Clarke
    subgradient. A step against it leaves the collapse, where the customary gradient of zero would stay forever.

    Args:
        embedding: floating point, `(batch, *space, channel)`. Half precision is accumulated in float32.
        labels: integers in 0..max_instances-1, `(batch, *space)`; `shiftjax.relabel` makes them consecutive.
        max_instances: static bound on the labels, background included. What is absent costs next to nothing.
        delta_var: distance from its mean within which a pixel is not pulled, in units of the embedding.
        delta_dist: half the distance from which on two means are not pushed.
        alpha: weight of the pull term.
        beta: weight of the push term.
        gamma: weight of the regulariser.
        background: what label 0 is: `"instance"`, an instance like any other; `"ignore"`, pixels that count nowhere;
            `"push"`, a mean that others are pushed from and that is pushed, but neither pulled to nor regularised.
        ignore_label: pixels of this label (-1, 255, ...) count nowhere, whatever `max_instances` is and whatever is
            embedded there, be it NaN.

    Returns:
        The loss, a scalar, and its parts. Under jit, where values cannot be checked, a label outside
        0..max_instances-1 makes both NaN and sets `parts.overflow`.

    Raises:
        ValueError: wrong shapes or options, or, outside jit, labels out of range.
        TypeError: an embedding that is not floating point or labels that are not integers.

    References:
        De Brabandere, Neven, Van Gool: Semantic instance segmentation with a discriminative loss function, 2017.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[[0.0], [0.0], [9.0], [9.0]]])
        >>> loss, parts = discriminative_loss(x, jnp.array([[0, 0, 1, 1]]), max_instances=2, gamma=0.0)
        >>> float(loss), int(parts.instances)
        (0.0, 2)
    """
    bound = integer("max_instances", max_instances, least=1)
    one_of("background", background, BACKGROUNDS)
    scales = {"delta_var": delta_var, "delta_dist": delta_dist, "alpha": alpha, "beta": beta, "gamma": gamma}
    scales = {name: number(name, value, least=0.0, most=LARGEST) for name, value in scales.items()}
    ignored = None if ignore_label is None else integer("ignore_label", ignore_label, least=-(2**63), most=2**64 - 1)
    _check(embedding, labels, bound, ignored)
    arrays = jnp.asarray(embedding), *_in_jax(labels, ignored)
    return _loss(*arrays, scales, max_instances=bound, background=background)


def _in_jax(labels: ArrayLike, ignored: int | None) -> tuple[Array, Bool[Array, "..."] | None]:
    """Checked labels in a type of JAX's, and which of them count, None for all.

    Compared before JAX cuts 64-bit labels to 32 bits, where a label that is ignored might become one that counts.
    """
    if ignored is None:
        return jnp.asarray(labels), None
    if not isinstance(labels, jax.Array):
        known = np.asarray(labels)
        counts = known != ignored
        return jnp.asarray(np.where(counts, known, 0).astype(np.int32)), jnp.asarray(counts)
    span = jnp.iinfo(labels.dtype)
    if not span.min <= ignored <= span.max:  # no pixel has it, and JAX would not compare with it
        return labels, None
    return labels, labels != labels.dtype.type(ignored)


def _check(embedding: ArrayLike, labels: ArrayLike, bound: int, ignored: int | None) -> None:
    """Refuses wrong types and shapes, and labels out of range where their values are known."""
    floating("embedding", embedding)
    integers("labels", labels)
    embedding, labels = array("embedding", embedding), array("labels", labels)
    shape = np.shape(embedding)
    if len(shape) < 3 or 0 in shape:
        fail("embedding", "a shape (batch, *space, channel) without empty axes", shape)
    room("max_instances", (shape[0], bound, shape[-1] + 1), itemsize=4, copies=4)
    if np.shape(labels) != shape[:-1]:
        fail("labels", f"the shape {shape[:-1]} of the embedding without its channels", np.shape(labels))
    known = concrete(labels)
    if known is not None and ignored is not None:
        known = known[known != ignored]
    if known is not None and known.size and (known.min() < 0 or known.max() >= bound):
        span = f"labels from {known.min()} to {known.max()}"
        fail("labels", f"0..max_instances-1 = 0..{bound - 1}", span, "make them consecutive with `shiftjax.relabel`")


@partial(jax.jit, static_argnames=("max_instances", "background"))
def _loss(
    embedding: Float[Array, "batch *space channel"],
    labels: Integer[Array, " batch *space"],
    counts: Bool[Array, " batch *space"] | None,
    scales: dict[str, Any],
    *,
    max_instances: int,
    background: str,
) -> tuple[Float[Array, ""], DiscriminativeParts]:
    """The pure loss; labels out of range make it NaN."""
    batch, channels = embedding.shape[0], embedding.shape[-1]
    pixels = embedding.reshape(batch, -1, channels).astype(jnp.promote_types(embedding.dtype, jnp.float32))
    # Narrower labels would wrap when compared with max_instances, and wider ones when cast to 32 bits.
    ids = labels.reshape(batch, -1).astype(jnp.int64 if labels.dtype.itemsize == 8 else jnp.int32)
    counts = jnp.ones(ids.shape, bool) if counts is None else counts.reshape(batch, -1)
    overflow = jnp.any(counts & ((ids < 0) | (ids >= max_instances)))
    image = partial(_image_terms, count=max_instances, background=background)
    if background == "ignore":
        counts &= ids != 0
    ids = jnp.where(counts, ids, max_instances)  # one segment more, for what counts nowhere
    terms = jax.vmap(image, in_axes=(0, 0, None, None))(pixels, ids, scales["delta_var"], scales["delta_dist"])
    # Multiplied by NaN, not replaced by it, so that the gradient is NaN as well.
    pull, push, regulariser = (jnp.mean(term) * jnp.where(overflow, jnp.nan, 1.0) for term in terms[:3])
    loss = scales["alpha"] * pull + scales["beta"] * push + scales["gamma"] * regulariser
    return loss, DiscriminativeParts(pull, push, regulariser, overflow, jnp.sum(terms[3]))


def _image_terms(
    pixels: Float[Array, "pixel channel"],
    ids: Int[Array, " pixel"],
    delta_var: ArrayLike,
    delta_dist: ArrayLike,
    *,
    count: int,
    background: str,
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""], Int[Array, ""]]:
    """Pull, push, regulariser and number of instances of one image.

    All but the regulariser are differences of embeddings. They are computed about a pixel that counts, so that an
    offset that all of these share costs them no precision; one that counts nowhere may lie anywhere.
    """
    counted = ids < count
    first = pixels[jnp.argmax(counted)]
    centre = jax.lax.stop_gradient(jnp.where(jnp.isfinite(first), first, 0))
    pixels = jnp.where(counted[:, None], pixels - centre, 0)
    sizes = segment_sum(jnp.ones_like(ids, pixels.dtype), ids, count + 1)[:count]
    means = segment_sum(pixels, ids, count + 1)[:count] / jnp.maximum(sizes, 1)[:, None]
    present = sizes > 0
    foreground = jnp.arange(count) > 0
    pulled = present if background == "instance" else present & foreground
    pushed = present & foreground if background == "ignore" else present
    instances = jnp.sum(pulled)

    weight = jnp.where(pulled, 1 / jnp.maximum(sizes, 1), 0) / jnp.maximum(instances, 1)
    own = jnp.minimum(ids, count - 1)
    pull = jnp.sum(_pull(pixels - rows_of(means, own), delta_var) * jnp.where(counted, rows_of(weight, own), 0))
    regulariser = jnp.sum(jnp.where(pulled, _length(means + centre), 0)) / jnp.maximum(instances, 1)
    return pull, _push(means, pushed, delta_dist), regulariser, instances


def _pull(offset: Float[Array, "pixel channel"], delta_var: ArrayLike) -> Float[Array, " pixel"]:
    """Squared distance beyond delta_var."""
    square = jnp.sum(offset**2, axis=-1)
    outside = ~(square <= jnp.square(delta_var))  # true for NaN, which must not turn into zero
    # The inner choice keeps the root away from zero, where an infinite derivative times the outer zero would be NaN.
    return jnp.where(outside, (jnp.sqrt(jnp.where(outside, square, 1)) - delta_var) ** 2, 0)


def _length(x: Float[Array, "*rows channel"]) -> Float[Array, "*rows"]:
    """Euclidean length, with gradient zero at the origin."""
    square = jnp.sum(x**2, axis=-1)
    away = ~(square == 0)  # true for NaN, as in `_pull`
    return jnp.where(away, jnp.sqrt(jnp.where(away, square, 1)), 0)


def _push(
    means: Float[Array, "instance channel"], pushed: Bool[Array, " instance"], delta_dist: ArrayLike
) -> Float[Array, ""]:
    """Mean over the ordered pairs of the squared shortfall from 2 delta_dist."""
    count = jnp.sum(pushed, dtype=means.dtype)
    return pairs_shortfall(means, pushed, 2 * delta_dist) / jnp.maximum(count * (count - 1), 1)
