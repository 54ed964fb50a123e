"""With zero padding, output outside the exact window depends on where the tile was cut, so tiles do not stitch.

The exact window is the output that no zero reaches. In it a same-padded network equals its valid twin: the network
without padding of the same weights, whose pooling windows begin at the same pixels.
Hypotheses: generic weights, some kernel above 1.
Source: Rumberger et al., ICCV 2021; the twin is ours.
Idea: the zeros around a tile are not what the image has there, and every convolution carries them further inwards.
Where none arrive, padding has changed nothing.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given

from proofs_tests.support import record
from proofs_tests.support.networks import FLOATS, Subject, compiled, cut, subjects
from proofs_tests.support.profiles import fewer, half
from proofs_tests.support.reference import exact_window
from proofs_tests.support.tiles import IMAGES, Cut, check_differs
from shiftjax._arithmetic import ceil_div
from shiftjax.nets._geometry import AxisGeometry
from shiftjax.testing import injective

SMALL = {"pixels": {1: 160, 2: 40, 3: 18}, "largest_period": 16}
PADDED = {"paddings": ("SAME",), "activation": injective, **SMALL}


def in_tiles(subject: Subject) -> Cut:
    """Two tiles per axis, of two periods or a few pixels at least, the whole output kept."""
    crop = tuple(p * ceil_div(max(2 * p, 6), p) for p in subject.net.period)
    return Cut(subject, crop, (0,) * len(crop), tuple((0, c) for c in crop))


def alignment(axis: AxisGeometry) -> tuple[int, int]:
    """Where in the same-padded image the valid twin's input may begin, and where its first output then lies."""
    begin, stride = 0, 1
    for factor in axis.factors:
        begin -= axis.encoder_left * stride
        stride *= factor
    begin %= axis.period
    lost = axis.encoder_left + (axis.skip_start(0) + axis.decoder_left if axis.factors else 0)
    return begin, begin + lost + axis.head // 2


def beside_twin(valid: Subject, *, off: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The outputs of the same-padded net and of its valid twin, where both are in the exact window."""
    begin, first = zip(*map(alignment, valid.net.geometry), strict=True)
    window = valid.size()
    size = tuple(p * ceil_div(n + p, p) for n, p in zip(window, valid.net.period, strict=True))
    padded = valid.net.clone(padding="SAME")  # of the same parameters
    image = valid.image(size)
    output, twin = (
        np.asarray(compiled(padded)(valid.variables, image))[0],
        valid(cut(image, [b + off for b in begin], window))[0],
    )
    exact = exact_window(padded, size)
    both = [(max(a, f), min(b, f + n)) for (a, b), f, n in zip(exact, first, twin.shape, strict=False)]
    assert all(a < b for a, b in both), "the exact window is empty"
    return (
        output[tuple(slice(a, b) for a, b in both)],
        twin[tuple(slice(a - f, b - f) for (a, b), f in zip(both, first, strict=True))],
    )


def check_twin(valid: Subject, *, off: int = 0) -> None:
    """Both are equal."""
    output, twin = beside_twin(valid, off=off)
    assert np.array_equal(output, twin), "the valid twin differs in the exact window"


@half
@given(subjects(**PADDED, kernels=(2, 5)))
def test_tiles_differ_from_the_whole(subject):
    record.examine(subject.net, IMAGES)
    check_differs(subject, in_tiles(subject))


@half
@given(subjects(activation=injective, **SMALL))
def test_in_the_exact_window_a_valid_twin_agrees(subject):
    record.examine(subject.net, 1)
    check_twin(subject)


@fewer
@given(subjects(**PADDED, kernels=(1, 1)))
def test_control_kernels_of_one_pixel_leak_nothing(subject):
    pointwise = Subject(subject.net.clone(head_kernel_size=1), subject.channels, subject.seed)
    with record.rejected(pointwise.net):
        check_differs(pointwise, in_tiles(pointwise))


@fewer
@given(subjects(activation=injective, levels=(1, 3), pooled=True, **SMALL))
def test_control_a_twin_cut_elsewhere(subject):
    with record.rejected(subject.net):
        check_twin(subject, off=1)


def test_in_float32():
    for subject in FLOATS:
        record.rounding(*beside_twin(subject), bound=16)
