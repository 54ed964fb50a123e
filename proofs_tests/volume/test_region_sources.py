"""A volume of which a part may be read is a source for that part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import shiftjax as sj
from shiftjax.volume import open_source, predict_volume
from shiftjax.volume._storage.errors import VolumeError

IMAGE = np.random.default_rng(0).normal(size=(8, 24, 20)).astype(np.float32)
HALF = (slice(0, 8), slice(8, 16), slice(0, 20))
PLAN: Any = sj.plan_tiles(lambda image: image * 2, (1, *IMAGE.shape, 1), tile=8)


def double(image):
    """A network that acts on each pixel alone."""
    return image * 2


@pytest.fixture
def part(tmp_path):
    """A prediction of which the middle is finished, opened for it."""
    predict_volume(double, IMAGE, tmp_path / "first", PLAN, axes="zyx", region=HALF, progress=False)
    return open_source(tmp_path / "first", region=HALF)


def test_a_finished_part_is_predicted_again(part, tmp_path):
    for _ in range(2):  # the second call finds the same source
        made = predict_volume(double, part, tmp_path / "second", PLAN, region=HALF, progress=False)
    np.testing.assert_array_equal(made[(0, *HALF)], 4 * IMAGE[HALF])


def test_control_more_than_the_part_is_refused(part, tmp_path):
    with pytest.raises(VolumeError, match="opened for the region"):
        predict_volume(double, part, tmp_path / "second", PLAN, progress=False)


@pytest.mark.parametrize("region", [None, HALF, (slice(2, 5), slice(8, 9), slice(3, 20))])
@pytest.mark.parametrize("planes", [False, True])
def test_blocks_that_tell_volumes_apart_lie_where_it_may_be_read(planes, region):
    source = open_source(IMAGE, axes="zyx", planes=planes, region=region)
    blocks = source.sampled_blocks(40, 6)
    read: Any = np.zeros(IMAGE.shape, bool)
    for time, slices in blocks:
        source.at(time)(slices)  # raises outside
        read[(time, *slices) if planes else slices] = True
    allowed = np.zeros(IMAGE.shape, bool)
    allowed[(slice(None),) * 3 if region is None else region] = True
    assert not (read & ~allowed).any()
    assert read.sum() > 0.3 * allowed.sum()
