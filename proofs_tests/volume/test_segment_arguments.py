"""What `segment_volume` cannot work with is refused in one sentence, before anything is written."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import shiftjax as sj
from proofs_tests.volume.code_volumes import (
    CODEBOOK,
    KEY,
    embedded,
    plan_for,
    smooth_codes,
)
from shiftjax.volume import Recompute, VolumeError, new_target, open_source, segment_volume


@pytest.mark.parametrize(
    ("options", "say"),
    [
        ({"name": 3}, "`name`"),
        ({"channels": [7]}, "`channels`"),
        ({"channels": 0}, "`channels`"),
        ({"channels": []}, "`channels`"),
        ({"plan": None}, "`plan`"),
        ({"resume": "no"}, "`resume`"),
        ({"target": 5}, "`target`"),
        ({"target": new_target("o", dtype="uint32")}, "`target`: expected no dtype for labels"),
    ],
)
def test_arguments_of_another_kind_are_refused(options, say, tmp_path):
    codes = smooth_codes((8, 8))
    given: Any = {
        "embedding": embedded(codes),
        "target": tmp_path / "o",
        "plan": plan_for((8, 8), (5, 5)),
        "axes": "yxc",
    }
    unchecked = getattr(segment_volume, "__wrapped__", segment_volume)  # as users call it: without the tests' types
    with pytest.raises(ValueError, match=say):
        unchecked(**{**given, "bandwidth": 1, "key": KEY, "codebook": CODEBOOK, "progress": False, **options})
    assert not (tmp_path / "o").exists()


def blurred(y):
    """Looks at the next pixel as well."""
    return y[..., 0] + jnp.pad(y[:, 1:, :, 0], ((0, 0), (0, 1), (0, 0))) > 0


def transposed(y):
    """On a square tile the shape is right and every pixel reads one pixel, but another one."""
    return jnp.swapaxes(y[..., 0], 1, 2) > 0


def test_bad_arguments_are_told_in_one_sentence(tmp_path):
    codes = smooth_codes((8, 8))
    embedding = embedded(codes)
    holed = embedding.copy()
    holed[6, 7, 1] = np.nan
    plan = plan_for((8, 8), (5, 5))
    options: Any = {"axes": "yxc", "bandwidth": 1, "key": KEY, "progress": False, "codebook": CODEBOOK}
    wrong: Any = {
        r"`embedding`: expected \(8, 8\) pixels, as planned, found \(8, 7\)": ((embedding[:, :7], plan), {}),
        r"`embedding`: expected finite values, found NaN or infinity in tile \(1, 1\)": ((holed, plan), {}),
        r"`embedding`: expected finite values, found 1 of 18": ((holed, plan), {"codebook": None}),
        r"`embedding`: expected real numbers, found complex64": ((embedding.astype(np.complex64), plan), {}),
        r"`bandwidth`": ((embedding, plan), {"bandwidth": 0}),
        r"`codebook`: expected an array \(code, 2\)": ((embedding, plan), {"codebook": CODEBOOK[:, :1]}),
        r"`foreground`: expected a mask": ((embedding, plan), {"foreground": codes[:4]}),
        r"`foreground`: expected a JAX function .* found float32": ((embedding, plan), {"foreground": lambda y: y}),
        r"`name`": ((embedding, plan), {"name": "a/b"}),
        r"`axes`: expected none beside": ((Recompute(lambda x: x, embedding[..., 0]), plan), {}),
        r"`axes`: expected 'xyc'": ((open_source(embedding, axes="xyc"), plan), {}),
        r"`foreground`: expected .* image axes at \[2, 1\]": ((embedding, plan), {"foreground": transposed}),
        r"`plan`: expected one for a single image": ((embedding, sj.plan_tiles(lambda x: x, (2, 8, 8, 1))), {}),
    }
    for number, (message, (arguments, more)) in enumerate(wrong.items()):
        source, chosen = arguments
        with pytest.raises(ValueError, match=message):
            segment_volume(source, tmp_path / f"{number}.zarr", chosen, **{**options, **more})


def test_numbers_that_would_be_cut_stop_the_run(tmp_path):
    codes, plan = smooth_codes((8, 8)), plan_for((8, 8), (5, 5))
    embedding = np.round(embedded(codes) * 8).astype(np.int64)
    options: Any = {"axes": "yxc", "bandwidth": 1, "key": KEY, "progress": False, "codebook": 8 * CODEBOOK}
    mask = np.ones((8, 8), np.float32)
    right = segment_volume(embedding, tmp_path / "o", plan, foreground=mask, **options).objects
    assert right > 1
    mask[2, 3] = np.nan
    with pytest.raises(VolumeError, match=r"tile \(0, 0\): NaN in the mask"):
        segment_volume(embedding, tmp_path / "p", plan, foreground=mask, **options)
    with pytest.raises(VolumeError, match=r"tile \(0, 0\): integers from 10995.* float32 does not tell apart"):
        segment_volume(embedding + 2**40, tmp_path / "q", plan, **options)
    with pytest.raises(VolumeError, match=r"tile \(0, 0\): int32 does not hold 10995"):
        segment_volume(embedding + 2**40, tmp_path / "r", plan, foreground=lambda y: y[..., 0] > 5, **options)
    shifted = embedding + 1e9
    with pytest.raises(ValueError, match=r"float32 holds to a tenth of the bandwidth, found float64 .* tile \(0, 0\)"):
        segment_volume(shifted, tmp_path / "t", plan, **{**options, "codebook": 8 * CODEBOOK + 1e9})
    found = segment_volume(shifted - 1e9, tmp_path / "u", plan, foreground=np.ones((8, 8)), **options)
    assert found.objects == right  # control: without the offset
    embedding[..., 1] += 2**25  # a channel that is not clustered may hold what it likes
    only: Any = {**options, "channels": [0], "codebook": 8 * CODEBOOK[:, :1]}
    assert segment_volume(embedding, tmp_path / "s", plan, **only).objects
