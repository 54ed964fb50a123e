"""Norms that act on each pixel alone keep stitching exact; norms that read space break it at every stride.

On each pixel alone: batch norm in inference mode, layer norm over channels only. Reading space: instance, group and
layer norm over space, batch norm in training mode; so do squeeze-and-excite and global attention.
Hypotheses: generic weights, for the breaking.
Source: ours.
Idea: a mean over the tile depends on all of it, and another tile has another mean, wherever it is cut. In int32 each
norm has an integer counterpart that reads exactly the same pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record
from proofs_tests.support.networks import Run, Subject, subjects
from proofs_tests.support.profiles import fewer, half
from proofs_tests.support.tiles import IMAGES, check, check_differs, irregular_cuts, regular_cuts
from shiftjax import UNet
from shiftjax.testing import injective
from shiftjax.testing.strategies import input_for

Norm = Callable[[jax.Array], jax.Array]
SMALL = {"pixels": {1: 120, 2: 28, 3: 12}, "largest_period": 16}


def _space(x: jax.Array) -> tuple[int, ...]:
    return tuple(range(1, x.ndim - 1))


def _normed(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """What norms do: subtract a mean and scale by a spread, both over these axes; an odd factor loses no bit."""
    shifted = x - jnp.sum(x, axes, keepdims=True) // 3
    return shifted * (jnp.max(jnp.abs(shifted), axes, keepdims=True) | 1)


def _grouped(x: jax.Array) -> jax.Array:
    size = math.gcd(2, x.shape[-1])
    groups = x.reshape(*x.shape[:-1], x.shape[-1] // size, size)
    return _normed(groups, (*_space(x), x.ndim)).reshape(x.shape)


def _excited(x: jax.Array) -> jax.Array:
    return x * (jnp.sum(x, _space(x), keepdims=True) | 1)


def _attended(x: jax.Array) -> jax.Array:
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    return x + jnp.einsum("nuc,nvc,nvd->nud", flat, flat, flat).reshape(x.shape)


POINTWISE: dict[str, Norm] = {
    "batch, in inference": lambda x: (x - jnp.arange(x.shape[-1])) // (2 + jnp.arange(x.shape[-1])) * 5 + 7,
    "layer over channels": lambda x: _normed(x, (x.ndim - 1,)),
}
READING_SPACE: dict[str, Norm] = {
    "instance": lambda x: _normed(x, _space(x)),
    "group": _grouped,
    "layer over space": lambda x: _normed(x, tuple(range(1, x.ndim))),
    "batch, in training": lambda x: _normed(x, tuple(range(x.ndim - 1))),
    "squeeze-and-excite": _excited,
    "global attention": _attended,
}


@cache
def activation(name: str) -> Norm:
    """A norm in front of an activation, as one function for all networks."""
    norm = {**POINTWISE, **READING_SPACE}[name]
    return lambda x: injective(norm(x))


def one_by_one(subject: Subject) -> Run:
    """Every tile in a batch of its own, so that batch norm does not mix tiles."""
    return lambda images: np.concatenate([subject(one[None]) for one in images])


def normed(kinds: dict[str, Norm], **options: Any) -> st.SearchStrategy[Subject]:
    return st.sampled_from(sorted(kinds)).flatmap(
        lambda name: subjects(activation=activation(name), **{**SMALL, **options})
    )


@half
@given(st.data())
def test_pointwise_norms_keep_stitching(data):
    subject = data.draw(normed(POINTWISE))
    record.examine(subject.net, IMAGES)
    check(one_by_one(subject), data.draw(regular_cuts(subject)))


@half
@given(st.data())
def test_norms_that_read_space_break_it_at_every_stride(data):
    subject = data.draw(normed(READING_SPACE))
    cuts = regular_cuts(subject)
    case = data.draw(cuts if max(subject.net.period) == 1 else cuts | irregular_cuts(subject))
    record.examine(subject.net, IMAGES)
    check_differs(one_by_one(subject), case)


@fewer
@given(st.data())
def test_control_norms_that_read_space(data):
    subject = data.draw(normed(READING_SPACE))
    with record.rejected(subject.net):
        check(one_by_one(subject), data.draw(regular_cuts(subject)))


@fewer
@given(st.data())
def test_control_pointwise_norms(data):
    subject = data.draw(normed(POINTWISE))
    with record.rejected(subject.net):
        check_differs(one_by_one(subject), data.draw(regular_cuts(subject)))


def test_in_float32():
    """Flax's own norms: batch norm in inference mode stitches, instance and group norm do not."""
    for norm in ("batch", "instance", "group"):
        net = UNet(2, ndim=1, features=4, factors=(2,), norm=norm)
        tile, size = input_for(net, (4,)), input_for(net, (8,))
        image = np.random.default_rng(0).normal(size=(1, *size, 1)).astype(np.float32)
        variables = jax.jit(net.init)(jax.random.key(0), image)
        if norm == "batch":
            statistics = jax.tree.map(lambda s: s + 0.5, variables["batch_stats"])
            variables = {**variables, "batch_stats": statistics}
        run = jax.jit(net.apply)
        whole = np.asarray(run(variables, image))
        tiles = [np.asarray(run(variables, image[:, o : o + tile[0]])) for o in (0, 4)]
        stitched = np.concatenate(tiles, axis=1)
        if norm == "batch":
            record.rounding(stitched, whole, bound=16)
        else:
            assert np.abs(stitched - whole).max() > 1e-2 * np.abs(whole).max()
