"""A constant image gets 1 embedding with nearest upsampling, prod p_k with learned, more at a zero-padded border.

Without padding these are the numbers of the whole output. With same padding they are those of the exact window (for
learned upsampling if the window is at least p wide along every axis), and outside it there are others.
Hypotheses: generic weights; with same padding some kernel above 1.
Source: the experiments of Rumberger et al., ICCV 2021.
Idea: convolution, pooling and nearest upsampling keep a constant image constant; learned upsampling gives each phase
weights of its own. The zeros around the image are not the constant.
"""

from __future__ import annotations

import flax.linen as nn
import numpy as np
from hypothesis import given

from proofs_tests.support import record
from proofs_tests.support.networks import FLOATS, Run, Subject, distinct, subjects
from proofs_tests.support.profiles import fewer, half
from proofs_tests.support.reference import exact_window
from shiftjax.testing import injective
from shiftjax.testing.strategies import input_for

SMALL = {"activation": injective, "largest_period": 16, "pixels": {1: 200, 2: 40, 3: 16}, "periods": 1}
WIDE = 6  # output pixels, at least
VALUES = [-7, 1, 100]


def outputs(run: Run, subject: Subject) -> np.ndarray:
    """Of a few constant images."""
    size = input_for(subject.net, [max(p, WIDE) for p in subject.net.period])
    return run(np.stack([np.full((*size, subject.channels), value, np.int32) for value in VALUES]))


def check(run: Run, subject: Subject, expected: int) -> None:
    """Every constant image gets so many embeddings."""
    for output in outputs(run, subject):
        assert distinct(output) == expected, f"a constant image gets {distinct(output)} embeddings, not {expected}"


@half
@given(subjects(**SMALL, upsamples=("nearest",)))
def test_valid_and_nearest_one(subject):
    record.examine(subject.net, len(VALUES))
    check(subject, subject, 1)


@half
@given(subjects(**SMALL, upsamples=("learned",)))
def test_valid_and_learned_one_per_phase(subject):
    record.examine(subject.net, len(VALUES))
    check(subject, subject, int(np.prod(subject.net.period)))


PADDED = {**SMALL, "paddings": ("SAME",), "kernels": (2, 5)}
WIDEST = {1: 160, 2: 48, 3: 20}  # pixels per axis, at most


@half
@given(subjects(**PADDED, levels=(0, 2)))
def test_same_padding_changes_the_border_only(subject):
    net = subject.net
    size = tuple(WIDEST[net.ndim] // p * p for p in net.period)
    window = exact_window(net, size)
    output = subject(np.ones((1, *size, subject.channels), np.int32))[0]
    record.examine(net, 1)
    inside = output[tuple(slice(a, b) for a, b in window)]
    if all(a < b for a, b in window):
        one_each = [1] * net.ndim if net.upsample == "nearest" else net.period
        expected = np.prod([min(p, n) for p, n in zip(one_each, inside.shape, strict=False)])
        assert distinct(inside) == expected, f"{distinct(inside)} embeddings in the window {window}, not {expected}"
    assert distinct(output) > distinct(inside)


@fewer
@given(subjects(**SMALL, upsamples=("learned",), levels=(1, 4), pooled=True))
def test_control_learned_upsampling_is_not_constant(subject):
    with record.rejected(subject.net):
        check(subject, subject, 1)


@fewer
@given(subjects(**PADDED, upsamples=("nearest",)))
def test_control_zero_padding_is_not_constant(subject):
    with record.rejected(subject.net):
        check(subject, subject, 1)


@fewer
@given(subjects(**{**SMALL, "activation": nn.relu}, upsamples=("learned",), levels=(1, 4), pooled=True))
def test_relu_nets_write_all_phases_now_and_then(subject):
    record.relu(all(distinct(output) == np.prod(subject.net.period) for output in outputs(subject, subject)))


def test_in_float32():
    for subject in FLOATS:
        net = subject.net.clone(upsample="nearest")
        output = Subject(net)(np.ones((1, *subject.size(), 1), np.float32))[0]
        record.rounding(output, np.broadcast_to(output[(0,) * net.ndim], output.shape), bound=16)
