"""Objects of a volume, segmented tile by tile from storage to storage, are those of the whole in memory."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

import shiftjax as sj
from proofs_tests.support.profiles import fewer
from proofs_tests.volume.code_volumes import (
    CODEBOOK,
    KEY,
    SAMPLES,
    embedded,
    in_memory,
    plan_for,
    segmented,
    small_net,
    smooth_codes,
    spiral,
    tilings,
    u_shape,
    undisturbed,
)
from shiftjax.volume import Recompute, predict_volume, segment_volume
from shiftjax.volume._segmentation import objects as joining


@fewer
@given(tilings(sizes=(20, 10, 6), least=3), st.integers(0, 5))
def test_labels_are_those_of_the_whole(tmp_path_factory, case, min_size):
    codes, tile = case
    space = "zyx"[-(codes.ndim - 1) :]
    target = tmp_path_factory.mktemp("labels") / "out.zarr"
    options: Any = {
        "axes": f"t{space}c",
        "foreground": codes >= 0,
        "min_size": min_size,
        "codebook": CODEBOOK,
    }
    plan = plan_for(codes.shape[1:], tile)
    found = segment_volume(embedded(codes), target, plan, bandwidth=1, key=KEY, progress=False, **options)
    expected = in_memory(codes, min_size=min_size)
    np.testing.assert_array_equal(np.asarray(found.labels), expected)
    assert found.objects == expected.max()
    assert found.labels.dtype == np.uint64


@pytest.mark.parametrize("codes", [spiral(13), u_shape(), np.stack([u_shape()] * 4)])
def test_objects_that_touch_several_tiles(codes, tmp_path):
    found = segmented(codes, (3,) * codes.ndim, tmp_path / "out.zarr")
    np.testing.assert_array_equal(np.asarray(found.labels), in_memory(codes[None])[0])


def test_control_objects_are_cut_where_faces_are_not_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "_meetings", lambda *faces: np.zeros((0, 2), np.int64))
    assert segmented(spiral(13), (3, 3), tmp_path / "out.zarr").objects > 1


def test_control_objects_run_together_where_codes_are_not_compared(tmp_path, monkeypatch):
    right = joining._meetings
    blind = lambda high, a, low, b: right(high, 0 * a, low, 0 * b)  # noqa: E731
    codes = smooth_codes((20, 23))
    assert segmented(codes, (6, 8), tmp_path / "right.zarr").objects == in_memory(codes[None]).max()
    monkeypatch.setattr(joining, "_meetings", blind)
    assert segmented(codes, (6, 8), tmp_path / "out.zarr").objects < in_memory(codes[None]).max()


def nearest_in_numpy(embedding, codes):
    return np.square(embedding[..., None, :].astype(np.float64) - codes).sum(-1).argmin(-1)


def test_the_codebook_is_found_once_for_the_volume_and_does_not_depend_on_its_tiles(tmp_path):
    codes = smooth_codes((24, 30))
    embedding = np.concatenate([(codes >= 0)[..., None], embedded(codes)], -1).astype(np.float32)
    options: Any = {
        "axes": "yxc",
        "foreground": lambda y: y[..., 0] > 0.5,
        "channels": slice(1, None),
        "samples": SAMPLES,
    }
    runs = {}
    for tile in ((24, 30), (7, 9)):
        runs[tile] = segment_volume(
            embedding,
            tmp_path / f"{tile}.zarr",
            plan_for(codes.shape, tile),
            bandwidth=1,
            key=KEY,
            progress=False,
            **options,
        )
    whole = runs[24, 30]
    assert whole.codes.shape == (3, 2)
    expected = in_memory(np.where(codes >= 0, nearest_in_numpy(embedding[..., 1:], whole.codes), -1)[None])[0]
    for run in runs.values():
        np.testing.assert_array_equal(run.codes, whole.codes)
        np.testing.assert_array_equal(np.asarray(run.labels), expected)
    np.testing.assert_array_equal(expected, in_memory(codes[None])[0])


def test_one_codebook_for_all_time_points(tmp_path):
    """The third code appears in the second time point only; ids run on."""
    codes = np.stack([smooth_codes((12, 12), codes=2), smooth_codes((12, 12), codes=3, seed=1)])
    options: Any = {"axes": "tyxc", "foreground": codes >= 0, "samples": SAMPLES}
    plan = plan_for(codes.shape[1:], (5, 7))
    found = segment_volume(
        embedded(codes), tmp_path / "out.zarr", plan, bandwidth=1, key=KEY, progress=False, **options
    )
    assert len(found.codes) == 3
    np.testing.assert_array_equal(np.asarray(found.labels), in_memory(codes))


def test_recomputing_gives_what_storing_gives(tmp_path):
    source = np.random.default_rng(0).normal(size=(20, 26)).astype(np.float32)
    plan = sj.plan_tiles(small_net, (1, 20, 26, 1), tile=8)
    predict_volume(small_net, source, tmp_path / "embedding.zarr", plan, axes="yx", progress=False)
    options: Any = {
        "bandwidth": 2,
        "key": KEY,
        "progress": False,
        "samples": SAMPLES,
        "foreground": lambda y: y[..., 0] > 0,
    }
    stored = segment_volume(tmp_path / "embedding.zarr", tmp_path / "stored.zarr", plan, **options)
    again = segment_volume(Recompute(small_net, source, axes="yx"), tmp_path / "again.zarr", plan, **options)
    np.testing.assert_array_equal(stored.codes, again.codes)
    np.testing.assert_array_equal(np.asarray(stored.labels), np.asarray(again.labels))
    assert stored.objects > 3
    assert not (tmp_path / "again.zarr" / "0").exists()  # no embedding


def test_a_mask_its_path_and_a_function_select_alike(tmp_path):
    codes, tile, expected = undisturbed(tmp_path)
    zarr.save_array(str(tmp_path / "mask.zarr"), (codes >= 0).astype(np.uint8))
    choices = [tmp_path / "mask.zarr", str(tmp_path / "mask.zarr"), (codes >= 0).astype(np.int16)]
    for number, foreground in enumerate(choices):
        found = segmented(codes, tile, tmp_path / f"{number}.zarr", foreground=foreground, min_size=3)
        np.testing.assert_array_equal(np.asarray(found.labels), expected)
    every = segmented(codes, tile, tmp_path / "all.zarr", foreground=None)
    np.testing.assert_array_equal(np.asarray(every.labels), in_memory(codes[None].clip(0))[0])


def test_without_foreground_pixels_there_is_nothing(tmp_path):
    codes = np.full((6, 7), -1, np.int32)
    found = segmented(codes, (3, 3), tmp_path / "out.zarr", codebook=None)
    assert (found.objects, found.codes.shape, np.asarray(found.labels).max()) == (0, (0, 2), 0)


@pytest.mark.parametrize("stored", ["<f4", ">f4", ">f2", ">i2"])
def test_embeddings_in_either_byte_order(stored, tmp_path):
    codes = smooth_codes((12, 12))
    source = np.round(embedded(codes)).astype(stored)
    made = segmented(codes, (5, 5), tmp_path / "out.zarr", source=source)
    np.testing.assert_array_equal(made.labels[:], in_memory(codes[None])[0])


def test_random_keys_draw_other_samples_and_find_the_same_codes(tmp_path):
    codes = smooth_codes((30, 30))
    runs = [
        segmented(codes, (9, 9), tmp_path / f"{seed}.zarr", codebook=None, samples=SAMPLES, key=jax.random.key(seed))
        for seed in range(3)
    ]
    for one, other in pairwise(runs):
        assert not np.array_equal(one.codes, other.codes)
        np.testing.assert_array_equal(np.asarray(one.labels), np.asarray(other.labels))


class Endless:
    """A long stack of small objects of four codes that is never in memory; axes zyxc."""

    def __init__(self, depth):
        self.shape, self.dtype, self.ndim = (depth, 32, 32, 2), np.dtype(np.float32), 4

    def __getitem__(self, index):
        z, y, x = (np.arange(*at.indices(n)) // 7 for at, n in zip(index[:3], self.shape, strict=False))
        return CODEBOOK[(z[:, None, None] + 2 * y[:, None] + x) % 4][..., index[3]]


def peak(depth, tile, target):
    """Bytes held at a time at most, and how many objects."""
    plan = plan_for((depth, 32, 32), tile)
    options: Any = {"axes": "zyxc", "bandwidth": 1, "key": KEY, "progress": False, "samples": SAMPLES}
    tracemalloc.start()
    found = segment_volume(Endless(depth), target, plan, **options)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most, found.objects


def test_memory_does_not_grow_with_the_volume(tmp_path):
    tile = (16, 16, 32)
    peak(16, tile, tmp_path / "warm.zarr")
    (small, few), (large, many) = (peak(n, tile, tmp_path / f"{n}.zarr") for n in (32, 128))
    assert many > 3 * few
    assert large < 1.5 * small
    assert peak(128, (128, 32, 32), tmp_path / "one.zarr")[0] > 3 * large  # control: one tile of all
