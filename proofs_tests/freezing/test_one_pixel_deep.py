"""Where the first size that a network takes leaves one pixel in its deepest layer, statistics can be frozen."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import shiftjax as sj

NET = sj.UNet(2, features=2, factors=(2, 4), convs=1, norm="instance", crop=None)
IMAGE = np.random.default_rng(0).normal(size=(1, 22, 46, 1)).astype(np.float32)


def test_statistics_of_a_padded_image_whose_first_legal_size_is_too_small():
    fn = Partial(NET.apply, NET.init(jax.random.key(0), jnp.zeros((1, 46, 46, 1))))
    smallest = [axis[0][0] for axis in NET.legal_sizes(1)]
    with pytest.raises(sj.CertificationError):  # the control: there nothing is proved
        sj.freeze_statistics(fn, np.zeros((1, *smallest, 1), np.float32), progress=False)
    frozen = sj.freeze_statistics(fn, IMAGE, pad="reflect", tile=8, progress=False)
    plan = sj.plan_tiles(frozen, IMAGE.shape, tile=8)
    whole = fn(jnp.pad(IMAGE, plan.pad_width, mode="reflect"))[plan.whole_crop]
    assert np.abs(sj.predict_tiled(frozen, IMAGE, plan) - whole).max() < 1e-5 * np.abs(whole).max()
