"""Copies on a lattice L get at most [L : L ∩ P Z^d] embeddings; for a pitch s per axis: prod p_k / gcd(p_k, s_k).

With generic weights and learned upsampling it is exactly that many, where the image is large enough to show them all.
So a pitch of one period gives one embedding, and a pitch without a divisor in common with the period gives all.
With nearest upsampling and max pooling, in 1-D, level i sees the pitch s_i = s / gcd(s, f_0 ... f_{i-1}). From the
first level with s_i <= f_i on, everything is constant. Let p' be the product of the factors before that level: then at
most p' / gcd(p', s) embeddings are left. Some textures get exactly that many, for generic weights, decoder kernels
above 1, and at least as many features as the widest pooling window: where a window covers all copies but one, a channel
shows little more than where its maximum is, so that networks of fewer channels do not get there.
Hypotheses: as for periodic-equivariance.
Source: Rumberger et al., ICCV 2021, for s = f^l; the formulas are ours.
Idea: two copies share an embedding if the vector between them is whole periods, and those vectors are a sublattice of
L. A pooling window as wide as the pitch holds every value of the texture, so its maximum is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd, lcm, prod
from typing import Any

import flax.linen as nn
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record
from proofs_tests.support.copies import Repeated, counts, diagonal, repeated, texture
from proofs_tests.support.networks import FLOATS, Run, Subject, constant, subjects
from proofs_tests.support.profiles import fewer, half, more
from shiftjax import UNet, theory
from shiftjax.testing import injective
from shiftjax.testing.strategies import FACTORS, input_for

Formula = Callable[..., int]
TEXTURES = 16  # of which most show everything
GENERIC: dict[str, Any] = {"activation": injective, "upsamples": ("learned",), "largest_period": 4}


def check(run: Run, case: Repeated, formula: Formula = theory.lattice_capacity) -> None:
    """As many embeddings as phases are shown; as the formula says, where the image shows them all."""
    for basis, (embedded, shown) in zip(case.lattices, case.count(run), strict=True):
        most = formula(case.subject.net.period, basis)
        assert (embedded == shown).all(), f"{embedded} embeddings on the lattice {basis}, {shown} phases shown"
        assert shown.max() <= most, f"{shown.max()} phases shown on the lattice {basis}, at most {most} expected"
        if case.shows_all(basis):
            assert shown.max() == most, f"{shown.max()} embeddings on the lattice {basis}, not {most}"


def check_nearest(subject: Subject, pitch: int, formula: Formula = theory.nearest_capacity) -> None:
    """The pixel of all textures that tells most copies apart tells as many apart as the formula says."""
    (axis,), rng = subject.net.geometry, subject.rng
    size = input_for(subject.net, (pitch * axis.period,))
    images = [texture(rng, size, [[pitch]], subject.channels) for _ in range(TEXTURES)]
    embedded = [counts(output, [[pitch]], subject.net.period)[0] for output in subject(np.concatenate(images))]
    most, expected = max(map(np.max, embedded)), formula(axis.factors, pitch)
    assert most == expected, f"{most} embeddings at pitch {pitch} after pooling by {axis.factors}, not {expected}"


@given(repeated(**GENERIC, largest=5))
def test_exactly_that_many_for_generic_weights(case):
    record.examine(case.subject.net, len(case.lattices))
    check(case.subject, case)


@fewer
@given(repeated(largest=5))
def test_at_most_that_many_for_any_weights(case):
    record.examine(case.subject.net, len(case.lattices))
    for basis, (embedded, _) in zip(case.lattices, case.count(case.subject), strict=True):
        assert embedded.max() <= theory.lattice_capacity(case.subject.net.period, basis)


NEAREST: dict[str, Any] = {
    "ndims": (1,),
    "kernels": (2, 4),
    "largest_period": 24,
    "pixels": {1: 200},
    "upsamples": ("nearest",),
    "least_features": FACTORS,
}


NARROW: dict[str, Any] = {"upsample": "nearest", "activation": injective, "param_dtype": np.int32}


@half
@given(
    subjects(**NEAREST, activation=injective, levels=(1, 4), pooled=True),
    st.lists(st.integers(1, 12), min_size=2, max_size=3),
)
def test_nearest_upsampling_reaches_its_own_formula(subject, pitches):
    record.examine(subject.net, len(pitches))
    for pitch in pitches:
        check_nearest(subject, pitch)


@more
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.data())
def test_the_index_is_that_of_a_count_by_hand(period, data):
    """Independent of any network: classes of the lattice's vectors modulo the period, counted one by one."""
    row = st.lists(st.integers(-7, 7), min_size=len(period), max_size=len(period))
    basis = data.draw(st.lists(row, min_size=1, max_size=3))
    turns = np.stack(np.meshgrid(*[np.arange(lcm(*period))] * len(basis), indexing="ij"), -1).reshape(-1, len(basis))
    record.examine(None, 1)
    assert theory.lattice_capacity(period, basis) == len(np.unique(turns @ np.array(basis) % period, axis=0))
    pitch = [abs(v) + 1 for v in basis[0]]
    assert theory.lattice_capacity(period, pitch) == prod(p // gcd(p, s) for p, s in zip(period, pitch, strict=True))


def test_a_narrow_network_does_not_reach_it():
    """One feature, and a window over four of five pixels: of the four phases at most three are told apart."""
    for seed in range(4):
        net = UNet(2, ndim=1, features=1, factors=(4,), convs=1, kernel_size=2, **NARROW)
        with record.rejected(net):
            check_nearest(Subject(net, seed=seed), 5)
        check_nearest(Subject(net.clone(features=4), seed=seed), 5)


@fewer
@given(repeated(**GENERIC, ndims=(1, 2), levels=(1, 4), pooled=True))
def test_control_a_pitch_of_one_period_does_not_get_all(case):
    subject = case.subject
    with record.rejected(subject.net):
        check(subject, Repeated(subject, (diagonal(subject.net.period),)), lambda period, _: prod(period))


@fewer
@given(subjects(**NEAREST, activation=injective, levels=(1, 4), pooled=True))
def test_control_nearest_upsampling_is_not_learned(subject):
    """At pitch 1 the image is constant, and only learned upsampling tells pixels apart."""
    with record.rejected(subject.net):
        check_nearest(subject, 1, lambda factors, pitch: prod(factors) // gcd(prod(factors), pitch))


@fewer
@given(repeated(levels=(1, 4), pooled=True, activation=nn.relu, upsamples=("learned",), largest_period=4))
def test_relu_nets_reach_it_now_and_then(case):
    record.relu(all((embedded == shown).all() for embedded, shown in case.count(case.subject)))


def test_in_float32():
    """Copies a whole number of periods apart agree up to rounding."""
    for subject in FLOATS:
        period = subject.net.period
        size = subject.size(4)
        image = texture(subject.rng, size, diagonal(period), 1).astype(np.float32)
        output = subject(image)[0]
        assert not constant(output)
        first = output[tuple(slice(p) for p in period)]
        record.rounding(
            output, np.tile(first, [n // p for n, p in zip(output.shape, period, strict=False)] + [1]), bound=16
        )
