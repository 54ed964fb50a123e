"""The model for nuclei that comes along, and the script that trains it."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import shiftjax as sj

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import train_nuclei  # noqa: E402


def test_it_finds_nuclei_that_are_simulated_otherwise():
    model = sj.pretrained("nuclei")
    image, labels = sj.synthetic.nuclei(jax.random.key(5), (160, 192), radius=10, touching=0.5)
    found = model.segment(np.asarray(image)[0, ..., 0])
    assert sj.average_precision(labels, found[None]) > 0.75
    turned = model.segment(np.asarray(image)[0, ..., 0].T, tile=64).T  # the control: not what it would say anyway
    assert sj.average_precision(labels[:, ::-1], turned[None]) < 0.3


def test_it_is_small_and_named():
    folder = Path(sj.__file__).parent / "fitting" / "_models" / "nuclei"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= train_nuclei.LARGEST
    with pytest.raises(ValueError, match="`name`: expected one of 'nuclei', found 'cells'"):
        sj.pretrained("cells")


@pytest.mark.deep
def test_the_script_makes_a_model(tmp_path, monkeypatch, capsys):
    for name, value in {"SIZE": 96, "RADII": (6,), "LEVELS": 1, "HELD_OUT": 1}.items():
        monkeypatch.setattr(train_nuclei, name, value)
    words = ["train_nuclei.py", "--out", str(tmp_path / "m"), "--steps", "2", "--images", "2", "--image", "x"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(train_nuclei, "real_image", lambda options: None)
    assert train_nuclei.main() == 0
    assert "AP50 on simulated images: " in capsys.readouterr().out
    assert sj.load_model(tmp_path / "m").channels == 1


def test_the_script_leaves_a_folder_of_something_else_alone(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["train_nuclei.py", "--out", str(tmp_path), "--steps", "1"])
    with pytest.raises(SystemExit):
        train_nuclei.main()
    assert "expected a new folder, or one with a model" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").exists()
    monkeypatch.setattr(sys, "argv", ["train_nuclei.py", "--out", str(tmp_path / "new")])
    assert train_nuclei.parsed().out == tmp_path / "new"  # the control
