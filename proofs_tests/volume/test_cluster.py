"""Workers of a cluster write the same pixels as one process, and one that is killed takes nothing along."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.volume.harm import Damage
from proofs_tests.volume.small import WEIGHTS, convolve, expected, net, plan, times_three, volume
from shiftjax.volume import VolumeError, open_source, predict_volume
from shiftjax.volume._jobs import workers as cluster
from shiftjax.volume._jobs.job import Job
from shiftjax.volume._jobs.tiles import CALLS, VolumeTiles
from shiftjax.volume._predict import PredictionPass
from shiftjax.volume._storage.journal import Journal
from shiftjax.volume._targets.layout import layout
from shiftjax.volume._targets.new_target import new_target
from shiftjax.volume._targets.target import begin_target

distributed = pytest.importorskip("distributed")
TILES = 36


@pytest.fixture(scope="module")
def client():
    """Two workers, each a process with two threads."""
    options: Any = {"n_workers": 2, "threads_per_worker": 2, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as started, distributed.Client(started) as found:
        yield found


@pytest.fixture
def source(tmp_path):
    zarr.create_array(tmp_path / "in.zarr", data=volume(), chunks=(5, 6, 6))
    return tmp_path / "in.zarr"


def same_padded(image):
    return jnp.pad(convolve(jnp.asarray(WEIGHTS), image), ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))[:, ::2]


def test_an_image_that_is_not_padded(client, tmp_path):
    """Workers keep of each tile what it delivers, also at the border, and of an output of half as many slices."""
    image = volume((13, 18, 22))
    planned = plan(same_padded, image.shape, pad=None)
    made = predict_volume(same_padded, image, tmp_path / "o", planned, client=client, progress=False)
    right = np.asarray(same_padded(jnp.asarray(image[None, ..., None], jnp.int32)))[0]
    np.testing.assert_array_equal(made[:], np.moveaxis(right, -1, 0))


def journaled(target):
    return Journal(str(target / "0" / "journal")).finished


def marked(folder, weights, image):
    """The network, which leaves a file each time it is traced, named after its process."""
    (Path(folder) / f"{os.getpid()}-{time.time_ns()}").touch()
    return convolve(weights, image)


def predict(client, source, target, fn, **options):
    return predict_volume(fn, source, target, plan(fn), client=client, progress=False, batch_size=1, **options)


def test_equals_one_process(client, source, tmp_path):
    made = predict(client, source, tmp_path / "o", net(), preprocess=times_three)
    np.testing.assert_array_equal(made[:], expected(volume().astype(np.int32) * 3 - 7))
    assert journaled(tmp_path / "o") == set(range(TILES))


def test_each_worker_compiles_once(client, source, tmp_path):
    traces = tmp_path / "traces"
    traces.mkdir()
    made = predict(client, source, tmp_path / "o", Partial(partial(marked, str(traces)), jnp.asarray(WEIGHTS)))
    np.testing.assert_array_equal(made[:], expected(volume()))
    processes = [path.name.partition("-")[0] for path in traces.iterdir()]
    workers = {str(pid) for pid in client.run(os.getpid).values()}
    assert workers <= set(processes) == workers | {str(os.getpid())}
    groups = TILES // CALLS
    assert groups >= 2 * len(workers) + 4  # so that a trace for each group would be seen
    assert all(processes.count(worker) <= 2 for worker in workers)  # its shape checked, and compiled


def test_functions_of_all_kinds_are_sent(client, source, tmp_path):
    weights = jnp.asarray(WEIGHTS)
    np.testing.assert_array_equal(
        predict(client, source, tmp_path / "o", lambda x: convolve(weights, x))[:], expected(volume())
    )
    unet = sj.UNet(1, ndim=3, features=1, factors=((1, 2, 2),), convs=1, kernel_size=(1, 3, 3), param_dtype=jnp.int32)
    size = [axis[-1][0] for axis in unet.legal_sizes(8)]
    fn = Partial(unet.apply, sj.testing.integer_variables(jax.random.key(0), unet, jnp.zeros((1, *size, 1), jnp.int32)))
    one = predict_volume(fn, source, tmp_path / "one", plan(fn), progress=False)
    np.testing.assert_array_equal(predict(client, source, tmp_path / "p", fn)[:], one[:])
    assert one[:].any()


@pytest.mark.parametrize("axis", [0, 2])
def test_each_strip_is_a_job_of_its_own(client, source, tmp_path, axis):
    """Workers compute the same pixels as one process, up to both ends of an image that is not padded too."""
    streamed = plan(stream=axis)
    tiles = VolumeTiles(streamed, open_source(source, axes="zyx"))
    numbers = tiles.in_order(np.arange(len(tiles)))
    tasks = list(tiles.tasks(map(tiles.tile, numbers), 1))
    assert [len(task) for task in tasks] == [streamed.grid[axis]] * (len(tiles) // streamed.grid[axis])
    options: Any = {"client": client, "progress": False, "axes": "zyx"}
    made = predict_volume(net(), source, tmp_path / "o", streamed, **options)
    np.testing.assert_array_equal(made[:], expected(volume()))
    as_it_is = plan(same_padded, volume().shape, pad=None, stream=axis)
    made = predict_volume(same_padded, source, tmp_path / "p", as_it_is, **options)
    right = np.asarray(same_padded(jnp.asarray(volume()[None, ..., None], jnp.int32)))[0]
    np.testing.assert_array_equal(made[:], np.moveaxis(right, -1, 0))


def test_what_is_finished_is_left_out_of_the_strips(client, source, tmp_path):
    """What an interrupted run has finished is left out of the strips that workers are given."""
    streamed = plan(stream=0)
    region = np.s_[0:6, 0:8, 0:8]
    options: Any = {"client": client, "progress": False, "axes": "zyx"}
    predict_volume(net(), source, tmp_path / "o", streamed, region=region, **options)
    before = journaled(tmp_path / "o")
    made = predict_volume(net(), source, tmp_path / "o", streamed, **options)
    assert 0 < len(before) < len(journaled(tmp_path / "o"))
    np.testing.assert_array_equal(made[:], expected(volume()))


class Wait:
    """As a test of the input: passes all tiles but takes its time, and tells who is at work."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __call__(self, tile):
        (Path(self.folder) / f"{os.getpid()}-{time.time_ns()}").touch()
        time.sleep(0.02)
        return True


