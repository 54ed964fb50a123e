"""What matters is the phase of each tile's origin: a last tile pushed inward breaks stitching, but by a multiple of p.

Hypotheses: as for stitching; that other pushes break it needs generic weights. A common phase c other than 0 gives the
output of the image cut at c, not that of the whole image.
Source: ours.
Idea: stitching needs every tile moved by whole periods; whether tiles overlap, or where the first one begins, does not
matter. Pad the image instead of pushing the tile.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record as ledger
from proofs_tests.support.exact import Subject, cut
from proofs_tests.support.profiles import fewer, half
from proofs_tests.support.subjects import FLOATS, subjects
from proofs_tests.support.tiles import IMAGES, Cut, check, check_differs
from shiftjax.testing import injective

SMALL = {"pixels": {1: 160, 2: 32, 3: 14}, "largest_period": 16}
POOLED = {**SMALL, "activation": injective, "levels": (1, 4), "pooled": True}


def pushed(subject: Subject, axis: int, push: int) -> Cut:
    """Three tiles of two periods along one axis, the last of them pushed inward."""
    kept = tuple(2 * p if k == axis else p for k, p in enumerate(subject.net.period))
    t = kept[axis]
    origins = tuple((0, t, 2 * t - push) if k == axis else (0,) for k in range(len(kept)))
    return Cut(subject, kept, (0,) * len(kept), origins)


def moved(case: Cut, phase: tuple[int, ...]) -> Cut:
    """All tiles at another phase."""
    origins = tuple(tuple(o + c for o in some) for some, c in zip(case.origins, phase, strict=True))
    return Cut(case.subject, case.kept, case.start, origins)


@half
@given(st.data())
def test_a_push_by_whole_periods_is_free(data):
    subject = data.draw(subjects(**SMALL))
    axis = data.draw(st.integers(0, subject.net.ndim - 1))
    case = pushed(subject, axis, data.draw(st.integers(0, 1)) * subject.net.period[axis])
    ledger.examine(subject.net, IMAGES)
    check(subject, case)


@half
@given(st.data())
def test_any_other_push_breaks_it(data):
    subject = data.draw(subjects(**POOLED))
    axis = data.draw(st.sampled_from([k for k, p in enumerate(subject.net.period) if p > 1]))
    case = pushed(subject, axis, data.draw(st.integers(1, subject.net.period[axis] - 1)))
    ledger.examine(subject.net, IMAGES)
    check_differs(subject, case)


@half
@given(st.data())
def test_a_common_phase_is_that_of_the_image_cut_there(data):
    subject = data.draw(subjects(**POOLED))
    phase = tuple(data.draw(st.integers(0, p - 1)) for p in subject.net.period)
    case = pushed(subject, 0, 0)
    there = moved(case, phase)
    images = there.images(more=1)
    ledger.examine(subject.net, IMAGES)
    images_cut = cut(images, phase, case.images().shape[1:-1])
    stitched = there.stitched(subject, images)
    assert np.array_equal(stitched, case.whole(subject, images_cut))
    if any(phase):
        assert not np.array_equal(stitched, there.whole(subject, images))


@fewer
@given(st.data())
def test_control_a_push_off_the_period(data):
    subject = data.draw(subjects(**POOLED))
    axis = data.draw(st.sampled_from([k for k, p in enumerate(subject.net.period) if p > 1]))
    with ledger.rejected(subject.net):
        check(subject, pushed(subject, axis, 1))


@fewer
@given(subjects(**SMALL))
def test_control_no_push(subject):
    with ledger.rejected(subject.net):
        check_differs(subject, pushed(subject, 0, 0))


def test_in_float32():
    for subject in FLOATS:
        case = pushed(subject, 0, subject.net.period[0])
        images = case.images()
        ledger.rounding(case.stitched(subject, images), case.whole(subject, images), bound=16)
