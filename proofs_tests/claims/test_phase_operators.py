"""N applies prod p_k local operators, one per phase: the one at output pixel i is that of i mod p.

Every a-th output pixel of an axis, for a that divides p, shows p / a of them along it.
Hypotheses: as for periodic-equivariance. That all of them differ needs generic weights and learned upsampling; nearest
upsampling gives neighbours the same value unless the skips tell them apart.
Source: Rumberger et al., ICCV 2021; the counts are ours.
Idea: cut the image elsewhere, and the same surroundings lie around another output pixel. If the two pixels are whole
periods apart, periodic equivariance makes their outputs equal; nothing outside the receptive field matters.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record
from proofs_tests.support.networks import BATCH, FLOATS, Run, Subject, batched, constant, distinct, subjects
from proofs_tests.support.profiles import fewer, half
from proofs_tests.support.reference import fields
from shiftjax.testing import injective

SMALL = {"largest_period": 4, "pixels": {1: 200, 2: 40, 3: 16}}


def surrounded(subject: Subject, pixels: list[tuple[int, ...]]) -> list[np.ndarray]:
    """For each pixel a random image with one patch, the same in all images, where the output at that pixel reads."""
    size, period, rng = subject.size(), subject.net.period, subject.rng
    spans = [(phase, fields(subject.net, phase)) for phase in product(*map(range, period))]
    before = [max(phase[k] - span[k][0] for phase, span in spans) for k in range(len(size))]
    after = [max(span[k][1] - phase[k] for phase, span in spans) for k in range(len(size))]
    patch = subject.image([b + a + 1 for b, a in zip(before, after, strict=True)], rng=rng)
    images = []
    for pixel in pixels:
        image = subject.image(size, rng=rng)
        # The patch serves every phase, so it may reach beyond what this one reads, and beyond the image.
        ends = [(i - b, i + a + 1, n) for i, b, a, n in zip(pixel, before, after, size, strict=True)]
        inside = tuple(slice(max(0, lo), min(n, hi)) for lo, hi, n in ends)
        part = tuple(slice(max(0, -lo), min(n, hi) - lo) for lo, hi, n in ends)
        image[(slice(1), *inside)] = patch[(slice(1), *part)]
        images.append(image)
    return images


def outputs(run: Run, subject: Subject, pixels: list[tuple[int, ...]]) -> np.ndarray:
    """What the patch gives at each of the pixels."""
    whole = batched(run, surrounded(subject, pixels))
    return np.stack([y[(0, *pixel)] for y, pixel in zip(whole, pixels, strict=True)])


def check(run: Run, subject: Subject, pixels: list[tuple[int, ...]]) -> None:
    """The patch gives the same at all of the pixels."""
    at_pixels = outputs(run, subject, pixels)
    assert (at_pixels == at_pixels[0]).all(), f"the same surroundings give different outputs at {pixels}"


@half
@given(st.data())
def test_pixels_of_one_phase_share_an_operator(data):
    subject = data.draw(subjects())
    period = subject.net.period
    phase = tuple(data.draw(st.integers(0, p - 1)) for p in period)
    turns = list(product(range(2), repeat=len(period)))
    pixels = [tuple(r + m * p for r, m, p in zip(phase, turn, period, strict=True)) for turn in turns]
    record.examine(subject.net, len(pixels))
    check(subject, subject, pixels)


@half
@given(subjects(activation=injective, upsamples=("learned",), **SMALL))
def test_there_are_as_many_operators_as_phases(subject):
    period = subject.net.period
    if constant(subject(subject.image(subject.size(), batch=BATCH))):
        record.discard()
    pixels = list(product(*map(range, period)))
    at_pixels = outputs(subject, subject, pixels)
    record.examine(subject.net, len(pixels))
    assert distinct(at_pixels) == np.prod(period)
    for stride in (s for s in range(1, period[0] + 1) if period[0] % s == 0):
        strided = [u[0] % stride == 0 for u in pixels]  # what `output[:, ::stride]` keeps
        assert distinct(at_pixels[strided]) == sum(strided) == np.prod(period) // stride


@fewer
@given(subjects(activation=injective, upsamples=("learned",), levels=(1, 4), pooled=True))
def test_control_pixels_of_two_phases_do_not(subject):
    first = tuple(0 for _ in subject.net.period)
    with record.rejected(subject.net):
        check(subject, subject, [first, tuple(p - 1 for p in subject.net.period)])


def test_in_float32():
    for subject in FLOATS:
        pixels = [tuple(m * p + 1 for p in subject.net.period) for m in range(2)]
        one, other = outputs(subject, subject, pixels)
        record.rounding(one, other, bound=64)
