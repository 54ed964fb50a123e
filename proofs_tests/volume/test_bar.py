"""The bar says what a run does while no tile is finished."""

from __future__ import annotations

import time

import pytest

from shiftjax import _patience
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
