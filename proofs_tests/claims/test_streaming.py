"""Computed step by step along one axis, with nothing computed twice, a network gives the whole image's output, exactly.

Hypotheses: the network is certified; every layer keeps the last pixels that its next window reads, a skip connection
waits until the decoder has come as far, and a step is whole periods of everything on the way. Before the first step
lies nothing: outputs that would read there are not exact, and are not delivered.
Idea: a layer of stride a is an endless row of pixels, of which step t computes those from `t c + lead` up to
`(t + 1) c + lead`, with c = step / a. It reads pixels of steps up to t if `lead` is small enough, and steps are alike
since c windows further along every layer is c windows further along. A network that pads its layers meets the image's
border itself: a step puts what the network puts there wherever a layer reads beyond its ends.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.support import record
from proofs_tests.support.networks import FLOATS, Subject, subjects
from proofs_tests.support.profiles import examples
from proofs_tests.support.streamed import an_end_off_by_a_step, compare, compare_up_to_the_ends, late
from shiftjax.testing import injective
from shiftjax.tiling import PADS

SMALL = {"pixels": {1: 60, 2: 24, 3: 14}, "largest_period": 6}
SKIPPED = {
    **SMALL,
    "ndims": (1, 2),
    "levels": (1, 2),
    "pooled": True,
    "activation": injective,
    "upsamples": ("learned",),
}


def certified(subject: Subject) -> tuple[Partial, sj.Certificate]:
    """The network as a function, and its certificate where it has a period of output."""
    fn = Partial(subject.net.apply, subject.variables)
    return fn, sj.certify(fn, jax.ShapeDtypeStruct((1, *subject.size(), subject.channels), subject.dtype))


def by_the_library(subject: Subject, axis: int, periods: int, pad: str | None) -> tuple[np.ndarray, np.ndarray]:
    """The result of `predict_tiled` along strips, and the output in one piece that it promises to equal."""
    fn = Partial(subject.net.apply, subject.variables)
    image = subject.image(subject.size(3))
    tile = [p * periods for p in subject.net.period]
    plan = sj.plan_tiles(fn, image.shape, tile=tile, pad=pad, dtype=image.dtype, stream=axis)
    assert plan.equals_whole, plan.why
    padded = image if pad is None else np.pad(image, plan.pad_width, mode=pad)  # type: ignore[call-overload]
    return sj.predict_tiled(fn, image, plan), subject(padded)[plan.whole_crop]


@settings(max_examples=max(2, examples() // 4))
@given(st.data())
def test_a_stream_gives_the_whole(data):
    subject = data.draw(subjects(**SMALL))
    axis, periods = data.draw(st.integers(0, subject.net.ndim - 1)), data.draw(st.integers(1, 3))
    record.examine(subject.net, 1)
    fn, certificate = certified(subject)
    assert not compare(fn, certificate, axis, periods, subject.rng), "nothing was compared"


@settings(max_examples=max(2, examples() // 8))
@given(st.data())
def test_the_library_streams(data):
    subject = data.draw(subjects(**{**SMALL, "ndims": (1, 2)}))
    axis, periods = data.draw(st.integers(0, subject.net.ndim - 1)), data.draw(st.integers(1, 2))
    record.examine(subject.net, 1)
    streamed, whole = by_the_library(subject, axis, periods, data.draw(st.sampled_from((*PADS, None))))
    assert np.array_equal(streamed, whole)


@settings(max_examples=max(2, examples() // 8))
@given(st.data())
def test_control_a_delay_off_by_one(data):
    subject = data.draw(subjects(**SKIPPED))
    axis = data.draw(st.sampled_from([k for k, p in enumerate(subject.net.period) if p > 1]))
    fn, certificate = certified(subject)
    with record.rejected(subject.net):
        assert not compare(fn, certificate, axis, 1, subject.rng, change=late)


def padded_inside(subject: Subject) -> tuple[Partial, sj.Certificate]:
    """The network with padded layers, and its certificate at a size large enough for both ends."""
    net = subject.net.clone(padding="SAME")
    size = [p * max(2, -(-40 // p)) if net.ndim == 1 else p * max(2, -(-16 // p)) for p in net.period]
    fn = Partial(net.apply, subject.variables)
    return fn, sj.certify(fn, jax.ShapeDtypeStruct((1, *size, subject.channels), subject.dtype))


@settings(max_examples=max(2, examples() // 8))
@given(st.data())
def test_up_to_the_border_of_a_network_that_pads(data):
    subject = data.draw(subjects(**{**SMALL, "ndims": (1, 2)}))
    axis = data.draw(st.integers(0, subject.net.ndim - 1))
    record.examine(subject.net, 1)
    assert not compare_up_to_the_ends(*padded_inside(subject), axis, data.draw(st.integers(1, 3)), subject.rng)


@settings(max_examples=max(2, examples() // 8))
@given(st.integers(0, 2**16))
def test_control_an_end_off_by_a_step(seed):
    net = sj.UNet(2, ndim=1, features=2, factors=(2,), convs=1, activation=injective, param_dtype=jnp.int32)
    subject = Subject(net, seed=seed)
    with record.rejected(subject.net):
        assert not compare_up_to_the_ends(*padded_inside(subject), 0, 1, subject.rng, change=an_end_off_by_a_step)


def test_in_float32():
    for subject in FLOATS[1:]:
        record.rounding(*by_the_library(subject, subject.net.ndim - 1, 1, "reflect"), bound=16)
