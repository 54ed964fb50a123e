"""Objects that look the same over the receptive field get at most prod p_k embeddings (f^{dl} for one factor f).

Hypotheses: as for periodic-equivariance; any weights, learned or nearest upsampling.
Source: Rumberger et al., ICCV 2021.
Idea: there are prod p_k operators, one per phase, and each gives all copies at its phase the same embedding.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record
from proofs_tests.support.copies import Repeated, diagonal, embeddings, repeated
from proofs_tests.support.networks import FLOATS, Run, Subject, numbered, subjects
from proofs_tests.support.profiles import fewer
from proofs_tests.support.reference import fields
from shiftjax.testing import injective
from shiftjax.testing.strategies import input_for


def check(run: Run, case: Repeated) -> None:
    """No class of copies has more embeddings than the period has phases."""
    capacity = np.prod(case.subject.net.period)
    for basis, (embedded, _) in zip(case.lattices, case.count(run), strict=True):
        most = embedded.max()
        assert most <= capacity, f"{most} embeddings of copies on the lattice {basis}, {capacity} phases"


def scattered(subject: Subject, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A 1-D image with copies of one patch at random places, and the output pixels that read nothing else."""
    rng = np.random.default_rng(seed)
    (period,) = subject.net.period
    spans = [fields(subject.net, (r,))[0] for r in range(period)]
    before = max(r - lo for r, (lo, _) in enumerate(spans))
    width = before + max(hi - r for r, (_, hi) in enumerate(spans)) + 1
    starts = np.cumsum(rng.integers(width, width + 2 * period, 3 * period + 2))
    pixels = starts + before
    (size,) = input_for(subject.net, (int(pixels[-1]) + width,))
    image, patch = subject.image((size,), rng=rng), subject.image((width,), rng=rng)
    for start in starts:
        image[0, start : start + width] = patch[0]
    return image, pixels


@given(repeated())
def test_copies_on_a_lattice(case):
    record.examine(case.subject.net, len(case.lattices))
    check(case.subject, case)


@fewer
@given(subjects(ndims=(1,), largest_period=6, pixels={1: 60}), st.integers(0, 2**32 - 1))
def test_copies_anywhere(subject, seed):
    image, pixels = scattered(subject, seed)
    record.examine(subject.net, len(pixels))
    assert len(np.unique(embeddings(subject(image))[0, pixels])) <= subject.net.period[0]


def every_pixel(case: Repeated) -> Repeated:
    """The same network on a constant image, where there are more copies than phases."""
    return Repeated(case.subject, (diagonal([1] * case.subject.net.ndim),))


@fewer
@given(repeated(activation=injective))
def test_control_a_net_that_knows_where_it_is(case):
    with record.rejected(case.subject.net):
        check(lambda images: case.subject(numbered(images)), every_pixel(case))


@fewer
@given(repeated(activation=injective, paddings=("SAME",), kernels=(2, 5), levels=(0, 1)))
def test_control_zero_padding_tells_copies_apart(case):
    with record.rejected(case.subject.net):
        check(case.subject, every_pixel(case))


def test_in_float32():
    """All copies at one phase agree up to rounding."""
    for subject in FLOATS:
        period = subject.net.period
        output = subject(np.ones((1, *subject.size(3), 1), np.float32))[0]
        first = output[tuple(slice(p) for p in period)]
        again = np.tile(first, [*(-(-n // p) for n, p in zip(output.shape, period, strict=False)), 1])
        record.rounding(output, again[tuple(map(slice, output.shape))], bound=16)
