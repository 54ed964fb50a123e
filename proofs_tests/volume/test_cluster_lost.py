"""A cluster that is lost ends in a clear error; one that computes something else is refused before it writes."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pytest
import zarr

from proofs_tests.volume.small import expected, net, plan, volume
from shiftjax.volume import VolumeError, predict_volume
from shiftjax.volume._jobs import cluster
from shiftjax.volume._jobs.code_digest import code_digest
from shiftjax.volume._jobs.workers import ATTEMPTS
from shiftjax.volume._storage.journal import Journal

distributed = pytest.importorskip("distributed")
SHAPE = (8, 16, 15)
IMAGE, NET, PLAN, RIGHT = volume(SHAPE), net(), plan(shape=SHAPE), expected(volume(SHAPE))


@pytest.fixture
def source(tmp_path):
    zarr.create_array(tmp_path / "in.zarr", data=IMAGE, chunks=(5, 6, 6))
    return tmp_path / "in.zarr"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(cluster, "SILENCE", 1.5)
    monkeypatch.setattr(cluster, "ANSWER", 1.0)


def started(**options):
    known: Any = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    return distributed.LocalCluster(**{**known, **options})


@pytest.fixture(scope="module")
def processes():
    """A client of one worker, in a process of its own."""
    with started(processes=True) as found, distributed.Client(found) as client:
        yield client


def predict(client, source, target, **options):
    return predict_volume(NET, source, target, PLAN, client=client, progress=False, batch_size=1, **options)


class Slow:
    """As a test of the input: passes all tiles, but takes its time, and tells once it has begun."""

    def __init__(self, path):
        self.path = str(path)

    def __call__(self, tile):
        open(self.path, "a").close()
        time.sleep(0.3)
        return True


@pytest.mark.parametrize("lost", ["workers", "scheduler"])
def test_a_cluster_that_vanishes(lost, source, tmp_path, impatient):
    found, begun = started(), tmp_path / "begun"
    client = distributed.Client(found)

    def vanish():
        while not begun.exists():
            time.sleep(0.01)
        with suppress(TimeoutError):
            found.scale(0) if lost == "workers" else found.close(timeout=1)

    thread = threading.Thread(target=vanish)
    thread.start()
    with pytest.raises(VolumeError, match=rf"(no worker is left|the {lost} is gone).*of 8 tiles are finished and kept"):
        predict(client, source, tmp_path / "o", where=Slow(begun))
    thread.join()
    for each in (client, found):
        with suppress(TimeoutError):
            each.close(timeout=1)
    np.testing.assert_array_equal(predict_volume(NET, source, tmp_path / "o", PLAN, progress=False)[:], RIGHT)


@pytest.mark.parametrize("times", [2, 9])
@pytest.mark.parametrize("error", [distributed.client.FutureCancelledError("key", "lost"), asyncio.CancelledError()])
def test_a_report_that_is_lost_on_its_way(error, times, source, tmp_path, impatient, monkeypatch):
    """The work is done once more; asked again and again in vain, it is told in words. Nobody waits for an answer."""
    lost: list[int] = []
    real = distributed.Future.result

    def result(self, timeout=None):
        if len(lost) < times:
            lost.append(1)
            raise error
        return real(self, timeout)

    monkeypatch.setattr(distributed.Future, "result", result)
    with started() as found, distributed.Client(found) as client:
        if times < ATTEMPTS:
            np.testing.assert_array_equal(predict(client, source, tmp_path / "o")[:], RIGHT)
        else:
            say = rf"its workers were lost {ATTEMPTS} times .*Cancelled.*tiles are finished"
            with pytest.raises(VolumeError, match=say):
                predict(client, source, tmp_path / "o")


def test_no_workers_from_the_start(source, tmp_path, impatient):
    with started(n_workers=0) as found, distributed.Client(found) as client:
        with pytest.raises(VolumeError, match="no worker is left"):
            predict(client, source, tmp_path / "o")
        threading.Timer(0.5, lambda: found.scale(1)).start()
        np.testing.assert_array_equal(predict(client, source, tmp_path / "o")[:], RIGHT)  # control: one comes late


def test_clients_that_cannot_be_asked(source, tmp_path):
    with started() as found:
        with distributed.Client(found) as client:
            pass
        with pytest.raises(ValueError, match=r"`client`: expected a client that is connected.*closed"):
            predict(client, source, tmp_path / "o")

    async def inside() -> None:
        options: Any = {"asynchronous": True, "processes": False, "n_workers": 1, "dashboard_address": ":0"}
        async with distributed.Client(**options) as client:
            predict(client, source, tmp_path / "o")

    with pytest.raises(ValueError, match=r"`client`: expected a synchronous client"):
        asyncio.run(inside())
    assert not (tmp_path / "o").exists()


VERSIONS = {
    "preprocess": "import jax.numpy as jnp\ndef it(x): return x.astype(jnp.int32) * {k}\n",
    "where": "def it(tile): return tile.max() > {k}\n",
    "net": "import jax.numpy as jnp\ndef it(x): return x * {k}\n",
}


@pytest.mark.parametrize("part", VERSIONS)
def test_a_worker_with_another_module_is_refused(part, processes, source, tmp_path):
    """Functions are sent by the names of their modules, and a worker has an older one."""
    name = f"module_of_{part}"
    for version in (1, 2):
        (tmp_path / str(version)).mkdir()
        (tmp_path / str(version) / f"{name}.py").write_text(VERSIONS[part].format(k=version))

    def load(folder):
        sys.path.insert(0, folder)
        sys.modules.pop(name, None)
        return __import__(name).it

    function = load(str(tmp_path / "1"))
    fn, options = (function, {}) if part == "net" else (NET, {part: function})
    planned = plan(fn, SHAPE)
    run = partial(predict_volume, fn, source, plan=planned, client=processes, progress=False, **options)
    processes.run(load, str(tmp_path / "1"))
    assert run(target=tmp_path / "o")[:].any()  # control: the same module
    processes.run(load, str(tmp_path / "2"))
    with pytest.raises(VolumeError, match=rf"a worker computes with (another {part}|something else)"):
        run(target=tmp_path / "p")
    assert not Journal(str(tmp_path / "p" / "0" / "journal")).finished
    sys.modules.pop(name)


def limit(number, tile):
    return tile.max() > number


def test_functions_are_told_apart_by_their_code():
    def made(number):
        return lambda tile: tile.max() > number

    same = [made(1), made(1)]
    others = [made(2), lambda tile: tile.min() > 1, partial(limit, 1), partial(limit, 2), Slow("a"), Slow("b"), os.stat]
    assert len({code_digest(each) for each in same}) == 1
    assert len({code_digest(each) for each in [same[0], *others]}) == 1 + len(others)
    assert code_digest({"b", "a"}) == code_digest({"a", "b"})
