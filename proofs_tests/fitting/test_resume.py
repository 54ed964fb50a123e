"""A run that is stopped, even by kill -9, goes on where it was, and its result is that of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import shiftjax as sj
from proofs_tests.fitting.small import fit
from shiftjax.fitting._data.sampling import Sampler
from shiftjax.fitting._training import loop as _loop
from shiftjax.fitting._training.record import Record
from shiftjax.fitting._training.validation import Validation

ROOT = Path(__file__).parents[2]


def same(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: np.array_equal(x, y), a.variables, b.variables))


class Stopped(BaseException):
    """Stands for the end of a process."""


def stop_at(monkeypatch, at, what):
    """Does something when the windows of a step are drawn."""
    draw = Sampler.__call__

    def drawn(self, step):
        if step == at:
            what()
        return draw(self, step)

    monkeypatch.setattr(Sampler, "__call__", drawn)


def raise_stopped():
    raise Stopped


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return fit(out=tmp_path_factory.mktemp("runs") / "whole", validation=False)


def steps_taken(monkeypatch):
    """A list that grows by each step of training."""
    seen: list[int] = []
    step = _loop.Loop._stepped

    def counted(self, *words, **options):
        seen.append(1)
        return step(self, *words, **options)

    monkeypatch.setattr(_loop.Loop, "_stepped", counted)
    return seen


def test_a_run_goes_on_bit_for_bit(tmp_path, monkeypatch, undisturbed):
    with monkeypatch.context() as patched:
        stop_at(patched, 40, raise_stopped)
        with pytest.raises(Stopped):
            fit(out=tmp_path / "run", validation=False)
    seen = steps_taken(monkeypatch)
    resumed = fit(out=tmp_path / "run", validation=False)
    assert len(seen) == 60 - 25  # from the last checkpoint on
    assert same(resumed, undisturbed)
    assert same(sj.load_model(tmp_path / "run"), undisturbed)
    assert sorted(path.suffix for path in (tmp_path / "run").iterdir()) == [".json", ".json", ".npz"]
    seen.clear()
    assert same(fit(out=tmp_path / "run", validation=False), undisturbed)  # a finished run is not run again
    assert not seen
    with pytest.raises(ValueError, match=r"`out`: expected the run that .* was begun with, found other steps"):
        fit(out=tmp_path / "run", validation=False, steps=3)
    fit(out=tmp_path / "run", validation=False, steps=3, resume=False)  # the control: begun anew
    assert len(seen) == 3


@pytest.mark.deep
def test_the_best_model_can_be_loaded_at_any_time(tmp_path, monkeypatch):
    stop_at(monkeypatch, 40, raise_stopped)
    with pytest.raises(Stopped):
        fit(out=tmp_path / "run")
    begun = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [entry["step"] for entry in begun["history"]] == [25]
    assert sj.load_model(tmp_path / "run").score == begun["history"][0]["score"]


@pytest.mark.deep
def test_ctrl_c_keeps_what_there_is(tmp_path, monkeypatch, undisturbed):
    with monkeypatch.context() as patched:
        stop_at(patched, 45, lambda: os.kill(os.getpid(), signal.SIGINT))
        stopped = fit(out=tmp_path / "run", validation=False)
    assert not same(stopped, undisturbed)
    assert same(sj.load_model(tmp_path / "run"), stopped)
    assert same(fit(out=tmp_path / "run", validation=False), undisturbed)  # and the same call goes on


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="a new folder, or that of a run, found other files"):
        fit(out=tmp_path)


KILLED = """
import os, signal, sys
from proofs_tests.fitting.small import fit
from shiftjax.fitting._data.sampling import Sampler
draw = Sampler.__call__
def drawn(self, step):
    if step == 55:
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(self, step)
Sampler.__call__ = drawn
fit(out=sys.argv[1], validation=False)
"""


@pytest.mark.deep
def test_kill_9(tmp_path, undisturbed):
    words = [sys.executable, "-c", KILLED, str(tmp_path / "run")]
    killed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert same(fit(out=tmp_path / "run", validation=False), undisturbed)


@pytest.mark.deep
def test_steps_are_chosen_by_the_clock_once(tmp_path, monkeypatch):
    for name, value in {"TIMED": 12, "LEAST": 3, "MOST": 8}.items():
        monkeypatch.setattr(_loop, name, value)
    fit(steps=None, out=tmp_path / "run", minutes=1, validation=False)
    total = json.loads((tmp_path / "run" / "run.json").read_text())["total"]
    assert 15 <= total <= 20


def test_one_run_at_a_time_in_a_folder(tmp_path):
    first = Record(tmp_path / "run", {}, resume=True)
    with pytest.raises(ValueError, match="`out`: expected a folder in which no other run is under way"):
        Record(tmp_path / "run", {}, resume=False)
    Record(tmp_path / "other", {}, resume=True).close()
    first.close()
    Record(tmp_path / "run", {}, resume=True).close()  # the control


def test_weights_that_have_diverged_are_not_kept(tmp_path, monkeypatch):
    step = _loop.Loop._stepped

    def diverged(self, state, batch, **options):
        state, loss = step(self, state, batch, **options)
        return state, loss if int(state.step) < 22 else loss * np.nan

    monkeypatch.setattr(_loop.Loop, "_stepped", diverged)
    with pytest.raises(sj.training.TrainingDivergedError, match="the loss of step 22 is not finite"):
        fit(out=tmp_path / "run")
    assert not (tmp_path / "run" / "model.json").exists()


def test_ctrl_c_while_settings_are_chosen_loses_nothing(monkeypatch):
    tuned, sent = Validation.tuned, list[bool]()

    def interrupted(self, *words):
        if not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        return tuned(self, *words)

    monkeypatch.setattr(Validation, "tuned", interrupted)
    assert np.isfinite(fit(steps=1).score)
    assert sent
