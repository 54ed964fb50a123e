"""Tiles that touch the border of an image that is not padded give the network's own output, border included, exactly.

A part of an image that begins where the image begins gives its output before `stop`; one that ends where it ends,
from `start` on; an inner one in between. Tiles of one size whose origins are whole periods, the last one ending where
the image ends, so put the whole together. The exact window alone does not: beside it, padding once around the image is
not what padding in every layer does.
Hypotheses: image and tile differ by whole periods, and the network treats the ends of the image alike at both sizes.
Source: ours.
Idea: only what lies at the left end can spoil an output for an image that goes on to the left, and so on the right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.certifier.borders import FIRST, LAST, Place, place
from proofs_tests.support import record
from proofs_tests.support.networks import FLOATS, Subject, cut, subjects
from proofs_tests.support.profiles import examples, fewer
from shiftjax._arithmetic import ceil_div
from shiftjax.testing import injective

# In 3-D the CPU computes layers slab by slab, as many as a volume has slices for; proofs_tests/unit has that case.
SMALL = {"ndims": (1, 2), "pixels": {1: 60, 2: 20}, "largest_period": 4, "levels": (1, 3)}
PADDED = {"paddings": ("SAME",), "activation": injective, "kernels": (2, 5), **SMALL}
Places = Callable[[sj.certifier.AxisCertificate, sj.certifier.AxisCertificate], Place]


def sizes(subject: Subject) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of a part and of the whole image, in periods: some pixels of the one lie beyond its border windows."""
    fn, period = Partial(subject.net.apply, subject.variables), subject.net.period
    shape = (1, *(8 * p for p in period), subject.channels)
    reach = [max(a.start, a.out - a.stop) for a in sj.certify(fn, jax.ShapeDtypeStruct(shape, subject.dtype)).axes]
    small = tuple(p * (ceil_div(min(r, 4 * p), p) + 2) for r, p in zip(reach, period, strict=True))
    return small, tuple(n + 2 * p for n, p in zip(small, period, strict=True))


def check(subject: Subject, kinds: Sequence[str], *, wider: int = 0) -> None:
    """A part that lies so along each axis gives the image's own output in its windows."""
    fn = Partial(subject.net.apply, subject.variables)
    small, large = sizes(subject)
    image = subject.image(large)
    shapes = ((1, *size, subject.channels) for size in (small, large))
    part, whole = (sj.certify(fn, jax.ShapeDtypeStruct(shape, image.dtype)) for shape in shapes)
    assert part.same_map(whole, borders=True), "the ends are not treated alike"
    places = [place(kind, a, b, wider=wider) for kind, a, b in zip(kinds, part.axes, whole.axes, strict=True)]
    own = subject(cut(image, [p.origin for p in places], small))
    theirs = subject(image)
    ours = cut(own, [p.outputs[0] for p in places], [p.outputs[1] - p.outputs[0] for p in places])
    there = cut(theirs, [p.outputs[0] + p.shift for p in places], ours.shape[1:-1])
    assert np.array_equal(ours, there), f"a part that is {kinds} of the image differs from it in its windows"


def put_together(subject: Subject, pad: str | None) -> tuple[np.ndarray, np.ndarray]:
    """The image in tiles, and in one piece as it is."""
    fn = Partial(subject.net.apply, subject.variables)
    image = subject.image(sizes(subject)[1])
    plan = sj.plan_tiles(fn, image.shape, tile=subject.net.period, pad=pad, dtype=image.dtype)
    assert plan.equals_whole, plan.why
    return sj.predict_tiled(fn, image, plan), subject(image)


@fewer
@given(st.data())
def test_parts_at_the_border_give_the_image_its_own_output(data):
    subject = data.draw(subjects(**PADDED))
    kinds = [data.draw(st.sampled_from((FIRST, LAST, "inner"))) for _ in subject.net.period]
    record.examine(subject.net, 1)
    check(subject, kinds)


@settings(max_examples=max(2, examples() // 6))
@given(subjects(**PADDED))
def test_the_library_puts_the_whole_together(subject):
    record.examine(subject.net, 1)
    tiled, whole = put_together(subject, None)
    assert np.array_equal(tiled, whole)


@settings(max_examples=max(2, examples() // 12))
@given(subjects(**PADDED))
def test_control_the_exact_window_alone(subject):
    """It leaves the border out, and zeros around the image are another border."""
    with record.rejected(subject.net):
        tiled, whole = put_together(subject, "constant")
        assert np.array_equal(tiled, whole)


@settings(max_examples=max(2, examples() // 6))
@given(subjects(**{**PADDED, "kernels": (3, 5)}))
def test_control_windows_that_are_a_period_wider(subject):
    with record.rejected(subject.net):
        for kind in (FIRST, LAST):
            check(subject, [kind] * subject.net.ndim, wider=max(subject.net.period))


def test_in_float32():
    for subject in FLOATS[2:]:
        padded = Subject(subject.net.clone(padding="SAME"), subject.channels, subject.seed)
        record.rounding(*put_together(padded, None), bound=16)
