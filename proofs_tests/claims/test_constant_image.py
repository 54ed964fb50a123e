"""A constant image gets 1 embedding (valid, nearest), f^{dl} (valid, learned), and by its border more (same padding).

Hypotheses: generic weights. In full: valid and nearest 1; valid and learned prod p_k; same and nearest 1 in the exact
window and others outside; same and learned prod p_k in the exact window if that is at least p wide along every axis.
With same padding some kernel is above 1.
Source: the experiments of Rumberger et al., ICCV 2021.
Idea: convolution and pooling keep a constant image constant, nearest upsampling too; learned upsampling writes its
phase. Zeros at the border are no part of the constant.
"""

from __future__ import annotations

import flax.linen as nn
import numpy as np
from hypothesis import given

from proofs_tests.support import record as ledger
from proofs_tests.support.exact import Run, Subject, distinct
from proofs_tests.support.profiles import fewer, half
from proofs_tests.support.reference import exact_window
from proofs_tests.support.subjects import FLOATS, subjects
from shiftjax.testing import injective
from shiftjax.testing.strategies import input_for

SMALL = {"activation": injective, "largest_period": 16, "pixels": {1: 200, 2: 40, 3: 16}, "periods": 1}
WIDE = 6  # output pixels, at least
VALUES = [-7, 1, 100]


def outputs(run: Run, subject: Subject) -> np.ndarray:
    """Of a few constant images."""
    size = input_for(subject.net, [max(p, WIDE) for p in subject.net.period])
    return run(np.stack([np.full((*size, subject.channels), value, np.int32) for value in VALUES]))


def check(run: Run, subject: Subject, wanted: int) -> None:
    """Every constant image gets so many embeddings."""
    for output in outputs(run, subject):
        assert distinct(output) == wanted, f"a constant image gets {distinct(output)} embeddings, not {wanted}"


@half
@given(subjects(**SMALL, upsamples=("nearest",)))
def test_valid_and_nearest_one(subject):
    ledger.examine(subject.net, len(VALUES))
    check(subject, subject, 1)


@half
@given(subjects(**SMALL, upsamples=("learned",)))
def test_valid_and_learned_one_per_phase(subject):
    ledger.examine(subject.net, len(VALUES))
    check(subject, subject, int(np.prod(subject.net.period)))


PADDED = {**SMALL, "paddings": ("SAME",), "kernels": (2, 5)}


WIDEST = {1: 160, 2: 48, 3: 20}


@half
@given(subjects(**PADDED, levels=(0, 2)))
def test_same_padding_changes_the_border_only(subject):
    net = subject.net
    size = tuple(WIDEST[net.ndim] // p * p for p in net.period)
    window = exact_window(net, size)
    output = subject(np.ones((1, *size, subject.channels), np.int32))[0]
    ledger.examine(net, 1)
    inside = output[tuple(slice(a, b) for a, b in window)]
    if min(inside.shape) > 0:
        one_each = [1] * net.ndim if net.upsample == "nearest" else net.period
        wanted = np.prod([min(p, n) for p, n in zip(one_each, inside.shape, strict=False)])
        assert distinct(inside) == wanted, f"{distinct(inside)} embeddings in the exact window {window}, not {wanted}"
    assert distinct(output) > distinct(inside)


@fewer
@given(subjects(**SMALL, upsamples=("learned",), levels=(1, 4), pooled=True))
def test_control_learned_upsampling_is_not_constant(subject):
    with ledger.rejected(subject.net):
        check(subject, subject, 1)


@fewer
@given(subjects(**PADDED, upsamples=("nearest",)))
def test_control_zero_padding_is_not_constant(subject):
    with ledger.rejected(subject.net):
        check(subject, subject, 1)


@fewer
@given(subjects(**{**SMALL, "activation": nn.relu}, upsamples=("learned",), levels=(1, 4), pooled=True))
def test_relu_nets_write_all_phases_now_and_then(subject):
    found = [distinct(output) for output in outputs(subject, subject)]
    ledger.relu(found == [np.prod(subject.net.period)] * len(found))


def test_in_float32():
    for subject in FLOATS:
        net = subject.net.clone(upsample="nearest")
        output = Subject(net)(np.ones((1, *subject.size(), 1), np.float32))[0]
        ledger.rounding(output, np.broadcast_to(output[(0,) * net.ndim], output.shape), bound=16)
