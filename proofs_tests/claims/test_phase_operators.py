"""N is prod p_k local operators; the one at output pixel i is chosen by the phase i mod p (at output stride a: p/a).

Hypotheses: as for periodic-equivariance. That there are so many different ones needs generic weights and learned
upsampling (nearest upsampling gives neighbours the same value unless the skips tell them apart).
Source: Rumberger et al., ICCV 2021; the counts ours.
Idea: cut the image elsewhere and the same surroundings come to lie at another output pixel. If the two pixels differ by
whole periods, periodic equivariance makes their outputs equal; what lies outside the receptive field has no say.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record as ledger
from proofs_tests.support.exact import BATCH, Run, Subject, batched, constant, distinct
from proofs_tests.support.profiles import fewer, half
from proofs_tests.support.reference import fields
from proofs_tests.support.subjects import FLOATS, subjects
from shiftjax.testing import injective

SMALL = {"largest_period": 4, "pixels": {1: 200, 2: 40, 3: 16}}


def surrounded(subject: Subject, pixels: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Images, random but for one patch: for each pixel, one whose output there looks at the patch."""
    size, period, rng = subject.size(), subject.net.period, subject.rng
    every = [fields(subject.net, phase) for phase in product(*map(range, period))]
    before = [
        max(phase[k] - f[k][0] for phase, f in zip(product(*map(range, period)), every, strict=True))
        for k in range(len(size))
    ]
    after = [
        max(f[k][1] - phase[k] for phase, f in zip(product(*map(range, period)), every, strict=True))
        for k in range(len(size))
    ]
    patch = subject.image([b + a + 1 for b, a in zip(before, after, strict=True)], rng=rng)
    images = []
    for pixel in pixels:
        image = subject.image(size, rng=rng)
        # The patch may reach beyond what this phase reads, and beyond the image.
        spans = [(i - b, i + a + 1, n) for i, b, a, n in zip(pixel, before, after, size, strict=True)]
        place = tuple(slice(max(0, lo), min(n, hi)) for lo, hi, n in spans)
        part = tuple(slice(max(0, -lo), min(n, hi) - lo) for lo, hi, n in spans)
        image[(0, *place)] = patch[(0, *part)]
        images.append(image)
    return images


def outputs(run: Run, subject: Subject, pixels: list[tuple[int, ...]]) -> np.ndarray:
    """What the patch gives at each of the pixels."""
    found = batched(run, surrounded(subject, pixels))
    return np.stack([y[(0, *pixel)] for y, pixel in zip(found, pixels, strict=True)])


def check(run: Run, subject: Subject, pixels: list[tuple[int, ...]]) -> None:
    """The patch gives the same at all of the pixels."""
    found = outputs(run, subject, pixels)
    assert (found == found[0]).all(), f"the same surroundings give different outputs at {pixels}"


@half
@given(st.data())
def test_pixels_of_one_phase_share_an_operator(data):
    subject = data.draw(subjects())
    period = subject.net.period
    phase = tuple(data.draw(st.integers(0, p - 1)) for p in period)
    turns = list(product(range(2), repeat=len(period)))
    pixels = [tuple(r + m * p for r, m, p in zip(phase, turn, period, strict=True)) for turn in turns]
    ledger.examine(subject.net, len(pixels))
    check(subject, subject, pixels)


@half
@given(subjects(activation=injective, upsamples=("learned",), **SMALL))
def test_there_are_as_many_operators_as_phases(subject):
    period = subject.net.period
    if constant(subject(subject.image(subject.size(), batch=BATCH))):
        ledger.discard()
    pixels = list(product(*map(range, period)))
    found = outputs(subject, subject, pixels)
    ledger.examine(subject.net, len(pixels))
    assert distinct(found) == np.prod(period)
    for stride in (s for s in range(1, period[0] + 1) if period[0] % s == 0):
        kept = [u for u in pixels if u[0] % stride == 0]  # what `output[:, ::stride]` keeps
        assert distinct(found[[u[0] % stride == 0 for u in pixels]]) == len(kept) == np.prod(period) // stride


@fewer
@given(subjects(activation=injective, upsamples=("learned",), levels=(1, 4), pooled=True))
def test_control_pixels_of_two_phases_do_not(subject):
    first = tuple(0 for _ in subject.net.period)
    with ledger.rejected(subject.net):
        check(subject, subject, [first, tuple(p - 1 for p in subject.net.period)])


def test_in_float32():
    for subject in FLOATS:
        pixels = [tuple(m * p + 1 for p in subject.net.period) for m in range(2)]
        found = outputs(subject, subject, pixels)
        ledger.rounding(found[0], found[1], bound=64)
