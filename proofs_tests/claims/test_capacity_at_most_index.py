"""A local map that commutes with the shifts in H tells at most [Z^d : H] same-looking objects apart.

Hypotheses: a finite receptive field. So a dilated net without pooling, whose period is 1, gives copies one embedding,
and blur pooling, which leaves the period f^l, up to f^{dl}. Locality is needed: adaptive polyphase sampling commutes
with every shift of a torus, norm ties aside, and still tells copies apart.
Source: ours.
Idea: two copies whose offset is in H see the same surroundings moved by a vector of H, so a local map gives them the
same. One global choice of grid suits one object and leaves each other one a phase of its own.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record as ledger
from proofs_tests.support.exact import BATCH, distinct, placed
from proofs_tests.support.lattices import CASES, bases
from proofs_tests.support.other_networks import AdaptivePolyphase, BlurPool, Dilated, Weighted
from proofs_tests.support.profiles import fewer
from proofs_tests.support.textures import counts, diagonal, texture
from shiftjax import theory
from shiftjax.testing.strategies import seeds

EXTENT = {1: 60, 2: 14}


@st.composite
def dilated(draw) -> Weighted:
    kernels = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    dilations = tuple(draw(st.integers(1, 3)) for _ in kernels)
    return Weighted(Dilated(draw(st.integers(1, 2)), kernels, dilations, draw(st.integers(1, 3))), draw(seeds()))


@st.composite
def blurred(draw) -> Weighted:
    ndim = draw(st.integers(1, 2))
    net = BlurPool(ndim, draw(st.integers(2, 4 if ndim == 1 else 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return Weighted(net, draw(seeds()))


def polyphase() -> st.SearchStrategy[Weighted]:
    nets = st.builds(AdaptivePolyphase, st.integers(2, 4), st.integers(1, 3), st.integers(1, 3))
    return st.builds(Weighted, nets, seeds())


def check(run, subject: Weighted, lattices) -> None:
    """Copies on a lattice get no more embeddings than the index of the period allows."""
    period = subject.net.period
    # Cutting to whole periods makes all sizes legal.
    size = [(EXTENT[len(period)] + subject.net.loss) // p * p for p in period]
    images = [texture(subject.rng, size, basis, 1) for basis in lattices]
    for basis, output in zip(lattices, run(np.concatenate(images)), strict=True):
        found, _ = counts(output, basis, period)
        most = theory.lattice_capacity(period, basis)
        assert found.max() <= most <= np.prod(period), f"{found.max()} embeddings on {basis}, index {most}"


def lattices(ndim: int) -> st.SearchStrategy:
    return st.lists(bases(ndim), min_size=CASES, max_size=CASES)


@given(st.data(), dilated() | blurred())
def test_local_maps_obey_the_index(data, subject):
    some = data.draw(lattices(subject.net.ndim))
    ledger.examine(subject.net, len(some))
    check(subject, subject, some)


@given(blurred())
def test_blur_pooling_leaves_the_period(subject):
    """On a constant image, learned upsampling writes all of its phases."""
    period = subject.net.period
    size = [4 * p + subject.net.loss // p * p for p in period]
    ledger.examine(subject.net, 1)
    assert distinct(subject(np.ones((1, *size, 1), np.int32))) == np.prod(period)


def rolled(subject: Weighted, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of an image on a torus moved by 0 .. BATCH - 1 pixels, and the output so moved."""
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
def test_adaptive_polyphase_sampling_moves_along_with_every_shift_of_a_torus(subject):
    ledger.examine(subject.net, BATCH)
    moved, wanted = rolled(subject, 12 * subject.net.factor)
    assert np.array_equal(moved, wanted)


@fewer
@given(polyphase())
def test_control_and_still_tells_copies_apart(subject):
    """It commutes with H = Z, of index 1; without locality that allows no bound."""
    with ledger.rejected(subject.net):
        assert two_copies(subject) <= 1


@fewer
@given(st.data(), dilated())
def test_control_a_net_that_knows_where_it_is(data, subject):
    with ledger.rejected(subject.net):
        check(lambda images: subject(placed(images)), subject, [diagonal([2] * subject.net.ndim)])


def test_in_float32():
    """Integers below 2^24 are exact in float32 too; larger ones are not, and differ by rounding."""
    net = Dilated(1, (3, 2), (2, 3))
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in net.shapes()]
    cell = rng.normal(size=(1, 5, 1)).astype(np.float32)
    output = np.asarray(net(weights, np.tile(cell, (1, 12, 1))))[0]
    first = output[:5]
    ledger.rounding(output, np.tile(first, (len(output) // 5 + 1, 1))[: len(output)], bound=16)
