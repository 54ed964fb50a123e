"""Bad calls and bad command lines, drawn with a seed: one clear sentence each, or the right thing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import shiftjax as sj
from proofs_tests.support.bad_calls import faults, sentence_faults
from proofs_tests.support.bad_commands import faults as command_faults
from proofs_tests.support.doors import Door, doors
from proofs_tests.unit.test_package import FUNCTIONS
from shiftjax import _checks

COUNTS = {"bad_calls": (250, 6000), "bad_commands": (60, 2000)}  # by default, and in the deep profile
INNER = {  # functions for other parts of the library and for test suites; they trust their callers
    "sj.certifier.batchwise", "sj.clustering.is_moved", "sj.clustering.nearest_codes", "sj.labelling.objects",
    "sj.labelling.regions", "sj.tiling.check_function", "sj.tiling.computed_by", "sj.tiling.in_strips",
    "sj.tiling.read_window", "sj.tiling.run_tiles", "sj.tiling.zero_outside", "sj.translation.translated",
    "sj.from_torch", "sj.open_model",  # need PyTorch: their bad input is in `proofs_tests/pytorch`
}  # fmt: skip
TRUSTING = ("sj.nets.operators.", "sj.testing.strategies.")


def answers(program: str, seed: int) -> list[str]:
    """What the program of this name finds; called as users call the library, without the tests' checks of shapes."""
    count = COUNTS[program][settings.get_current_profile_name() == "deep"]
    words = [sys.executable, "-W", "ignore", "-m", f"proofs_tests.support.{program}", str(count), str(seed)]
    run = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("program", COUNTS)
def test_bad_input_is_answered_in_one_sentence(program):
    assert answers(program, seed=0) == []


def test_every_public_function_is_called(tmp_path):
    called = {f"sj.{door.name}" for door in doors(tmp_path)}
    public = {name for name, _ in FUNCTIONS if not name.startswith(TRUSTING)}
    assert public - called - INNER == set()
    here = {f"sj.{name}" for name in dir(sj) if callable(getattr(sj, name))}
    assert all(isinstance(getattr(sj, name[3:]), type) for name in here - called - INNER)  # errors and results


def foreign(value):
    raise KeyError(value)


def not_ours(value):
    raise ValueError("could not convert string to float")


def prints_an_array(value):
    raise ValueError(f"`value`: expected 3 numbers, found {np.zeros((2, 2))}.".replace("\n", " "))


def in_two_lines(value):
    raise TypeError("`value`: expected a number,\nfound none.")


def takes_anything(value):
    return value


@pytest.mark.parametrize(
    ("call", "say"),
    [
        (foreign, "KeyError"),
        (not_ours, "not the library's"),
        (prints_an_array, "an array is printed"),
        (in_two_lines, "not one sentence"),
        (takes_anything, "taken without a word: value"),
    ],
)
def test_control_bad_answers_are_seen(call, say):
    assert say in faults(Door("control", call, {"value": 3}), {"value": "abc"})


def test_control_a_command_that_made_nothing_and_exits_with_0(tmp_path, monkeypatch):
    monkeypatch.setattr("proofs_tests.support.bad_commands.main", lambda words: 0)
    assert "nothing was made" in command_faults(["predict", "out.zarr"], tmp_path / "out.zarr")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((2, 3)), "float64 of shape (2, 3)"),
        ([np.zeros(3), 1], "[float64 of shape (3,), 1]"),
        ([[1, 2], [3]], "[a list of 2, a list of 1]"),
        ((1,), "(1,)"),
        ({"a": np.zeros(3)}, "a dict with 1 entries"),
        (list(range(20)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, ...]"),
        (np.dtype("f4"), "float32"),
    ],
)
def test_values_in_errors_are_short(value, text):
    assert _checks.shown(value) == text
    assert _checks.shown(10**5000) == "a int"  # Python itself prints no number of so many digits


def test_sizes_are_looked_at_before_memory_is_taken():
    with pytest.raises(ValueError, match=r"`shape`: expected a size that fits into .* GiB") as refusal:
        sj.synthetic.constant((2**20, 2**20))
    assert not sentence_faults(refusal.value)
    _checks.room("shape", (2**10, 2**10), 4)
