"""The certifier is asked about each function once per call, however many rooms want to know.

About one that acts on each pixel it is asked at two sizes, since it must be the same map at both.
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shiftjax as sj
from proofs_tests.volume.code_volumes import KEY, SAMPLES, small_net
from proofs_tests.volume.small import net, plan, times_three, volume
from shiftjax.volume import Recompute, predict_volume, segment_volume


@pytest.fixture
def asked(monkeypatch):
    """The functions that `certify` is called with, wherever it was imported."""
    original, functions = sj.certify, []

    def counted(fn, *args, **options):
        functions.append(fn)
        return original(fn, *args, **options)

    for name, module in list(sys.modules.items()):
        if name.startswith("shiftjax") and vars(module).get("certify") is original:
            monkeypatch.setattr(module, "certify", counted)
    return functions


def test_by_predict_volume(asked, tmp_path):
    fn = net()
    planned = plan(fn)
    assert asked  # control: planning asks too
    for _ in range(2):  # resumed, it asks once more
        asked.clear()
        predict_volume(fn, volume(), tmp_path / "o", planned, preprocess=times_three, progress=False)
        assert asked == [times_three, times_three, fn]


def positive(y):
    return y[..., 0] > 0


def shifted(image):
    return image.astype(jnp.float32) - 1


def test_by_segment_volume(asked, tmp_path):
    source = np.random.default_rng(0).normal(size=(20, 26)).astype(np.float32)
    planned = sj.plan_tiles(small_net, (1, 20, 26, 1), tile=8)
    asked.clear()
    embedding = Recompute(small_net, source, axes="yx", preprocess=shifted)
    options: Any = {
        "bandwidth": 2,
        "key": KEY,
        "progress": False,
        "samples": SAMPLES,
        "foreground": positive,
    }
    segment_volume(embedding, tmp_path / "o", planned, **options)
    assert sorted(asked, key=id) == sorted([small_net, *(2 * [shifted, positive])], key=id)


def test_pointwise_is_period_one_and_a_field_of_one_pixel():
    def axes(fn):
        return sj.certify(fn, jax.ShapeDtypeStruct((1, 8, 8, 1), "float32")).axes

    assert all(axis.pointwise for axis in axes(lambda x: 2 * x))
    for fn in (
        lambda x: x[:, 1:],  # another pixel
        lambda x: x[:, ::2],  # every other pixel
        lambda x: x + jnp.pad(x[:, 1:], ((0, 0), (0, 1), (0, 0), (0, 0))),  # two pixels
        lambda x: jnp.stack([x, x + 1], 2).reshape(1, 16, 8, 1),  # two phases
        lambda x: (x.reshape(1, 4, 2, 8, 1) * jnp.arange(2.0)[:, None, None]).reshape(x.shape),  # period 2
    ):
        assert [axis.pointwise for axis in axes(fn)] == [False, True]
