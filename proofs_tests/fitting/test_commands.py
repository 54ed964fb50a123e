"""`train` and `label`: from TIFF files to TIFF files, and from Zarr to Zarr."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr

from proofs_tests.fitting.small import IMAGE, NET, discs, untrained
from shiftjax.__main__ import main


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = untrained()
    model.save(tmp_path_factory.mktemp("models") / "m")
    return model, str(tmp_path_factory.getbasetemp() / "models0" / "m")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for k in range(3):
        image, labels = discs((48, 48), seed=k)
        for name, array in {"images": image, "labels": labels.astype(np.uint16)}.items():
            (tmp_path / name).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / name / f"{k}.tif", array)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_and_label(folder, capsys, monkeypatch):
    monkeypatch.setattr("shiftjax.fitting._fit.default_network", lambda *words: NET)  # the default takes longer
    words = ["train", "images", "labels", "--out", "model", "--steps", "2", "--window", "16", "--no-augment", "--quiet"]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("model: AP50 ")
    assert (folder / "model" / "validation.png").read_bytes().startswith(b"\x89PNG")
    assert main(["label", "model", "images/1.tif", "out.tif", "--quiet"]) == 0
    assert tifffile.imread("out.tif").shape == (48, 48)
    assert main([*words[:-1], "--seed", "1"]) == 2  # another run
    assert "found other key" in capsys.readouterr().err


def test_tiff_to_tiff(saved, folder):
    model, path = saved
    assert main(["label", path, "images/1.tif", "new/out.tif"]) == 0
    assert np.array_equal(tifffile.imread("new/out.tif"), model.segment(tifffile.imread("images/1.tif")))
    assert main(["label", path, "images", "all"]) == 0
    assert sorted(each.name for each in (folder / "all").iterdir()) == ["0.tif", "1.tif", "2.tif"]
    assert np.array_equal(tifffile.imread("all/1.tif"), tifffile.imread("new/out.tif"))
    stack = np.stack([tifffile.imread(f"images/{k}.tif") for k in range(3)])
    tifffile.imwrite("stack.tif", stack, metadata={"axes": "TYX"}, photometric="minisblack")
    assert main(["label", path, "stack.tif", "stack_labels.tif", "--tile", "16"]) == 0
    assert np.array_equal(tifffile.imread("stack_labels.tif")[1], tifffile.imread("all/1.tif"))


def test_zarr_to_zarr(saved, folder):
    _, path = saved
    zarr.create_array("in.zarr", data=IMAGE)
    assert main(["label", path, "in.zarr", "out.zarr", "--tile", "32", "--quiet"]) == 0
    assert zarr.open_array("out.zarr/labels/instances/0", mode="r").shape == IMAGE.shape


@pytest.mark.parametrize(
    ("words", "say"),
    [
        (["label", "nowhere", "images/1.tif", "x.tif"], "expected a model that `save` wrote"),
        (["label", "MODEL", "images/9.tif", "x.tif"], "images/9.tif"),
        (["label", "MODEL", "images", "x.tif"], "`labels`: expected a folder, since images is one"),
        (["label", "MODEL", "images/1.tif", "images/2.tif"], "expected a new file, found images/2.tif"),
        (["train", "images", "labels", "--out", "m", "--steps", "0"], "expected an integer >= 1"),
        (["train", "images", "nowhere", "--out", "m"], "nowhere"),
        (["train", "images", "images", "--out", "m"], "`labels`: expected integers"),
        (["train", "labels", "labels", "--out", "images"], "expected a new folder, or that of a run"),
    ],
)
def test_bad_command_lines(saved, folder, words, say, capsys):
    words = [saved[1] if word == "MODEL" else word for word in words]
    assert main([*words, *(["--steps", "1"] if words[0] == "train" and "--steps" not in words else [])]) == 2
    error = capsys.readouterr().err
    assert say.removeprefix("`labels`: ") in error
    assert len([line for line in error.splitlines() if not line.startswith("shiftjax: ")]) == 1  # beside what is told
