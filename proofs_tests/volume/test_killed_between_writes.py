"""Killed between any two of its writes, or in the middle of one, a run goes on by the same call, and ends right.

A write is a file that is written whole, or removed; the process is dead from one of them on. A claim that a dead
process leaves is taken over at once.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from proofs_tests.volume.code_volumes import SAMPLES, segmented, smooth_codes
from proofs_tests.volume.harm import Dead, chunks, killed, new_memory
from proofs_tests.volume.small import expected, is_deep, net, plan, volume
from shiftjax.volume import VolumeError, new_target, open_prediction, predict_volume
from shiftjax.volume._storage import journal

SHAPE, TILE = (8, 8, 16), (4, 8, 8)
NET = net()
PLAN = plan(NET, SHAPE, TILE)
RIGHT = expected(volume(SHAPE))
CODES = smooth_codes((8, 8))


@pytest.fixture(autouse=True)
def each_tile_is_journaled(monkeypatch):
    monkeypatch.setattr(journal, "SECONDS", 0.0)


def predict(target, zarr_format):
    return predict_volume(NET, volume(SHAPE), new_target(target, zarr_format=zarr_format), PLAN, progress=False)


def segment(target, zarr_format):
    options: Any = {"codebook": None, "samples": SAMPLES}
    return segmented(CODES, (5, 5), new_target(target, zarr_format=zarr_format), **options).labels


def moments(count):
    """All of them in the deep profile, else some."""
    return range(count) if is_deep() else sorted(random.Random(count).sample(range(count), 3))


@pytest.mark.parametrize("torn", [False, True], ids=["between", "torn"])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("work", [predict, segment])
def test_on_disk(work, zarr_format, torn, tmp_path):
    if work is segment and not is_deep() and torn == (zarr_format == 3):
        pytest.skip("runs with --hypothesis-profile=deep")
    with killed(10**9) as writes:
        right = work(str(tmp_path / "whole"), zarr_format)[:]
    for moment in moments(writes[0]):
        target = tmp_path / str(moment)
        with killed(moment, torn=torn), suppress(Dead, VolumeError):  # the last one is that of the claim
            work(str(target), zarr_format)
        np.testing.assert_array_equal(work(str(target), zarr_format)[:], right, err_msg=f"before write {moment}")
        own = target / "labels" / "instances" if work is segment else target
        assert not list(own.rglob("*.partial"))
    assert writes[0] > 12
    assert right.any()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_in_memory(zarr_format):
    with killed(10**9) as writes:
        predict(new_memory(), zarr_format)
    for moment in moments(writes[0]):
        target = new_memory()
        with killed(moment), suppress(Dead, VolumeError):
            predict(target, zarr_format)
        np.testing.assert_array_equal(predict(target, zarr_format)[:], RIGHT)


def test_killed_again_and_again(tmp_path):
    for moment in range(2, 40, 5):
        with killed(moment):
            try:
                predict(tmp_path / "o", 3)
                break
            except (Dead, VolumeError):
                pass
    np.testing.assert_array_equal(open_prediction(tmp_path / "o")[:], RIGHT)


def test_control_what_was_killed_is_not_finished(tmp_path):
    with killed(8), pytest.raises((Dead, VolumeError)):
        predict(tmp_path / "o", 3)
    assert len(chunks(tmp_path / "o" / "0")) < 4
    with pytest.raises(VolumeError, match="not finished"):
        open_prediction(tmp_path / "o")
