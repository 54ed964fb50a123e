"""The bound of prod p_k embeddings is reached: by explicit weights on a constant image, and by generic weights.

Hypotheses: learned upsampling with kernel = stride. Explicit weights (`shiftjax.testing.phase_code`): any factors, per
level and axis, any kernels. Generic weights: copies of one pixel of a texture whose pitch has no divisor in common with
the period and is above every factor; p + 1 is always such a pitch.
Source: Rumberger et al., ICCV 2021, for the bound; the construction is ours.
Idea: the phase is a number whose digits, in mixed radix, are the positions in the blocks of each upsampling. Every
position has weights of its own, so each upsampling can write its digit. If pitch and period have no divisor in common,
the copies go through all phases.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import flax.linen as nn
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record
from proofs_tests.support.copies import counts, diagonal, texture
from proofs_tests.support.networks import FLOATS, Run, Subject, compiled, constant, distinct, subjects
from proofs_tests.support.profiles import fewer, half
from shiftjax import UNet
from shiftjax.testing import injective, phase_code
from shiftjax.testing.strategies import architectures, input_for

SMALL: dict[str, Any] = {"upsamples": ("learned",), "largest_period": 16, "pixels": {1: 300, 2: 40, 3: 22}}


def check_code(net: UNet, image: np.ndarray, expected: int) -> None:
    """The explicit weights give the image so many embeddings."""
    output = np.asarray(compiled(net)(phase_code(net, image), image))
    assert distinct(output) == expected, f"{distinct(output)} embeddings, not {expected}"


def check(run: Run, subject: Subject, pitch: tuple[int, ...]) -> None:
    """Copies of every pixel of a texture with this pitch get as many embeddings as there are phases."""
    period = subject.net.period
    size = input_for(subject.net, [s * p for s, p in zip(pitch, period, strict=True)])
    output = run(texture(subject.rng, size, diagonal(pitch), subject.channels))[0]
    if constant(output):
        record.discard()
    embedded, _ = counts(output, diagonal(pitch), period)
    all_phases = np.prod(period)
    assert (embedded == all_phases).all(), f"{embedded.min()} embeddings at pitch {pitch}, {all_phases} phases"


def coprime_pitches(net: UNet) -> st.SearchStrategy[tuple[int, ...]]:
    """Pitches without a divisor in common with the period, above every factor."""
    ranges = [range(max([1, *axis.factors]) + 1, axis.period + 2) for axis in net.geometry]
    return st.tuples(
        *(
            st.sampled_from([s for s in numbers if gcd(s, p) == 1])
            for numbers, p in zip(ranges, net.period, strict=True)
        )
    )


@half
@given(architectures(**SMALL, least_features=2), st.integers(-99, 99))
def test_explicit_weights_on_a_constant_image(net, value):
    size = input_for(net, net.period)
    record.examine(net, 2)
    check_code(net, np.full((1, *size, 1), value, np.int32), int(np.prod(net.period)))


TEXTURED: dict[str, Any] = {**SMALL, "activation": injective, "largest_period": 8, "pixels": {1: 120, 2: 24, 3: 12}}


@half
@given(st.data())
def test_generic_weights_on_a_texture(data):
    subject = data.draw(subjects(**{**TEXTURED, "ndims": (1, 2)}))
    pitch = data.draw(coprime_pitches(subject.net))
    record.examine(subject.net, int(np.prod(pitch)))
    check(subject, subject, pitch)


@fewer
@given(subjects(**{**TEXTURED, "ndims": (1, 2), "levels": (1, 4)}, pooled=True))
def test_control_a_pitch_of_one_period(subject):
    with record.rejected(subject.net):
        check(subject, subject, subject.net.period)


@fewer
@given(architectures(levels=(0, 0), **SMALL))
def test_control_without_pooling_there_is_one(net):
    image = np.ones((1, *input_for(net, [4] * net.ndim), 1), np.int32)
    check_code(net, image, 1)
    with record.rejected(net):
        check_code(net, image, 4**net.ndim)


@fewer
@given(subjects(**{**TEXTURED, "activation": nn.relu, "ndims": (1, 2), "levels": (1, 4)}, pooled=True))
def test_relu_nets_reach_it_now_and_then(subject):
    pitch = tuple(p + 1 for p in subject.net.period)
    size = input_for(subject.net, [s * p for s, p in zip(pitch, subject.net.period, strict=True)])
    output = subject(texture(subject.rng, size, diagonal(pitch), subject.channels))[0]
    record.relu(bool((counts(output, diagonal(pitch), subject.net.period)[0] == np.prod(subject.net.period)).all()))


def test_in_float32():
    """The explicit weights are small integers, which float32 does not round."""
    for subject in FLOATS:
        image = np.ones((1, *subject.size(), 1), np.float32)
        codes = np.asarray(compiled(subject.net)(phase_code(subject.net, image), image))
        assert distinct(codes) == np.prod(subject.net.period)
        record.rounding(codes, np.round(codes), bound=0)
