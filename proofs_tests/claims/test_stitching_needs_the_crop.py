"""Tiles whose stride is not whole periods do not stitch to the output of the whole image.

Hypotheses: two or more tiles along an axis of such a stride, generic weights, an image that is not constant, a period
above 1.
Source: ours; the paper crops to n f^l pixels.
Idea: the second tile lies at another phase, so it is the image shifted by less than a period, and period-is-minimal
says that its output differs.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record
from proofs_tests.support.networks import FLOATS, constant, subjects
from proofs_tests.support.profiles import fewer
from proofs_tests.support.tiles import IMAGES, Cut, check_differs, irregular_cuts, regular_cuts
from shiftjax.testing import injective

SMALL = {"pixels": {1: 160, 2: 32, 3: 14}, "largest_period": 16, "levels": (1, 4), "pooled": True}


@given(st.data())
def test_other_strides_show_seams(data):
    subject = data.draw(subjects(activation=injective, **SMALL))
    case = data.draw(irregular_cuts(subject))
    if constant(subject(case.images())):
        record.discard()
    record.examine(subject.net, IMAGES)
    check_differs(subject, case)


@fewer
@given(st.data())
def test_control_whole_periods_do_not(data):
    subject = data.draw(subjects(activation=injective, **SMALL))
    case = data.draw(regular_cuts(subject))
    with record.rejected(subject.net):
        check_differs(subject, case)


@fewer
@given(st.data())
def test_control_a_constant_image_under_nearest_upsampling_does_not(data):
    subject = data.draw(subjects(activation=injective, upsamples=("nearest",), **SMALL))
    case = data.draw(irregular_cuts(subject))
    with record.rejected(subject.net):
        check_differs(lambda images: subject(0 * images + 7), case)


@fewer
@given(st.data())
def test_relu_nets_show_seams_now_and_then(data):
    subject = data.draw(subjects(**SMALL))
    case = data.draw(irregular_cuts(subject))
    images = case.images()
    record.relu(not np.array_equal(case.stitched(subject, images), case.whole(subject, images)))


def test_in_float32():
    """The first tile is the whole image's, up to rounding; the second one is far from it."""
    for subject in FLOATS:
        period = subject.net.period
        stride = tuple(p + 1 for p in period)
        case = Cut(subject, stride, (0,) * len(period), tuple((0, t) for t in stride))
        images = case.images()
        stitched, whole = case.stitched(subject, images), case.whole(subject, images)
        first = (slice(None), *map(slice, stride))
        record.rounding(stitched[first], whole[first], bound=16)
        assert np.abs(stitched - whole).max() > 1e-3 * np.abs(whole).max()
