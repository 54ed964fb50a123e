"""What is written is OME-Zarr by the judgement of others, and coarser levels are those of the image, or halvings."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from unittest.mock import patch

import jax
import numpy as np
import pytest
import zarr
from ome_zarr_models import open_ome_zarr

import shiftjax as sj
from shiftjax.volume import new_target, open_source, predict_volume, segment_volume
from shiftjax.volume._sources.ome_zarr import Geometry
from shiftjax.volume._targets import provenance, pyramid

QUIET: Any = {"progress": False}
IMAGE = np.random.default_rng(0).integers(0, 99, (2, 9, 21)).astype(np.float32)  # c, y, x
KNOWN: Any = {"bandwidth": 1, "key": jax.random.key(0), "codebook": np.zeros((1, 1), np.float32), "channels": [0]}


def double(image):
    """A network that acts on each pixel alone."""
    return image * 2


def planned(shape=IMAGE.shape[1:], channels=2, tile=(4, 8)):
    return sj.plan_tiles(double, (1, *shape, channels), tile=tile)


def halved(image):
    """By NumPy, axis by axis: the mean of two pixels, of one at the end."""
    for axis in (-2, -1):
        n = image.shape[axis]
        index = np.minimum(np.arange(-(-n // 2)) * 2 + 1, n - 1)
        image = (np.take(image, np.arange(0, n, 2), axis) + np.take(image, index, axis)) / 2
    return image


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_validators_accept_what_is_written(zarr_format, tmp_path):
    target = new_target(tmp_path / "o", zarr_format=zarr_format, levels=3)
    made = predict_volume(double, IMAGE, target, planned(), axes="cyx", **QUIET)
    mask = IMAGE[0] > 50
    labels = segment_volume(tmp_path / "o", tmp_path / "o", planned(), foreground=mask, **KNOWN, **QUIET)
    group: Any = zarr.open_group(tmp_path / "o", mode="r")
    for member in (group, group["labels"], group["labels/instances"]):
        open_ome_zarr(member)
    version = "0.4" if zarr_format == 2 else "0.5"
    described = group.attrs["multiscales"][0] if zarr_format == 2 else group.attrs["ome"]
    assert described["version"] == version
    level = IMAGE * 2
    for number in range(3):
        np.testing.assert_allclose(group[str(number)][:], level, rtol=1e-6)
        assert group[f"labels/instances/{number}"].shape == level.shape[1:]
        level = halved(level)
    assert made.shape == (2, 9, 21)
    coarse, fine = group["labels/instances/1"][:], labels.labels[:]
    centres = np.ix_((2 * np.arange(5) + 1) * 9 // 10, (2 * np.arange(11) + 1) * 21 // 22)
    np.testing.assert_array_equal(coarse, fine[centres])


def test_control_validators_refuse_what_is_wrong(tmp_path):
    predict_volume(double, IMAGE, tmp_path / "o", planned(), axes="cyx", **QUIET)
    stored = json.loads((tmp_path / "o" / "zarr.json").read_text())
    for break_it in (
        lambda image: image.update(axes=image["axes"][::-1]),
        lambda image: image["datasets"][0].pop("coordinateTransformations"),
        lambda image: image["datasets"][0]["coordinateTransformations"][0].update(scale=[1.0]),
    ):
        broken = json.loads(json.dumps(stored))
        break_it(broken["attributes"]["ome"]["multiscales"][0])
        (tmp_path / "o" / "zarr.json").write_text(json.dumps(broken))
        with pytest.raises(Exception, match=r"(?i)valid|group"):
            open_ome_zarr(zarr.open_group(tmp_path / "o", mode="r"))


def an_image(path, levels, *, axes="tcyx", zarr_format=3):
    """An image of several levels and of other programs: ratios that are no halves, an axis t of one pixel."""
    group = zarr.create_group(str(path), zarr_format=zarr_format)
    kinds = {"t": "time", "c": "channel"}
    for number, shape in enumerate(levels):
        array = np.zeros(tuple({"t": 1, "c": 2}.get(n, 0) or shape["yx".index(n)] for n in axes), np.float32)
        if not number:
            array[:] = IMAGE
        group.create_array(f"s{number}", data=array)
    scales = [[{"t": 3.0, "c": 1.0}.get(n, 0.5 * 3.0**k) for n in axes] for k in range(len(levels))]
    steps = [[{"type": "scale", "scale": s}, {"type": "translation", "translation": [0.0] * len(axes)}] for s in scales]
    named = [{"name": n, "type": kinds.get(n, "space"), **({} if n in "tc" else {"unit": "micrometer"})} for n in axes]
    datasets = [{"path": f"s{k}", "coordinateTransformations": step} for k, step in enumerate(steps)]
    image: Any = {"axes": named, "datasets": datasets, "name": "image"}
    group.attrs.update({"ome": {"version": "0.5", "multiscales": [image]}})
    return str(path), image


def test_labels_written_into_a_pyramid_have_its_levels_axes_and_scales(tmp_path):
    uri, image = an_image(tmp_path / "image", [(9, 21), (3, 7), (1, 3)])
    mask = IMAGE[0] > 50
    embedding = IMAGE[:1]  # which knows nothing of t, nor of pixel sizes
    made = segment_volume(embedding, uri, planned(channels=1), axes="cyx", foreground=mask, **KNOWN, **QUIET)
    labels: Any = zarr.open_group(f"{uri}/labels/instances", mode="r")
    levels: Any = zarr.open_group(uri)
    open_ome_zarr(labels)
    described = labels.attrs["ome"]["multiscales"][0]
    assert described["axes"] == [image["axes"][0], *image["axes"][2:]]
    for number, dataset in enumerate(described["datasets"]):
        whole = image["datasets"][number]["coordinateTransformations"][0]["scale"]
        assert dataset["coordinateTransformations"][0]["scale"] == [whole[0], *whole[2:]]
        assert labels[dataset["path"]].shape == (1, *levels[f"s{number}"].shape[2:])
    np.testing.assert_array_equal(made.labels[0] > 0, mask)
    np.testing.assert_array_equal(labels["1"][0], made.labels[0][1::3, 1::3])  # the middle one of three
    assert open_source(f"{uri}/labels/instances").axes == "tyx"


def test_labels_of_other_pixels_are_refused(tmp_path):
    uri, _ = an_image(tmp_path / "image", [(9, 21)])
    with pytest.raises(ValueError, match=r"`target`: expected an image with as many pixels as the labels"):
        segment_volume(IMAGE[:1, :, :20], uri, planned((9, 20), 1), axes="cyx", **KNOWN, **QUIET)
    assert not (tmp_path / "image" / "labels").exists()


def test_levels_are_listed_when_they_are_complete_and_no_tile_is_left(tmp_path):
    target, plan = new_target(tmp_path / "o", levels=2), planned()

    def listed():
        described = json.loads((tmp_path / "o" / "zarr.json").read_text())["attributes"]["ome"]
        return len(described["multiscales"][0]["datasets"])

    predict_volume(double, IMAGE, target, plan, axes="cyx", region=(slice(0, 4), slice(0, 8)), **QUIET)
    assert listed() == 1  # of an unfinished image there is no coarser one
    predict_volume(double, IMAGE, target, plan, axes="cyx", **QUIET)
    assert listed() == 2
    before: Any = zarr.open_array(tmp_path / "o" / "1")[:]
    np.testing.assert_allclose(before, halved(IMAGE * 2))
    next(path for path in (tmp_path / "o" / "1" / "c").rglob("*") if path.is_file()).unlink()
    predict_volume(double, IMAGE, target, plan, axes="cyx", **QUIET)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "o" / "1")[:], before)


@pytest.mark.parametrize("stop", [False, True])
def test_levels_follow_an_image_that_changes(stop, tmp_path, monkeypatch):
    """A chunk of the source that was missing comes back: its tile is computed again, and so is all that is above it."""
    monkeypatch.setattr(provenance, "BLOCKS", 0)  # or they would see that the source is another one
    zarr.create_array(tmp_path / "in", data=IMAGE, chunks=(2, 4, 8))
    chunk = tmp_path / "in" / "c" / "0" / "1" / "1"
    data, target = chunk.read_bytes(), new_target(tmp_path / "o", levels=2)
    chunk.unlink()
    predict_volume(double, tmp_path / "in", target, planned(), axes="cyx", **QUIET)
    assert (zarr.open_array(tmp_path / "o" / "1")[:] != halved(IMAGE * 2)).any()
    chunk.write_bytes(data)
    if stop:  # after the tile, before the level
        with patch.object(pyramid.Pyramid, "write", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            predict_volume(double, tmp_path / "in", target, planned(), axes="cyx", **QUIET)
    predict_volume(double, tmp_path / "in", target, planned(), axes="cyx", **QUIET)
    finest, coarser = (zarr.open_array(tmp_path / "o" / level) for level in "01")
    np.testing.assert_allclose(np.asarray(finest), IMAGE * 2)
    np.testing.assert_allclose(np.asarray(coarser), halved(IMAGE * 2))


def test_killed_while_a_level_is_written(tmp_path, monkeypatch):
    target, plan, written = new_target(tmp_path / "o", levels=3), planned(), pyramid.Pyramid._write_chunk

    def killed(self, finer, coarse, chunk):
        if coarse.path.endswith("2"):
            raise KeyboardInterrupt
        written(self, finer, coarse, chunk)

    monkeypatch.setattr(pyramid.Pyramid, "_write_chunk", killed)
    with pytest.raises(KeyboardInterrupt):
        predict_volume(double, IMAGE, target, plan, axes="cyx", **QUIET)
    monkeypatch.setattr(pyramid.Pyramid, "_write_chunk", written)
    open_ome_zarr(zarr.open_group(tmp_path / "o", mode="r"))
    with pytest.raises(ValueError, match=r"`level`: expected 0 to 1"):
        open_source(tmp_path / "o", level=2)
    predict_volume(double, IMAGE, target, plan, axes="cyx", **QUIET)
    found: Any = zarr.open_array(tmp_path / "o" / "2")[:]
    np.testing.assert_allclose(found, halved(halved(IMAGE * 2)))


@pytest.mark.parametrize("damage", ["cut off", "other pixels", "an earlier state"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_damaged_chunk_of_a_listed_level_is_computed_again(damage, zarr_format, tmp_path):
    """And all levels above it, which were made of it or of what it was."""
    target, plan = new_target(tmp_path / "o", levels=3, zarr_format=zarr_format), planned()
    run = partial(predict_volume, double, IMAGE, target, plan, axes="cyx", **QUIET)
    run()
    levels = [zarr.open_array(tmp_path / "o" / level, mode="r+") for level in "012"]
    before: Any = [level[:] for level in levels]
    if damage == "other pixels":
        levels[1][0, 1, 2] = 77
    else:
        chunk = next(path for path in sorted((tmp_path / "o" / "1").rglob("*")) if path.is_file() and path.name == "0")
        content = chunk.read_bytes()
        if damage == "cut off":
            chunk.write_bytes(content[: len(content) // 2])
        else:  # as of a chunk that was written before its tile
            levels[1][(slice(None), *(slice(0, n) for n in levels[1].chunks[1:]))] = 1
    levels[2][:, 0, 0] = 5
    run(verify=False)
    assert levels[2][0, 0, 0] == 5  # control: it only looks whether the chunks are there
    run()
    for level, expected in zip(levels, before, strict=True):
        np.testing.assert_array_equal(np.asarray(level), expected)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_metadata_of_a_level_that_an_outage_tore(listed, zarr_format, tmp_path, monkeypatch):
    """They are on the disk no earlier than the level is listed; the same call makes them anew."""
    target, plan = new_target(tmp_path / "o", levels=2, zarr_format=zarr_format), planned()
    if not listed:
        monkeypatch.setattr(pyramid.Pyramid, "_write_chunk", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            predict_volume(double, IMAGE, target, plan, axes="cyx", **QUIET)
        monkeypatch.undo()
    else:
        predict_volume(double, IMAGE, target, plan, axes="cyx", **QUIET)
    kept = {3: ["zarr.json"], 2: [".zarray", ".zattrs"]}[zarr_format]
    for name in kept:
        (tmp_path / "o" / "1" / name).write_text("")
        with pytest.raises(ValueError, match="Expecting value"):  # control: nobody can read it
            zarr.open_array(tmp_path / "o" / "1", zarr_format=zarr_format)
        predict_volume(double, IMAGE, target, plan, axes="cyx", **QUIET)
        found: Any = zarr.open_group(tmp_path / "o", mode="r")["1"]
        np.testing.assert_allclose(found[:], halved(IMAGE * 2))


def test_halvings_say_where_their_pixels_are():
    (first, second) = pyramid.halvings("cyx", (2, 9, 21), "yx", Geometry({"y": 2.0}, {"y": 5.0}), 3)
    assert (first.shape, second.shape) == ((2, 5, 11), (2, 3, 6))
    assert (second.geometry.scale["y"], second.geometry.scale["c"]) == (8.0, 1.0)
    assert second.geometry.translation == {"c": 0.0, "y": 5.0 + 3.0, "x": 1.5}  # the middle of four pixels


@pytest.mark.parametrize(
    ("dtype", "values", "mean"),
    [("uint8", [255, 255, 1], [255, 1]), ("int16", [-3, -2, 7], [-2, 7]), ("float32", [1, 2, 5], [1.5, 5])],
)
def test_means(dtype, values, mean):
    found = pyramid.mean_of(np.array(values, dtype), (2,))
    np.testing.assert_array_equal(found, np.array(mean, dtype))
    assert found.dtype == dtype
    assert not pyramid.has_means(np.dtype("uint64"))
