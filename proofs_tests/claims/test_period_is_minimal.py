"""For generic weights N(T_s x) = T_s N(x) fails for every shift s that is no whole number of periods on each axis.

Hypotheses: as for periodic-equivariance; weights outside a set of measure zero and outside dead-ReLU sets, which an
injective activation avoids; an output that is not constant; a period above 1.
Source: ours.
Idea: a pooling window cuts the image at multiples of its factor. A shift by anything else regroups the pixels, so
another maximum wins somewhere, and generic weights hand the difference up to the output.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record as ledger
from proofs_tests.support.exact import Run, constant
from proofs_tests.support.profiles import fewer
from proofs_tests.support.subjects import FLOATS, Shifted, shifted, subjects
from shiftjax.testing import injective
from shiftjax.testing.strategies import off_period_shifts, shifts


def check(run: Run, case: Shifted) -> None:
    """No shift moves the output along."""
    here, *there = run(case.images())
    if constant(here):
        ledger.discard()
    for shift, y in zip(case.shifts, there, strict=False):
        a, b = case.overlap(here, y, shift)
        assert not np.array_equal(a, b), f"a shift by {shift} moves the output along"


@given(st.data())
def test_no_other_shift_moves_the_output_along(data):
    subject = data.draw(subjects(activation=injective, levels=(1, 4), pooled=True))
    case = data.draw(shifted(subject, off_period_shifts))
    ledger.examine(subject.net, len(case.shifts))
    check(subject, case)


@fewer
@given(st.data())
def test_control_whole_periods_do(data):
    subject = data.draw(subjects(activation=injective))
    case = data.draw(shifted(subject, shifts, most=1))
    with ledger.rejected(subject.net):
        check(subject, case)


@fewer
@given(st.data())
def test_relu_nets_now_and_then_have_a_smaller_period(data):
    subject = data.draw(subjects(levels=(1, 4), pooled=True))
    here, there, *_ = subject(data.draw(shifted(subject, off_period_shifts, most=1)).images())
    ledger.relu(not constant(here) and not np.array_equal(here, there))


def test_in_float32():
    """Half a period differs by far more than rounding, so no tolerance is needed to tell."""
    for subject in FLOATS:
        period = subject.net.period
        half = tuple(p // 2 for p in period)
        whole = Shifted(subject, (period, half))
        here, moved, halfway, *_ = subject(whole.images())
        a, b = whole.overlap(here, moved, period)
        ledger.rounding(a, b, bound=16)
        a, b = whole.overlap(here, halfway, half)
        assert np.abs(a - b).max() > 1000 * 16 * np.spacing(np.abs(a).max())
