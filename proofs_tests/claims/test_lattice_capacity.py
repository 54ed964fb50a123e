"""Copies on a lattice L get at most [L : L ∩ P Z^d] embeddings; for a pitch s per axis: prod p_k / gcd(p_k, s_k).

Hypotheses: as for periodic-equivariance. With generic weights and learned upsampling exactly that many, where the image
shows every class. So a pitch of one period gives one embedding and a pitch prime to the period all. With nearest
upsampling and max pooling, in 1-D: level i sees the pitch s_i = s / gcd(s, f_0 ... f_{i-1}); from the first level with
s_i <= f_i on all is constant, and at most p' / gcd(p', s) are left, p' being the product of the factors above it; with
generic weights and decoder kernels above 1 exactly that many.
Source: Rumberger et al., ICCV 2021, for s = f^l; the formulas are ours.
Idea: two copies share an embedding if the vector between them is a whole number of periods, and those vectors are a
sublattice of L. A pooling window as wide as the pitch sees every value, so its maximum is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd, lcm, prod

import flax.linen as nn
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record as ledger
from proofs_tests.support.exact import Run, constant
from proofs_tests.support.lattices import EXTENT, Repeated, repeated, shown
from proofs_tests.support.profiles import fewer, half, more
from proofs_tests.support.subjects import FLOATS, Subject, subjects
from proofs_tests.support.textures import counts, diagonal, texture
from shiftjax import theory
from shiftjax.testing import injective
from shiftjax.testing.strategies import input_for

Formula = Callable[..., int]
GENERIC = {"activation": injective, "upsamples": ("learned",), "largest_period": 4}


def check(run: Run, case: Repeated, formula: Formula = theory.lattice_capacity) -> None:
    """As many embeddings as phases are shown; as the formula says, where the image shows them all."""
    period = case.subject.net.period
    for basis, (found, classes) in zip(case.lattices, case.count(run), strict=True):
        most = formula(period, basis)
        assert (found == classes).all(), f"{found} embeddings on the lattice {basis}, {classes} phases shown"
        assert classes.max() <= most, f"{classes.max()} phases shown on the lattice {basis}, at most {most} expected"
        if shown(basis, period, [max(EXTENT[len(period)], p) for p in period]):
            assert classes.max() == most, f"{classes.max()} embeddings on the lattice {basis}, not {most}"


def check_nearest(subject: Subject, pitch: int, formula: Formula = theory.nearest_capacity) -> None:
    """The pixel of the texture that tells most copies apart tells as many apart as the formula says."""
    (axis,) = subject.net.geometry
    size = input_for(subject.net, (pitch * axis.period,))
    output = subject(texture(subject.rng, size, [[pitch]], subject.channels))[0]
    found, _ = counts(output, [[pitch]], subject.net.period)
    wanted = formula(axis.factors, pitch)
    assert found.max() == wanted, (
        f"{found.max()} embeddings at pitch {pitch} after pooling by {axis.factors}, not {wanted}"
    )


@given(repeated(**GENERIC, largest=5))
def test_exactly_that_many_for_generic_weights(case):
    ledger.examine(case.subject.net, len(case.lattices))
    check(case.subject, case)


@fewer
@given(repeated(largest=5))
def test_at_most_that_many_for_any_weights(case):
    ledger.examine(case.subject.net, len(case.lattices))
    for basis, (found, _) in zip(case.lattices, case.count(case.subject), strict=True):
        assert found.max() <= theory.lattice_capacity(case.subject.net.period, basis)


NEAREST = {"ndims": (1,), "kernels": (2, 4), "largest_period": 24, "pixels": {1: 200}, "upsamples": ("nearest",)}


@half
@given(
    subjects(**NEAREST, activation=injective, levels=(1, 4), pooled=True),
    st.lists(st.integers(1, 12), min_size=2, max_size=3),
)
def test_nearest_upsampling_reaches_its_own_formula(subject, pitches):
    ledger.examine(subject.net, len(pitches))
    for pitch in pitches:
        check_nearest(subject, pitch)


@more
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.data())
def test_the_index_is_that_of_a_count_by_hand(period, data):
    """Independent of any network: classes of the lattice's vectors modulo the period, counted one by one."""
    case = data.draw(
        st.lists(st.lists(st.integers(-7, 7), min_size=len(period), max_size=len(period)), min_size=1, max_size=3)
    )
    turns = np.stack(np.meshgrid(*[np.arange(lcm(*period))] * len(case), indexing="ij"), -1).reshape(-1, len(case))
    found = len(np.unique(turns @ np.array(case) % period, axis=0))
    ledger.examine(None, 1)
    assert theory.lattice_capacity(period, case) == found
    pitch = [abs(v) + 1 for v in case[0]]
    assert theory.lattice_capacity(period, pitch) == prod(p // gcd(p, s) for p, s in zip(period, pitch, strict=True))


@fewer
@given(repeated(**GENERIC, ndims=(1, 2), levels=(1, 4), pooled=True))
def test_control_a_pitch_of_one_period_does_not_get_all(case):
    subject = case.subject
    with ledger.rejected(subject.net):
        check(subject, Repeated(subject, (diagonal(subject.net.period),)), lambda period, _: prod(period))


@fewer
@given(subjects(**NEAREST, activation=injective, levels=(1, 4), pooled=True))
def test_control_nearest_upsampling_is_not_learned(subject):
    """At pitch 1 the image is constant, and only learned upsampling tells pixels apart."""
    with ledger.rejected(subject.net):
        check_nearest(subject, 1, lambda factors, pitch: prod(factors) // gcd(prod(factors), pitch))


@fewer
@given(repeated(levels=(1, 4), pooled=True, activation=nn.relu, upsamples=("learned",), largest_period=4))
def test_relu_nets_reach_it_now_and_then(case):
    ledger.relu(all((found == classes).all() for found, classes in case.count(case.subject)))


def test_in_float32():
    """Copies a whole number of periods apart agree up to rounding."""
    for subject in FLOATS:
        period = subject.net.period
        size = subject.size(4)
        image = texture(subject.rng, size, diagonal(period), 1).astype(np.float32)
        output = subject(image)[0]
        assert not constant(output)
        first = output[tuple(slice(p) for p in period)]
        ledger.rounding(
            output, np.tile(first, [n // p for n, p in zip(output.shape, period, strict=False)] + [1]), bound=16
        )
