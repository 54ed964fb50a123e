"""Where the first size that a network takes leaves one pixel in its deepest layer, statistics can be frozen."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import shiftjax as sj
from shiftjax.freezing import _freeze

NET = sj.UNet(2, features=2, factors=(4,), convs=1, norm="instance", crop=None)


def test_a_network_is_cut_at_the_next_size():
    fn = Partial(NET.apply, NET.init(jax.random.key(0), jnp.zeros((1, 22, 22, 1))))
    shapes = {
        name: _freeze.picture(np.ones((1, *space, 1), np.float32), np.dtype("float32"), None, None)
        for name, space in {"image": (6, 22), "first": (14, 30), "next": (18, 34)}.items()
    }
    with pytest.raises(sj.CertificationError):  # the control
        _freeze._cut(fn, shapes["first"])
    found, following = _freeze._cut_nearby(fn, shapes["image"]), _freeze._cut(fn, shapes["next"])
    assert found.passes == following.passes == 3  # a norm each for encoder, bottom and decoder
    assert len(found.statistics) == len(following.statistics)
