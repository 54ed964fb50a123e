"""A valid encoder-decoder N obeys N(T_s x) = T_s N(x) on exact outputs for every shift s by whole periods.

T_s shifts an image by s pixels per axis. The period is the product of the pooling factors, per axis.
Hypotheses: convolutions without padding at stride 1, pooling and upsampling by the same factors, skips cropped by
coordinate; any weights; ReLU, or any other function of each pixel.
Source: Rumberger et al., ICCV 2021.
Idea: a convolution commutes with every shift. Pooling by f turns a shift by f m pixels into one by m, and upsampling
turns it back. So a shift by the product of the factors passes through all levels, and both inputs of every skip
connection move together.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record
from proofs_tests.support.networks import FLOATS, Run, Shifted, numbered, shifted, subjects
from proofs_tests.support.profiles import fewer
from shiftjax.testing import injective
from shiftjax.testing.strategies import off_period_shifts, shifts


def compare(run: Run, case: Shifted) -> list[tuple[np.ndarray, np.ndarray]]:
    """For every shift, the outputs of the image and of the shifted image where both show the same pixels."""
    still, *moved = run(case.images())
    return [case.overlap(still, y, s) for y, s in zip(moved, case.shifts, strict=False)]


def check(run: Run, case: Shifted) -> None:
    """Every shift of the image shifts the output by as much."""
    for shift, (a, b) in zip(case.shifts, compare(run, case), strict=True):
        assert np.array_equal(a, b), f"a shift by {shift} does not shift the output by as much"


@given(st.data())
def test_whole_periods_shift_the_output(data):
    subject = data.draw(subjects())
    case = data.draw(shifted(subject, shifts))
    record.examine(subject.net, len(case.shifts))
    check(subject, case)


@fewer
@given(st.data())
def test_control_other_shifts_do_not(data):
    subject = data.draw(subjects(activation=injective, levels=(1, 4), pooled=True))
    case = data.draw(shifted(subject, off_period_shifts, most=1))
    with record.rejected(subject.net):
        check(subject, case)


@fewer
@given(st.data())
def test_control_a_net_that_knows_where_it_is(data):
    subject = data.draw(subjects(activation=injective))
    case = Shifted(subject, (subject.net.period,))
    with record.rejected(subject.net):
        check(lambda images: subject(numbered(images)), case)


def test_in_float32():
    for subject in FLOATS:
        period = subject.net.period
        case = Shifted(subject, (period, tuple(-p for p in period)))
        for a, b in compare(subject, case):
            record.rounding(a, b, bound=16)
