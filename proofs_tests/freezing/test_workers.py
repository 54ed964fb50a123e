"""Passes over the workers of a cluster: the statistics that this process measures, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr

import shiftjax as sj
from proofs_tests.freezing.norms import PlainUNet, with_weights
from shiftjax.freezing import _workers
from shiftjax.volume import VolumeError
from shiftjax.volume._jobs import cluster

distributed = pytest.importorskip("distributed")
OPTIONS: dict[str, Any] = {"tile": (4, 8, 8), "progress": False}


@pytest.fixture(scope="module")
def client():
    """Two workers, each a process."""
    options: Any = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as started, distributed.Client(started) as found:
        yield found


@pytest.fixture
def path(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 200, (12, 16, 20)).astype(np.uint8)
    zarr.create_array(str(tmp_path / "in.zarr"), data=pixels, chunks=(8, 8, 8))
    return str(tmp_path / "in.zarr")


def test_the_same_statistics(client, path, monkeypatch):
    fn, scale = with_weights(PlainUNet(), (1, 8, 8, 8, 1)), sj.volume.normalize(path)
    computed, here = [], _workers.Work.told

    def told(work: Any, tiles: Any) -> Any:
        computed.append(work)
        return here(work, tiles)

    monkeypatch.setattr(_workers.Work, "told", told)
    there = sj.freeze_statistics(fn, path, preprocess=scale, client=client, **OPTIONS)
    assert not computed  # nothing of it in this process
    local = sj.freeze_statistics(fn, path, preprocess=scale, **OPTIONS)
    assert len(computed) == local.cut.passes > 2
    for one, another in zip(there.values, local.values, strict=True):
        np.testing.assert_array_equal(one, another)
    others = sj.freeze_statistics(fn, path, client=client, **OPTIONS)  # the control: without the scale
    assert not np.array_equal(others.values[0], local.values[0])


def test_what_no_worker_can_do(client, path, monkeypatch):
    def fn(x: Any) -> Any:
        return x - x.mean((1, 2, 3), keepdims=True)

    with pytest.raises(ValueError, match="a client of `dask"):
        sj.freeze_statistics(fn, path, client=3, **OPTIONS)
    monkeypatch.setattr(cluster, "SILENCE", 0.1)
    options: Any = {"n_workers": 0, "processes": False, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(**options) as empty,
        distributed.Client(empty) as idle,
        pytest.raises(VolumeError, match="no worker is left"),
    ):
        sj.freeze_statistics(fn, path, client=idle, **OPTIONS)
