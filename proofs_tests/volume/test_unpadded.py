"""Volumes that are not padded, and outputs on other pixels than the image's: as in one piece, also after a kill."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr
from jax import lax

import shiftjax as sj
from proofs_tests.volume.harm import Dead, chunks, flip, killed
from shiftjax.volume import Recompute, VolumeError, open_prediction, predict_volume, segment_volume
from shiftjax.volume._storage import journal

KERNEL: Any = np.random.default_rng(0).integers(-9, 10, (3, 3, 1, 2)).astype(np.int32)
SHAPE = (22, 31)
IMAGE = np.random.default_rng(1).integers(0, 200, SHAPE).astype(np.uint8)


def conv(x: Any, padding: str = "SAME", stride: int = 1) -> Any:
    return lax.conv_general_dilated(x, KERNEL, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def heads(x: Any) -> Any:
    """Outputs of the image's pixels, of half as many, of fewer at the border, and of twice as many."""
    fine = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return {"same": conv(x), "half": conv(x, stride=2), "valid": conv(x, "VALID"), "fine": fine}


def planned(fn: Any = heads, pad: str | None = None) -> sj.TilePlan:
    return sj.plan_tiles(fn, (1, *SHAPE, 1), tile=8, pad=pad, dtype=jnp.int32)


def whole(fn: Any = heads) -> Any:
    """Of the image in one piece, as volumes have it: (c, y, x)."""
    return jax.tree.map(
        lambda y: np.moveaxis(np.asarray(y)[0], -1, 0), fn(jnp.asarray(IMAGE[None, ..., None], jnp.int32))
    )


@pytest.fixture(autouse=True)
def each_tile_is_journaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SECONDS", 0.0)


def check(made: Any) -> None:
    for name, right in whole().items():
        np.testing.assert_array_equal(made[name][:], right, err_msg=name)


def test_every_output_is_that_of_the_whole_volume(tmp_path: Any) -> None:
    check(predict_volume(heads, IMAGE, tmp_path / "o", planned(), axes="yx", progress=False))
    for name, right in whole().items():
        np.testing.assert_array_equal(open_prediction(tmp_path / "o", output=name)[:], right)


def test_killed_and_resumed(tmp_path: Any) -> None:
    """At any of its writes; and what is damaged is computed again."""
    arguments: Any = {"axes": "yx", "progress": False}
    with killed(10**9) as writes:
        predict_volume(heads, IMAGE, tmp_path / "whole", planned(), **arguments)
    for moment in sorted(random.Random(0).sample(range(writes[0]), 3)):
        target = tmp_path / str(moment)
        with killed(moment), suppress(Dead, VolumeError):
            predict_volume(heads, IMAGE, target, planned(), **arguments)
        check(predict_volume(heads, IMAGE, target, planned(), **arguments))
    flip(chunks(tmp_path / "whole" / "valid" / "0")[-1], random.Random(0))
    check(predict_volume(heads, IMAGE, tmp_path / "whole", planned(), **arguments))


def test_other_strides_over_a_padded_volume(tmp_path: Any) -> None:
    """As in memory; and another padding is other work."""
    plan = planned(pad="edge")
    made = predict_volume(heads, IMAGE, tmp_path / "o", plan, axes="yx", progress=False)
    right = sj.predict_tiled(heads, jnp.asarray(IMAGE[None, ..., None], jnp.int32), plan)
    for name, y in right.items():
        np.testing.assert_array_equal(made[name][:], np.moveaxis(y[0], -1, 0), err_msg=name)
    with pytest.raises(VolumeError, match="another plan"):
        predict_volume(heads, IMAGE, tmp_path / "o", planned(), axes="yx", progress=False)


def test_where_the_pixels_lie(tmp_path: Any) -> None:
    """Coarser pixels are larger, and their middle lies between those that they stand for; a lost border moves them."""
    predict_volume(heads, IMAGE, tmp_path / "o", planned(), axes="yx", progress=False)
    found = {}
    for name in whole():
        attributes: Any = zarr.open_group(tmp_path / "o" / name, mode="r").attrs
        (image,) = attributes["ome"]["multiscales"]
        steps = {step["type"]: step.get(step["type"]) for step in image["datasets"][0]["coordinateTransformations"]}
        found[name] = (steps["scale"][1:], steps.get("translation", [0, 0, 0])[1:])
    assert found == {
        "same": ([1, 1], [0, 0]),
        "half": ([2, 2], [0.5, 0.5]),
        "valid": ([1, 1], [1, 1]),
        "fine": ([0.5, 0.5], [-0.25, -0.25]),
    }


def embedding(x: Any) -> Any:
    """Two codes, of the sign of a same-padded sum: at the border it counts zeros."""
    return (jnp.sign(conv(x - 100)[..., :1]) * jnp.asarray([9, -9])).astype(jnp.float32)


def test_segmented_up_to_the_border(tmp_path: Any) -> None:
    plan = planned(embedding)
    options: Any = {"bandwidth": 1, "key": jax.random.key(0), "progress": False}
    predict_volume(embedding, IMAGE, tmp_path / "e", plan, axes="yx", progress=False)
    stored = segment_volume(tmp_path / "e", tmp_path / "stored", plan, **options)
    source = Recompute(embedding, IMAGE, axes="yx")
    assert plan.pad is None
    again = segment_volume(source, tmp_path / "again", plan, **options)
    np.testing.assert_array_equal(stored.labels[:], again.labels[:])
    sign = np.asarray(embedding(jnp.asarray(IMAGE[None, ..., None], jnp.int32)))[0, ..., 0]
    labels = np.asarray(again.labels)
    assert (labels > 0).all()
    assert all(len(np.unique(sign[labels == one])) == 1 for one in np.unique(labels))
    with pytest.raises(ValueError, match="one whose output has the image's pixels"):
        segment_volume(Recompute(half, IMAGE, axes="yx"), tmp_path / "half", planned(half), **options)


def half(x: Any) -> Any:
    return conv(x, stride=2).astype(jnp.float32)
