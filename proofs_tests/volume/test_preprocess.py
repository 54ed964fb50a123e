"""What comes before the network acts on each pixel alone, by proof, and before the border; all else draws seams."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.volume.small import SHAPE, WEIGHTS, convolve, expected, net, plan, times_three, volume
from shiftjax.volume import normalize, open_source, predict_volume

QUIET: Any = {"progress": False}


@cache
def the_plan(pad="reflect"):
    return plan(pad=pad)


@pytest.mark.parametrize("pad", ["reflect", "edge", "constant"])
def test_preprocessing_comes_before_the_border(pad, tmp_path):
    made = predict_volume(net(), volume(), tmp_path / "o", the_plan(pad), preprocess=times_three, **QUIET)
    np.testing.assert_array_equal(made[:], expected(volume().astype(np.int32) * 3 - 7, pad=pad))


def test_control_the_border_before_preprocessing_differs():
    padded = np.pad(volume().astype(np.int32), 1) * 3 - 7
    inner = (slice(None), slice(1, -1), slice(1, -1), slice(1, -1))
    late = expected(padded)[inner]
    early = expected(volume().astype(np.int32) * 3 - 7, pad="constant")
    assert (late != early).any()
    np.testing.assert_array_equal(late[:, 1:-1, 1:-1, 1:-1], early[:, 1:-1, 1:-1, 1:-1])


def test_global_scaling(tmp_path):
    fn = Partial(lambda w, x: convolve(w, jnp.round(x * 100).astype(jnp.int32)), jnp.asarray(WEIGHTS))
    planned = sj.plan_tiles(fn, (1, *SHAPE, 1), tile=(4, 8, 8))
    scale = normalize(volume())
    made = predict_volume(fn, volume(), tmp_path / "o", planned, preprocess=scale, **QUIET)
    low, high = float(scale.keywords["low"][0]), float(scale.keywords["high"][0])
    true = np.percentile(volume(), [1, 99.8])
    np.testing.assert_allclose([low, high], true)
    scaled = (volume().astype(np.float32) - np.float32(low)) / np.float32(np.float32(high) - np.float32(low))
    difference = made[:] - expected(np.round(scaled * 100))
    assert np.abs(difference).max() <= np.abs(WEIGHTS).sum()  # rounding to one side or the other of a half
    assert (difference != 0).mean() < 0.05


def test_scaling_that_means_nothing_is_refused():
    wrong: Any = (({"low": 50, "high": 50}, "`high`"), ({"high": 101}, "`high`"), ({"low": -1}, "`low`"))
    for options, say in wrong:
        with pytest.raises(ValueError, match=say):
            normalize(volume(), **options)
    with pytest.raises(ValueError, match="channel 1"):
        normalize(open_source(np.stack([volume(), np.full(SHAPE, 7, np.uint8)]), axes="czyx"))
    both = normalize(open_source(np.stack([volume(), 2 * volume().astype(np.uint16)]), axes="czyx"))
    np.testing.assert_allclose(both.keywords["high"][1], 2 * both.keywords["high"][0])


def test_scaling_each_tile_by_itself_is_refused(tmp_path):
    def own(image):
        return (image - image.min()) // 2

    with pytest.raises(ValueError, match=r"`preprocess`.*each pixel alone") as refusal:
        predict_volume(net(), volume().astype(np.int32), tmp_path / "o", the_plan(), preprocess=own, **QUIET)
    assert "reduce_min" in str(refusal.value)
    blur = Partial(lambda x: x + jnp.roll(x, 1, axis=1))
    with pytest.raises(ValueError, match="`preprocess`"):
        predict_volume(net(), volume().astype(np.int32), tmp_path / "o", the_plan(), preprocess=blur, **QUIET)
    with pytest.raises(ValueError, match=r"`preprocess`.*found uint8 .*return int32, as planned"):
        predict_volume(net(), volume(), tmp_path / "o", the_plan(), preprocess=lambda x: x * 2, **QUIET)
    with pytest.raises(ValueError, match=r"`preprocess`.*image axes at \[1, 3, 2\]"):  # tiles are square here
        predict_volume(net(), volume(), tmp_path / "o", the_plan(), preprocess=transposed, **QUIET)
    with pytest.raises(ValueError, match=r"`preprocess`.*found int32 .*, int32"):
        predict_volume(net(), volume(), tmp_path / "o", the_plan(), preprocess=twice, **QUIET)
    assert not (tmp_path / "o").exists()


def transposed(image):
    """Every output reads one pixel, and every tile keeps its shape; but the volume would be a mosaic."""
    return jnp.swapaxes(image, 2, 3).astype(jnp.int32)


def twice(image):
    return image.astype(jnp.int32), image.astype(jnp.int32)


def test_control_scaling_each_tile_by_itself_makes_seams():
    """Why it is refused: a ramp scaled tile by tile jumps at every tile."""
    ramp = np.arange(64)
    by_tile = np.concatenate([tile - tile.min() for tile in np.split(ramp, 8)])
    assert (np.diff(by_tile)[7::8] < 0).all()
    assert (np.diff(ramp - ramp.min()) == 1).all()
