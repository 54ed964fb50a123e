"""The passes of a segmentation give the same in other processes as in this one."""

from __future__ import annotations

from itertools import chain, islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr

import shiftjax as sj
from proofs_tests.volume.code_volumes import (
    KEY,
    SAMPLES,
    embedded,
    plan_for,
    segmented,
    small_net,
    smooth_codes,
    undisturbed,
)
from proofs_tests.volume.small import is_deep
from shiftjax.volume import Recompute, segment_volume
from shiftjax.volume._jobs import run
from shiftjax.volume._jobs.workers import run_group


def test_workers_of_a_cluster_give_the_same(tmp_path):
    codes, tile, expected = undisturbed(tmp_path)
    distributed = pytest.importorskip("distributed")
    zarr.save_array(str(tmp_path / "embedding.zarr"), embedded(codes))
    options: Any = {
        "source": tmp_path / "embedding.zarr",
        "codebook": None,
        "samples": SAMPLES,
        "min_size": 3,
    }
    alone = segmented(codes, tile, tmp_path / "alone.zarr", **options)
    cluster: Any = {
        "n_workers": 2,
        "threads_per_worker": 2,
        "processes": is_deep(),
        "dashboard_address": None,
    }
    with distributed.LocalCluster(**cluster) as workers, distributed.Client(workers) as client:
        found = segmented(codes, tile, tmp_path / "out.zarr", client=client, **options)
    np.testing.assert_array_equal(found.codes, alone.codes)
    np.testing.assert_array_equal(np.asarray(found.labels), np.asarray(alone.labels))
    np.testing.assert_array_equal(np.asarray(found.labels), expected)


@pytest.mark.parametrize("kind", ["mask", "function", "network"])
def test_passes_can_be_sent_to_other_processes(kind, tmp_path, monkeypatch):
    """Every group of tiles by its own copy of the pass, as a process that has just begun would have it."""
    cloudpickle = pytest.importorskip("cloudpickle")
    sent = []

    def in_copies(client, compute, groups, progress, *, describe):
        tiles = chain.from_iterable(groups)
        while group := tuple(islice(tiles, 3)):
            sent.append(group)
            report = run_group(cloudpickle.loads(cloudpickle.dumps(compute)), group)
            assert not report.failure
            for tile in report.finished:
                progress.finish(tile)

    codes = smooth_codes((20, 26))
    zarr.save_array(str(tmp_path / "embedding.zarr"), embedded(codes))
    zarr.save_array(str(tmp_path / "image.zarr"), embedded(codes)[..., 0])
    zarr.save_array(str(tmp_path / "mask.zarr"), codes >= 0)
    axes: str | None
    plan, source, axes = plan_for(codes.shape, (5, 5)), tmp_path / "embedding.zarr", "yxc"
    if kind == "network":
        plan, axes = sj.plan_tiles(small_net, (1, 20, 26, 1), tile=4), None
        source = Recompute(small_net, tmp_path / "image.zarr", axes="yx")
    options: Any = {"bandwidth": 1, "key": KEY, "progress": False, "samples": SAMPLES, "axes": axes}
    options["foreground"] = tmp_path / "mask.zarr" if kind == "mask" else lambda y: y[..., 0] > 0
    alone = segment_volume(source, tmp_path / "alone.zarr", plan, **options)
    monkeypatch.setattr(run, "run_on_workers", in_copies)
    client = SimpleNamespace(submit=None, scatter=None)
    found = segment_volume(source, tmp_path / "out.zarr", plan, client=client, **options)
    np.testing.assert_array_equal(found.codes, alone.codes)
    np.testing.assert_array_equal(np.asarray(found.labels), np.asarray(alone.labels))
    assert len(sent) >= 2 * 20 // 3  # two passes
    assert alone.objects > 3
