"""What takes long is named on the standard error; what is quick or was asked to be quiet is not."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shiftjax as sj
from shiftjax import _patience
from shiftjax._patience import patience, silence


class Hasty(threading.Event):
    """An event that is awaited in vain once, however soon it is set: so that work of any length is named."""

    awaited = False

    def wait(self, timeout=None):
        first, self.awaited = not self.awaited, True
        return False if first else super().wait(timeout)


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(_patience, "threading", SimpleNamespace(Event=Hasty, Thread=threading.Thread))


def said(capsys):
    return capsys.readouterr().err


def test_a_long_work_is_named_once_and_then_with_its_time(monkeypatch, capsys):
    monkeypatch.setattr(_patience, "PATIENCE", 0.02)
    with patience("thinking"):
        time.sleep(0.5)
    lines = said(capsys).splitlines()
    assert lines[0] == "shiftjax: thinking ..."
    assert len(lines) >= 2
    assert all(line.startswith("shiftjax: thinking ... ") and line.endswith(" s so far") for line in lines[1:])
    assert len(lines) < 12  # after twice the time each


def test_control_quick_and_quiet_work_is_not(monkeypatch, capsys):
    monkeypatch.setattr(_patience, "PATIENCE", 60.0)
    with patience("thinking"):
        pass
    monkeypatch.setattr(_patience, "PATIENCE", 0.01)
    with silence(), patience("thinking"):
        time.sleep(0.1)
    with silence(False), silence(), silence(False), patience("thinking"):  # once silent, silent within
        time.sleep(0.1)
    assert said(capsys) == ""
    with patience("thinking"):
        time.sleep(0.1)
    assert "thinking" in said(capsys)


def test_compiling_in_memory_is_named(hasty, capsys):
    def net(image):
        return image[:, 1:-1] * 2.0 + 0.25  # a function that no other test compiles

    sj.predict_tiled(net, jnp.zeros((1, 30, 1)), sj.plan_tiles(net, (1, 30, 1), tile=8))
    assert "compiling the network for tiles of " in said(capsys)
    sj.plan_tiles(net, (1, 30, 1), memory_bytes="1MiB")
    assert "compiling tiles to measure the memory that they take ..." in said(capsys)


def test_clustering_is_named(hasty, capsys, tmp_path):
    embedding = np.zeros((2, 6, 6, 3), np.float32)
    embedding[:, 3:] = 5
    sj.instances(embedding, bandwidth=0.5)
    words = said(capsys)
    assert "clustering 36 pixels of image 1 of 2 ..." in words
    assert "clustering 36 pixels of image 2 of 2 ..." in words
    plan = sj.plan_tiles(lambda image: image, (1, 6, 6, 3), tile=3)
    for progress in (True, False):
        volume = sj.volume.open_source(embedding[0], axes="yxc")
        sj.segment_volume(
            volume, tmp_path / f"{progress}.zarr", plan, bandwidth=0.5, key=jax.random.key(0), progress=progress
        )
        words = said(capsys)
        assert ("clustering 36 pixels of the volume ..." in words) == progress
        assert ("joining objects across tiles ..." in words) == progress
