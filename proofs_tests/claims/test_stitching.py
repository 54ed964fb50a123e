"""Tiles cropped to whole periods, with origins at one phase, stitch to the output of the whole image, exactly.

Hypotheses: as for periodic-equivariance, with skip crops that do not depend on the size of the input; every tile
cropped to n p output pixels, its origin at phase 0 of the whole image. The crop may begin anywhere, at the same output
pixel of every tile.
Source: Rumberger et al., ICCV 2021.
Idea: a tile is the image shifted by its origin, which is whole periods, so its output is the image's output shifted.
"""

from __future__ import annotations

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.support import record
from proofs_tests.support.networks import FLOATS, Subject, subjects
from proofs_tests.support.profiles import fewer
from proofs_tests.support.tiles import IMAGES, check, irregular_cuts, regular, regular_cuts
from shiftjax.testing import injective
from shiftjax.testing.strategies import Tiling

SMALL = {"pixels": {1: 160, 2: 32, 3: 14}, "largest_period": 16}


@given(st.data())
def test_tiles_of_whole_periods_stitch(data):
    subject = data.draw(subjects(**SMALL))
    case = data.draw(regular_cuts(subject))
    record.examine(subject.net, IMAGES)
    check(subject, case)


def by_the_library(subject: Subject, space: tuple[int, ...], tile: int) -> tuple[np.ndarray, np.ndarray]:
    """The result of `predict_tiled`, and the output of the padded image that it promises to equal."""
    fn = Partial(subject.net.apply, subject.variables)
    image = subject.image(space)
    plan = sj.plan_tiles(fn, image.shape, tile=tile, pad="edge", dtype=image.dtype)
    assert plan.legal
    assert plan.equals_whole
    padded = np.pad(image, plan.pad_width, mode="edge")
    return sj.predict_tiled(fn, image, plan), subject(padded)[plan.whole_crop]


@fewer
@given(subjects(ndims=(1, 2), pixels={1: 120, 2: 30}, largest_period=16), st.integers(0, 12))
def test_the_library_stitches(subject, extra):
    tile = max(subject.size()) + extra
    space = tuple(tile + p + 1 for p in subject.net.period)
    record.examine(subject.net, 1)
    stitched, whole = by_the_library(subject, space, tile)
    assert np.array_equal(stitched, whole)


@fewer
@given(st.data())
def test_control_a_stride_off_the_period(data):
    subject = data.draw(subjects(activation=injective, levels=(1, 4), pooled=True, **SMALL))
    case = data.draw(irregular_cuts(subject))
    with record.rejected(subject.net):
        check(subject, case)


@fewer
@given(st.data())
def test_control_a_net_that_knows_how_large_its_tile_is(data):
    subject = data.draw(subjects(**SMALL))
    case = data.draw(regular_cuts(subject))
    with record.rejected(subject.net):
        check(lambda images: subject(images) + np.int32(sum(images.shape[1:-1])), case)


def test_in_float32():
    """Convolutions of a tile and of a whole image may add up in another order."""
    for subject in FLOATS:
        ndim = subject.net.ndim
        case = regular(subject, Tiling((2,) * ndim, (3,) * ndim, (1,) * ndim))
        images = case.images()
        record.rounding(case.stitched(subject, images), case.whole(subject, images), bound=16)
    stitched, whole = by_the_library(FLOATS[2], (21, 18), 8)
    assert jax.dtypes.result_type(stitched) == np.float32
    record.rounding(stitched, whole, bound=16)
