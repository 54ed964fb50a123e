"""`benchmarks/your_images.py`, from images in a folder to its table, with a small network and two steps."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

import shiftjax as sj
from proofs_tests.fitting.small import NET, discs, untrained

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("your_images")


@pytest.fixture
def images(tmp_path):
    """A folder with the nuclei alone."""
    image, labels = discs((96, 64))
    tifffile.imwrite(tmp_path / "img2d.tif", image)
    (tmp_path / "inner").mkdir()
    tifffile.imwrite(tmp_path / "inner" / "mask2d.tif", labels.astype(np.uint16))
    return tmp_path


@pytest.mark.deep
def test_from_images_to_a_table(benchmark, images, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("shiftjax.fitting._fit.default_network", lambda *words: NET)  # the default takes longer
    monkeypatch.setattr(sj, "pretrained", lambda name: untrained())
    monkeypatch.setattr(benchmark, "is_here", lambda: False)  # StarDist takes longer, too
    out = tmp_path / "out" / "result.json"
    words = ["--out", str(out), "--images", str(images), "--seeds", "2", "--steps", "2", "--window", "16"]
    monkeypatch.setattr(sys, "argv", ["your_images.py", *words])
    benchmark.main()
    result = json.loads(out.read_text())
    ways = {row["way"]: row for row in result["rows"]}
    assert list(ways)[-3:] == ["pretrained", "fit", "fit without experience"]
    for row in ways.values():
        assert np.isclose(row["mean"], np.mean(row["scores"]))
        assert np.isclose(row["spread"], np.std(row["scores"]))
    assert len(ways["fit"]["scores"]) == len(ways["fit"]["seconds"]) == 2
    assert [row["cut"] for name, row in ways.items() if name != "watershed"] == [0, 0, 0]
    missing = [note for note in result["notes"] if "left out; its images come with" in note]
    assert len(missing) == 2  # neither bacteria nor 3-D nuclei, and no word of them is silent
    page = out.with_suffix(".md").read_text()
    assert page in capsys.readouterr().out
    assert page.count("| nuclei |") == len(ways)
    the_run_goes_on(benchmark, out, result)
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--steps", "3"])
    with pytest.raises(SystemExit, match="rows of another training"):
        benchmark.main()


def the_run_goes_on(benchmark, out, result):
    """Called again, it measures what is missing, and only that."""
    rows = [{**row, "kept": True} for row in result["rows"] if row["way"] != "pretrained"]
    out.write_text(json.dumps({**result, "rows": rows}))
    benchmark.main()
    again = json.loads(out.read_text())
    assert [row["way"] for row in again["rows"]] == [row["way"] for row in result["rows"]]
    assert [row["way"] for row in again["rows"] if "kept" not in row] == ["pretrained"]
    assert again["notes"] == result["notes"]


def test_nothing_is_scored_that_was_trained_on(benchmark, images):
    (task,) = (each for each in benchmark.tasks(["nuclei"], images))
    whole = tifffile.imread(images / "img2d.tif")
    ((train, _),), ((test, _),) = task.train, task.test
    assert np.array_equal(np.concatenate([train, test]), whole)
    assert len(test) == len(whole) // 4


def test_a_cut_is_seen(benchmark):
    """The control: labels that depend on the tile are counted."""

    class Cutting:
        def segment(self, image, tile=None):
            return np.ones(image.shape, int) * (2 if tile == benchmark.TILES[0] else 1)

    assert benchmark.cut(Cutting(), [discs((20, 30))]) == 600