def test_a_killed_worker_takes_nothing_along(client, source, tmp_path):
    seen = tmp_path / "seen"
    seen.mkdir()
    killed = []

    def kill():
        while len(list(seen.iterdir())) < 6:
            time.sleep(0.005)
        killed.append(int(max(path.name.split("-")[::-1] for path in seen.iterdir())[1]))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    made = predict(client, source, tmp_path / "o", net(), where=Wait(seen))
    killer.join(60)
    assert len(killed) == 1
    np.testing.assert_array_equal(made[:], expected(volume()))
    assert journaled(tmp_path / "o") == set(range(TILES))
    assert len(list(seen.iterdir())) > TILES  # the killed worker's tiles were computed twice


def test_storage_that_fails_on_a_worker(client, source, tmp_path):
    damaged = source / "c" / "2" / "2" / "3"
    data = damaged.read_bytes()
    with pytest.raises(VolumeError, match="cannot read pixels") as stopped:
        predict(client, source, tmp_path / "o", net(), where=Damage(damaged))
    kept = len(journaled(tmp_path / "o"))
    assert 0 < kept < TILES
    assert f"{kept} of {TILES} tiles are finished and kept" in str(stopped.value)
    damaged.write_bytes(data)
    np.testing.assert_array_equal(predict(client, source, tmp_path / "o", net())[:], expected(volume()))


def test_the_error_of_a_network_on_a_worker(client, source, tmp_path):
    def stop(tile):
        raise KeyError("the user's own")

    with pytest.raises(KeyError, match="the user's own"):
        predict(client, source, tmp_path / "o", net(), where=stop)
    assert journaled(tmp_path / "o") == set()


def test_workers_keep_no_journal(source, tmp_path):
    planned, opened = plan(), open_source(source)
    described = layout(opened, planned.tile_output, 2, "int32")
    target = begin_target(new_target(tmp_path / "o"), {"": described}, provenance={"format": 2})
    group = ((0, 0, 0, 0), (0, 3, 2, 2))
    report = cluster.run_group(PredictionPass(Job(net(), VolumeTiles(planned, opened)), target), group)
    assert list(report.finished) == list(group)
    assert all(receipt.read and receipt.wrote for receipt in report.finished.values())
    assert not report.failure
    assert not report.skipped
    assert not (tmp_path / "o" / "0" / "journal").exists()
    found = zarr.open_array(tmp_path / "o" / "0")[:, 12:, 16:, 16:]
    np.testing.assert_array_equal(found, expected(volume())[:, 12:, 16:, 16:])


def test_what_workers_cannot_share_is_refused(client, tmp_path):
    for source, target, say in (
        (volume(), "memory://here/o", "`target`"),
        ("memory://here/in", tmp_path / "o", "`source`"),
    ):
        if isinstance(source, str):
            zarr.create_array(source, data=volume())
        with pytest.raises(ValueError, match=say):
            predict(client, source, target, net())
    with pytest.raises(ValueError, match="`client`"):
        predict_volume(net(), volume(), tmp_path / "o", plan(), client="scheduler:8786")
    with pytest.raises(ValueError, match="`devices`"):
        predict(client, volume(), tmp_path / "o", net(), devices=jax.devices())
    lock = threading.Lock()
    with pytest.raises(ValueError, match="sent to workers"):
        predict(client, volume(), tmp_path / "o", net(), where=lambda tile: lock.locked() or True)
