"""For generic weights N(T_s x) = T_s N(x) fails for every shift s that is not whole periods along each axis.

Hypotheses: as for periodic-equivariance; generic weights, which means all but a set of measure zero; an injective
activation, since a network of dead ReLUs may have a smaller period; an output that is not constant; a period above 1.
Source: ours.
Idea: pooling windows begin at multiples of their factor. A shift by anything else puts other pixels together in a
window, so that somewhere another one is the maximum, and generic weights carry the difference to the output.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record
from proofs_tests.support.networks import FLOATS, Run, Shifted, constant, shifted, subjects
from proofs_tests.support.profiles import fewer
from shiftjax.testing import injective
from shiftjax.testing.strategies import off_period_shifts, shifts


def check(run: Run, case: Shifted) -> None:
    """No shift of the image shifts the output by as much."""
    still, *moved = run(case.images())
    if constant(still):
        record.discard()
    for shift, y in zip(case.shifts, moved, strict=False):
        a, b = case.overlap(still, y, shift)
        assert not np.array_equal(a, b), f"a shift by {shift} shifts the output by as much"


@given(st.data())
def test_no_other_shift_shifts_the_output(data):
    subject = data.draw(subjects(activation=injective, levels=(1, 4), pooled=True))
    case = data.draw(shifted(subject, off_period_shifts))
    record.examine(subject.net, len(case.shifts))
    check(subject, case)


@fewer
@given(st.data())
def test_control_whole_periods_do(data):
    subject = data.draw(subjects(activation=injective))
    case = data.draw(shifted(subject, shifts, most=1))
    with record.rejected(subject.net):
        check(subject, case)


@fewer
@given(st.data())
def test_relu_nets_now_and_then_have_a_smaller_period(data):
    subject = data.draw(subjects(levels=(1, 4), pooled=True))
    still, moved, *_ = subject(data.draw(shifted(subject, off_period_shifts, most=1)).images())
    record.relu(not constant(still) and not np.array_equal(still, moved))


def test_in_float32():
    """Half a period differs by far more than rounding, so no tolerance is needed to tell."""
    for subject in FLOATS:
        period = subject.net.period
        half = tuple(p // 2 for p in period)
        case = Shifted(subject, (period, half))
        still, whole, halfway, *_ = subject(case.images())
        a, b = case.overlap(still, whole, period)
        record.rounding(a, b, bound=16)
        a, b = case.overlap(still, halfway, half)
        assert np.abs(a - b).max() > 1000 * 16 * np.spacing(np.abs(a).max())
