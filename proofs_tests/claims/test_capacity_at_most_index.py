"""A local map that commutes with a group H of shifts tells at most [Z^d : H] same-looking objects apart.

So a network of dilated convolutions without pooling, whose period is 1, gives all copies one embedding, and blur
pooling, which leaves the period at f^l, up to f^{dl}.
Hypotheses: a finite receptive field. It is needed: adaptive polyphase sampling commutes with every shift of a torus,
except where two norms are equal, and still tells copies apart.
Source: ours.
Idea: if the vector between two copies is in H, the image around one is that around the other shifted by it, so a local
map gives both the same. Adaptive sampling chooses one grid for the whole image, and two copies may lie at different
phases of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record
from proofs_tests.support.copies import CASES, Basis, bases, counts, diagonal, texture
from proofs_tests.support.networks import BATCH, Run, distinct, numbered
from proofs_tests.support.other_networks import AdaptivePolyphase, BlurPool, Dilated, Weighted
from proofs_tests.support.profiles import fewer
from shiftjax import theory
from shiftjax.testing.strategies import seeds

EXTENT = {1: 60, 2: 14}


@st.composite
def dilated(draw: st.DrawFn) -> Weighted:
    kernels = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    dilations = tuple(draw(st.integers(1, 3)) for _ in kernels)
    return Weighted(Dilated(draw(st.integers(1, 2)), kernels, dilations, draw(st.integers(1, 3))), draw(seeds()))


@st.composite
def blurred(draw: st.DrawFn) -> Weighted:
    ndim = draw(st.integers(1, 2))
    net = BlurPool(ndim, draw(st.integers(2, 4 if ndim == 1 else 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return Weighted(net, draw(seeds()))


def polyphase() -> st.SearchStrategy[Weighted]:
    nets = st.builds(AdaptivePolyphase, st.integers(2, 4), st.integers(1, 3), st.integers(1, 3))
    return st.builds(Weighted, nets, seeds())


def check(run: Run, subject: Weighted, lattices: Sequence[Basis]) -> None:
    """Copies on a lattice get no more embeddings than the index of the period allows."""
    period = subject.net.period
    # Cutting to whole periods makes all sizes legal.
    size = [(EXTENT[len(period)] + subject.net.loss) // p * p for p in period]
    images = [texture(subject.rng, size, basis, 1) for basis in lattices]
    for basis, output in zip(lattices, run(np.concatenate(images)), strict=True):
        most, index = counts(output, basis, period)[0].max(), theory.lattice_capacity(period, basis)
        assert most <= index <= np.prod(period), f"{most} embeddings on {basis}, index {index}"


def lattices(ndim: int) -> st.SearchStrategy[list[Basis]]:
    return st.lists(bases(ndim), min_size=CASES, max_size=CASES)


@given(st.data(), dilated() | blurred())
def test_local_maps_obey_the_index(data, subject):
    several = data.draw(lattices(subject.net.ndim))
    record.examine(subject.net, len(several))
    check(subject, subject, several)


@given(blurred())
def test_blur_pooling_leaves_the_period(subject):
    """On a constant image, learned upsampling gives each phase of it an embedding of its own."""
    period = subject.net.period
    size = [4 * p + subject.net.loss // p * p for p in period]
    record.examine(subject.net, 1)
    assert distinct(subject(np.ones((1, *size, 1), np.int32))) == np.prod(period)


def rolled(subject: Weighted, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of an image on a torus shifted by 0 .. BATCH - 1 pixels, and its output, shifted by as much."""
    image = subject.image(size)
    moved = subject(np.concatenate([np.roll(image, s, axis=1) for s in range(BATCH)]))
    return moved, np.concatenate([np.roll(moved[:1], s, axis=1) for s in range(BATCH)])


def two_copies(subject: Weighted) -> int:
    """How many embeddings two copies of an object get that lie at different phases of any grid."""
    factor, kernel = subject.net.factor, subject.net.kernel
    width = 2 * (kernel - 1) * (factor + 1) + 4 * factor + 1
    size = 3 * factor * (width + factor)
    rng, image = subject.rng, subject.image(size)
    patch = rng.integers(-999, 1000, (width, 1), dtype=np.int32)
    starts = (0, width * factor + 1)
    for start in starts:
        image[0, start : start + width] = patch
    output = subject(image)[0]
    middle = width // 2
    return distinct(np.stack([output[start + middle] for start in starts]))


@given(polyphase())
def test_adaptive_polyphase_sampling_commutes_with_every_shift_of_a_torus(subject):
    record.examine(subject.net, BATCH)
    of_shifted, shifted = rolled(subject, 12 * subject.net.factor)
    assert np.array_equal(of_shifted, shifted)


@fewer
@given(polyphase())
def test_control_and_still_tells_copies_apart(subject):
    """It commutes with H = Z, of index 1; without locality that allows no bound."""
    with record.rejected(subject.net):
        assert two_copies(subject) <= 1


@fewer
@given(st.data(), dilated())
def test_control_a_net_that_knows_where_it_is(data, subject):
    with record.rejected(subject.net):
        check(lambda images: subject(numbered(images)), subject, [diagonal([2] * subject.net.ndim)])


def test_in_float32():
    """Integers below 2^24 are exact in float32 too; larger ones are not, and differ by rounding."""
    net = Dilated(1, (3, 2), (2, 3))
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in net.shapes()]
    cell = rng.normal(size=(1, 5, 1)).astype(np.float32)
    output = np.asarray(net(weights, jnp.asarray(np.tile(cell, (1, 12, 1)))))[0]
    first = output[:5]
    record.rounding(output, np.tile(first, (len(output) // 5 + 1, 1))[: len(output)], bound=16)
