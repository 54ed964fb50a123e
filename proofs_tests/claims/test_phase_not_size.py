"""Stitching needs origins at one phase: a last tile pushed inward breaks it, unless pushed by whole periods.

Hypotheses: as for stitching; that every other push breaks it needs generic weights. If all origins have the phase c,
tiles stitch to the output of the image cut at c, which for c other than 0 is not the output of the whole image.
Source: ours.
Idea: between any two tiles there must be whole periods. Whether tiles overlap, and where the first one begins, does not
matter. So where the last tile reaches beyond the image, pad the image instead of pushing the tile.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record
from proofs_tests.support.networks import FLOATS, Subject, cut, subjects
from proofs_tests.support.profiles import fewer, half
from proofs_tests.support.tiles import IMAGES, Cut, check, check_differs
from shiftjax.testing import injective

SMALL = {"pixels": {1: 160, 2: 32, 3: 14}, "largest_period": 16}
POOLED = {**SMALL, "activation": injective, "levels": (1, 4), "pooled": True}


def pushed(subject: Subject, axis: int, push: int) -> Cut:
    """Three tiles of two periods along one axis, the last of them pushed inward."""
    crop = tuple(2 * p if k == axis else p for k, p in enumerate(subject.net.period))
    t = crop[axis]
    origins = tuple((0, t, 2 * t - push) if k == axis else (0,) for k in range(len(crop)))
    return Cut(subject, crop, (0,) * len(crop), origins)


def moved(case: Cut, phase: tuple[int, ...]) -> Cut:
    """The same tiles, all at this phase."""
    origins = tuple(tuple(o + c for o in along) for along, c in zip(case.origins, phase, strict=True))
    return Cut(case.subject, case.crop, case.start, origins)


@half
@given(st.data())
def test_a_push_by_whole_periods_is_free(data):
    subject = data.draw(subjects(**SMALL))
    axis = data.draw(st.integers(0, subject.net.ndim - 1))
    case = pushed(subject, axis, data.draw(st.integers(0, 1)) * subject.net.period[axis])
    record.examine(subject.net, IMAGES)
    check(subject, case)


@half
@given(st.data())
def test_any_other_push_breaks_it(data):
    subject = data.draw(subjects(**POOLED))
    axis = data.draw(st.sampled_from([k for k, p in enumerate(subject.net.period) if p > 1]))
    case = pushed(subject, axis, data.draw(st.integers(1, subject.net.period[axis] - 1)))
    record.examine(subject.net, IMAGES)
    check_differs(subject, case)


@half
@given(st.data())
def test_a_common_phase_is_that_of_the_image_cut_there(data):
    subject = data.draw(subjects(**POOLED))
    phase = tuple(data.draw(st.integers(0, p - 1)) for p in subject.net.period)
    case = pushed(subject, 0, 0)
    at_phase = moved(case, phase)
    images = at_phase.images(extra=1)
    record.examine(subject.net, IMAGES)
    images_cut = cut(images, phase, case.images().shape[1:-1])
    stitched = at_phase.stitched(subject, images)
    assert np.array_equal(stitched, case.whole(subject, images_cut))
    if any(phase):
        assert not np.array_equal(stitched, at_phase.whole(subject, images))


@fewer
@given(st.data())
def test_control_a_push_off_the_period(data):
    subject = data.draw(subjects(**POOLED))
    axis = data.draw(st.sampled_from([k for k, p in enumerate(subject.net.period) if p > 1]))
    with record.rejected(subject.net):
        check(subject, pushed(subject, axis, 1))


@fewer
@given(subjects(**SMALL))
def test_control_no_push(subject):
    with record.rejected(subject.net):
        check_differs(subject, pushed(subject, 0, 0))


def test_in_float32():
    for subject in FLOATS:
        case = pushed(subject, 0, subject.net.period[0])
        images = case.images()
        record.rounding(case.stitched(subject, images), case.whole(subject, images), bound=16)
