"""The bar says what a run does while no tile is finished."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

import shiftjax as sj
from shiftjax import _patience
from shiftjax.volume import predict_volume
from shiftjax.volume._jobs import bar


def run(wait: float, capsys: pytest.CaptureFixture[str]) -> str:
    shown = bar.Bar(total=2, done=0, title="predicting", shown=True)
    time.sleep(wait)
    shown.update()
    shown.update()
    shown.close()
    return capsys.readouterr().err


def test_a_long_compilation_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_patience, "PATIENCE", 0.05)
    said = run(0.5, capsys)
    assert "compiling" in said
    assert "compiling" not in said.splitlines()[-1].split("\r")[-1]  # and not once tiles are finished
    monkeypatch.setattr(_patience, "PATIENCE", 60.0)
    assert "compiling" not in run(0.0, capsys)  # control: a quick one is not


def double(image):
    return image * 2


def test_a_program_without_a_console(monkeypatch, capsys, tmp_path):
    """Its standard error is None; nothing is said then, on the standard output neither."""
    image = np.ones((8, 8), np.float32)
    plan = sj.plan_tiles(double, (1, 8, 8, 1), tile=(4, 4))
    predict_volume(double, image, tmp_path / "control", plan)
    spoken = capsys.readouterr()
    assert (spoken.out, "tiles" in spoken.err, "assumed" in spoken.err) == ("", True, True)  # control: it is said
    monkeypatch.setattr(sys, "stderr", None)
    made = predict_volume(double, image, tmp_path / "o", plan)
    _patience.say("a sentence")
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(made[:], 2 * image[None])
