"""Volumes that are predicted along strips: the same pixels as in tiles, also where a strip was interrupted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from proofs_tests.volume.small import SHAPE, expected, net, plan, volume
from shiftjax.tiling import in_strips
from shiftjax.volume import VolumeError, predict_volume
from shiftjax.volume._storage.journal import Journal

QUIET: Any = {"progress": False}


@pytest.fixture(scope="module")
def streamed():
    return plan(stream=0)


def test_a_stream_equals_the_whole(streamed, tmp_path):
    made = predict_volume(net(), volume(), tmp_path / "o", streamed, **QUIET)
    np.testing.assert_array_equal(made[:], expected(volume()))


def test_it_goes_on_where_it_was_interrupted(streamed, tmp_path, monkeypatch):
    """What is finished is not computed again, and a strip begins anew with its first tile that is missing."""
    add, left = Journal.add, [5]

    def interrupted(self, *entry):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return add(self, *entry)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict_volume(net(), volume(), tmp_path / "o", streamed, **QUIET)
    finished: list[int] = []

    def noted(self, number, *entry):
        finished.append(number)
        return add(self, number, *entry)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", noted)
        made = predict_volume(net(), volume(), tmp_path / "o", streamed, verify=True, **QUIET)
    assert 0 < len(finished) < np.prod(streamed.grid)
    np.testing.assert_array_equal(made[:], expected(volume()))


def test_a_region_in_the_middle_of_strips(streamed, tmp_path):
    made = predict_volume(net(), volume(), tmp_path / "o", streamed, region=np.s_[5:9, 0:3, 10:12], **QUIET)
    there = np.asarray(made[:]) == expected(volume())
    assert there[:, 4:12, :8, 8:16].all()
    assert not np.asarray(made[:])[:, :4].any()


def test_a_source_that_changed_behind_a_tile(streamed, tmp_path):
    """A tile of a stream reads the steps after its own too."""
    predict_volume(net(), volume(), tmp_path / "o", streamed, **QUIET)
    other = volume()
    other[-1, -1, -1] ^= 1
    with pytest.raises(VolumeError, match="is not what it was"):
        predict_volume(net(), other, tmp_path / "o", streamed, verify=True, **QUIET)


def test_tiles_go_strip_by_strip(streamed):
    ordered = in_strips(streamed, [(0, *tile) for tile in streamed.tiles()])
    assert [tile[1] for tile in ordered[: streamed.grid[0]]] == list(range(streamed.grid[0]))
    assert sorted(ordered) == [(0, *tile) for tile in streamed.tiles()]


def test_a_test_of_single_tiles_is_refused(streamed, tmp_path):
    with pytest.raises(ValueError, match=r"^`where`: expected a mask, as the plan is that of a stream"):
        predict_volume(net(), volume(), tmp_path / "o", streamed, where=lambda block: True, **QUIET)


def test_another_axis_is_another_target(streamed, tmp_path):
    predict_volume(net(), volume(), tmp_path / "o", streamed, **QUIET)
    with pytest.raises(VolumeError, match="another plan"):
        predict_volume(net(), volume(), tmp_path / "o", plan(stream=1), **QUIET)
    assert SHAPE[0] % streamed.tile_output[0]  # the last tile of a strip is cut
