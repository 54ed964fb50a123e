"""With some kernel above 1, zero padding makes output outside the exact window depend on where a tile is cut.

Hypotheses: generic weights. So stitching differs from the whole image. In the exact window a same-padded net equals a
valid twin with the same weights, whose pools are aligned to its grid and whose skips are cropped by coordinate.
Source: Rumberger et al., ICCV 2021; the twin is ours.
Idea: zeros at the border of a tile are not what the image has there, and every convolution carries them inwards. Where
none arrive nothing was padded.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given

from proofs_tests.support import record as ledger
from proofs_tests.support.exact import Subject, cut
from proofs_tests.support.profiles import fewer, half
from proofs_tests.support.reference import exact_window
from proofs_tests.support.subjects import FLOATS, subjects
from proofs_tests.support.tiles import IMAGES, Cut, check_differs
from shiftjax.nets._geometry import AxisGeometry
from shiftjax.testing import injective

SMALL = {"pixels": {1: 160, 2: 40, 3: 18}, "largest_period": 16}
PADDED = {"paddings": ("SAME",), "activation": injective, **SMALL}


def in_tiles(subject: Subject) -> Cut:
    """Two tiles per axis, of two periods or a few pixels at least, the output kept in full."""
    kept = tuple(p * -(-max(2 * p, 6) // p) for p in subject.net.period)
    return Cut(subject, kept, (0,) * len(kept), tuple((0, k) for k in kept))


def alignment(axis: AxisGeometry) -> tuple[int, int]:
    """Of a valid axis: where its input may begin in the same-padded one's, and where its first output then lies."""
    begin, stride = 0, 1
    for factor in axis.factors:
        begin -= axis.encoder_left * stride
        stride *= factor
    begin %= axis.period
    lost = axis.encoder_left + (axis.skip_start(0) + axis.decoder_left if axis.factors else 0)
    return begin, begin + lost + axis.head // 2


def beside_twin(valid: Subject, *, off: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The outputs of the same-padded net and of its valid twin, where both are in the exact window."""
    begin, place = zip(*map(alignment, valid.net.geometry), strict=True)
    taken = valid.size()
    size = tuple(p * -(-(n + p) // p) for n, p in zip(taken, valid.net.period, strict=True))
    padded = Subject(valid.net.clone(padding="SAME"), valid.channels, valid.seed)
    image = valid.image(size)
    ours, theirs = padded(image)[0], valid(cut(image, [b + off for b in begin], taken))[0]
    window = exact_window(padded.net, size)
    box = [(max(a, at), min(b, at + n)) for (a, b), at, n in zip(window, place, theirs.shape, strict=False)]
    assert all(a < b for a, b in box), "the exact window is empty"
    return (
        ours[tuple(slice(a, b) for a, b in box)],
        theirs[tuple(slice(a - at, b - at) for (a, b), at in zip(box, place, strict=True))],
    )


def check_twin(valid: Subject, *, off: int = 0) -> None:
    """Both are equal."""
    ours, theirs = beside_twin(valid, off=off)
    assert np.array_equal(ours, theirs), "the valid twin differs in the exact window"


@half
@given(subjects(**PADDED, kernels=(2, 5)))
def test_tiles_differ_from_the_whole(subject):
    ledger.examine(subject.net, IMAGES)
    check_differs(subject, in_tiles(subject))


@half
@given(subjects(activation=injective, **SMALL))
def test_in_the_exact_window_a_valid_twin_agrees(subject):
    ledger.examine(subject.net, 1)
    check_twin(subject)


@fewer
@given(subjects(**PADDED, kernels=(1, 1)))
def test_control_kernels_of_one_pixel_leak_nothing(subject):
    alone = Subject(subject.net.clone(head_kernel_size=1), subject.channels, subject.seed)
    with ledger.rejected(alone.net):
        check_differs(alone, in_tiles(alone))


@fewer
@given(subjects(activation=injective, levels=(1, 3), pooled=True, **SMALL))
def test_control_a_twin_cut_elsewhere(subject):
    with ledger.rejected(subject.net):
        check_twin(subject, off=1)


def test_in_float32():
    for subject in FLOATS:
        ledger.rounding(*beside_twin(subject), bound=16)
