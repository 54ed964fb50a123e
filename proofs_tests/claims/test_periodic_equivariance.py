"""A valid encoder-decoder N obeys N(T_s x) = T_s N(x) on exact outputs for every shift s by whole periods.

Hypotheses: convolutions without padding at stride 1, pooling and upsampling by the same factors, skips cropped by
coordinate; any weights, ReLU. The period is the product of the factors, per axis.
Source: Rumberger et al., ICCV 2021.
Idea: a convolution commutes with every shift, pooling by f turns a shift by f m into one by m, and upsampling turns it
back; so a shift by the product of the factors passes all levels, and both arms of every skip move together.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record as ledger
from proofs_tests.support.exact import Run, placed
from proofs_tests.support.profiles import fewer
from proofs_tests.support.subjects import FLOATS, Shifted, shifted, subjects
from shiftjax.testing import injective
from shiftjax.testing.strategies import off_period_shifts, shifts


def compare(run: Run, case: Shifted) -> list[tuple[np.ndarray, np.ndarray]]:
    """For every shift, the outputs of the image and of the shifted image where both show the same pixels."""
    here, *there = run(case.images())
    return [case.overlap(here, y, s) for y, s in zip(there, case.shifts, strict=False)]


def check(run: Run, case: Shifted) -> None:
    """Every shift moves the output along."""
    for shift, (a, b) in zip(case.shifts, compare(run, case), strict=True):
        assert np.array_equal(a, b), f"a shift by {shift} changes the output"


@given(st.data())
def test_whole_periods_move_the_output_along(data):
    subject = data.draw(subjects())
    case = data.draw(shifted(subject, shifts))
    ledger.examine(subject.net, len(case.shifts))
    check(subject, case)


@fewer
@given(st.data())
def test_control_other_shifts_do_not(data):
    subject = data.draw(subjects(activation=injective, levels=(1, 4), pooled=True))
    case = data.draw(shifted(subject, off_period_shifts, most=1))
    with ledger.rejected(subject.net):
        check(subject, case)


@fewer
@given(st.data())
def test_control_a_net_that_knows_where_it_is(data):
    subject = data.draw(subjects(activation=injective))
    case = Shifted(subject, (subject.net.period,))

    with ledger.rejected(subject.net):
        check(lambda images: subject(placed(images)), case)


def test_in_float32():
    for subject in FLOATS:
        period = subject.net.period
        case = Shifted(subject, (period, tuple(-p for p in period)))
        for a, b in compare(subject, case):
            ledger.rounding(a, b, bound=16)
