"""`train` and `label`: from TIFF files to TIFF files, and from Zarr to Zarr."""

from __future__ import annotations

import argparse
import re

import numpy as np
import pytest
import tifffile
import zarr

import shiftjax as sj
from proofs_tests.fitting.small import IMAGE, NET, discs, untrained
from shiftjax.__main__ import main
from shiftjax._cli import options


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
    first, second = tifffile.imread("stack_labels.tif")[:2]
    assert np.array_equal(sj.relabel(second[None])[0], tifffile.imread("all/1.tif"))
    assert second[second > 0].min() == first.max() + 1


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


def test_images_are_never_overwritten_and_labels_only_if_asked(saved, folder, capsys):
    _, path = saved
    before = {each.name: each.read_bytes() for each in (folder / "images").iterdir()}
    for words in (["images", "images"], ["images/0.tif", "images/0.tif"], ["images", "images/../images"]):
        assert main(["label", path, *words, "--overwrite"]) == 2
        assert "expected another file than the image, found" in capsys.readouterr().err
    assert before == {each.name: each.read_bytes() for each in (folder / "images").iterdir()}
    (folder / "new").mkdir()
    (folder / "new" / "1.tif").write_bytes(b"mine")
    assert main(["label", path, "images", "new"]) == 2
    assert "found new/1.tif of 3; choose another, or add `--overwrite`, or `--keep`" in capsys.readouterr().err
    assert [each.name for each in (folder / "new").iterdir()] == ["1.tif"]  # nothing was begun
    assert main(["label", path, "images", "new", "--keep"]) == 0
    told = capsys.readouterr().err
    assert "1 of 3 files are left as they are" in told
    assert "2 of 2 files" in told
    assert sorted(each.name for each in (folder / "new").iterdir()) == ["0.tif", "1.tif", "2.tif"]
    assert (folder / "new" / "1.tif").read_bytes() == b"mine"
    assert main(["label", path, "images", "new", "--overwrite"]) == 0
    assert (folder / "new" / "1.tif").read_bytes() != b"mine"


def test_labels_have_the_axes_of_their_image_and_numbers_of_their_own(saved, folder):
    model, path = saved
    planes = np.stack([discs((24, 32), seed=k)[0] for k in range(6)])
    tifffile.imwrite("tz.tif", planes.reshape(2, 3, 24, 32), metadata={"axes": "TZYX"}, photometric="minisblack")
    assert main(["label", path, "tz.tif", "labels.tif"]) == 0
    with tifffile.TiffFile("labels.tif") as file:
        assert file.series[0].axes == "TZYX"
        found = file.asarray()
    assert found.shape == (2, 3, 24, 32)
    first = 0
    for plane, labels in zip(planes, found.reshape(planes.shape), strict=True):
        alone = model.segment(plane)
        assert np.array_equal(labels, np.where(alone > 0, alone + first, 0))
        first += alone.max()
    assert first > alone.max() > 0  # the control


def test_what_stops_a_folder_is_named(saved, folder, capsys, monkeypatch):
    _, path = saved
    tifffile.imwrite("images/1.tif", np.ones((48, 48), np.uint8))
    assert main(["label", path, "images", "new"]) == 2
    error = capsys.readouterr().err
    assert "images/1.tif: `image`: expected intensities that differ" in error
    assert "low=" not in error
    monkeypatch.setattr("shiftjax._cli.label._label_file", lambda *words: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(["label", path, "images", "other"]) == 130
    assert "with `--keep` the same command goes on" in capsys.readouterr().err


def test_a_plane_is_no_volume(folder, tmp_path, capsys):
    untrained(sj.UNet(4, ndim=3, features=4, factors=(2,), convs=1), (10, 10, 10)).save(tmp_path / "3d")
    assert main(["label", "3d", "images/0.tif", "x.tif"]) == 2
    assert "`image`: expected 3 spatial axes, as in training, found 2 in images/0.tif" in capsys.readouterr().err
    assert not (folder / "x.tif").exists()


def test_axes_that_files_do_not_name(folder, capsys, monkeypatch):
    monkeypatch.setattr("shiftjax.fitting._fit.default_network", lambda *words: NET)
    monkeypatch.setattr("shiftjax.fitting._training.run.run", lambda *words, **options: untrained())
    stack, labels = (np.stack([tifffile.imread(f"{name}/{k}.tif") for k in range(3)]) for name in ("images", "labels"))
    tifffile.imwrite("i.tif", np.stack([stack, -stack], 1), photometric="minisblack")
    tifffile.imwrite("l.tif", labels, photometric="minisblack")
    assert main(["train", "i.tif", "l.tif", "--out", "m"]) == 2
    assert re.search(r"`axes`: expected .* \(in i.tif\)", capsys.readouterr().err)
    assert main(["label", "nuclei", "i.tif", "x.tif"]) == 2
    assert "i.tif: `axes`: expected" in capsys.readouterr().err
    assert main(["train", "i.tif", "l.tif", "--out", "m", "--axes", "tcyx", "--channel", "1"]) == 0
    assert "3 images of y, x, " in capsys.readouterr().err


def test_a_folder_of_images_may_be_called_nuclei(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nuclei").mkdir()
    assert options.model("nuclei").window == sj.pretrained("nuclei").window
    untrained().save("nuclei")
    assert options.model("nuclei").window == untrained().window  # the control: a model of one's own comes first


def test_seeds_and_places_that_are_none(saved, folder, capsys):
    assert options.seed("7") == 7
    for bad in ("-1", "1.5", str(10**30), "²"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected an integer from 0 to 2147483647, found"):
            options.seed(bad)
    assert main(["label", saved[1], "images", "images/0.tif/in"]) == 2
    assert "`labels`: expected a place for images/0.tif/in/0.tif, found none" in capsys.readouterr().err
