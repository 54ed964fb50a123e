"""Statistics of a padded image: a network is cut at a size that it takes, and that leaves more than a pixel."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import shiftjax as sj
from shiftjax.freezing import _freeze

NET = sj.UNet(2, features=2, factors=(4,), convs=1, norm="instance", crop=None)


FN = Partial(NET.apply, NET.init(jax.random.key(0), jnp.zeros((1, 22, 22, 1))))
NORMS = 3  # a pass each, of encoder, bottom and decoder


def picture(*space):
    return _freeze.picture(np.ones((1, *space, 1), np.float32), np.dtype("float32"), None, None)


def test_a_size_that_leaves_one_pixel_is_passed_over():
    with pytest.raises(sj.CertificationError):  # the control
        _freeze._cut(FN, picture(14, 30))
    assert _freeze._cut_nearby(FN, picture(6, 22)).passes == NORMS


def test_axes_that_are_never_legal_together_are_taken_alike():
    def legal(size):
        return size in [n for n, _, _ in NET.legal_sizes(size)[0]]

    assert not any(legal(6 + by) and legal(23 + by) for by in range(64))  # the control
    assert _freeze._cut_nearby(FN, picture(6, 23)).passes == NORMS
