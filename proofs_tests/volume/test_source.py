"""Sources: every layout is seen as the same images, and what is none is refused."""

from __future__ import annotations

import pickle
import shutil
import uuid
import warnings
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from shiftjax.volume import open_source
from shiftjax.volume._sources import axes

STORED = np.random.default_rng(0).integers(0, 99, (2, 3, 4, 5, 6)).astype(np.int16)  # t, c, z, y, x


def ome(path, array, names, zarr_format, scales, **more):
    """An OME-Zarr image written by hand, one level per scale."""
    group = zarr.create_group(path, zarr_format=zarr_format)
    kinds = {"t": "time", "c": "channel"}
    described = [{"name": n, "type": kinds.get(n, "space"), "unit": "second" if n == "t" else "nm"} for n in names]
    steps = [[{"type": "scale", "scale": scale}] for scale in scales]
    for level in range(len(scales)):
        group.create_array(str(level), data=array[..., :: 2**level, :: 2**level])
    datasets = [{"path": str(k), "coordinateTransformations": step} for k, step in enumerate(steps)]
    image = {"axes": described, "datasets": datasets, **more}
    group.attrs.update({"ome": {"multiscales": [image]}} if zarr_format == 3 else {"multiscales": [image]})
    return str(path)


@pytest.mark.parametrize("order", ["tczyx", "xyzct", "ztxcy", "cyx", "yxc", "xz", "tyx", "zyx"])
def test_axes_in_any_order(order):
    kept = tuple(slice(None) if name in order else 0 for name in "tczyx")
    canonical = STORED[kept]
    left = [name for name in "tczyx" if name in order]
    stored = canonical.transpose([left.index(name) for name in order])
    source = open_source(stored, axes=order)
    space = [name for name in "zyx" if name in order]
    assert source.space == tuple(STORED.shape["tczyx".index(name)] for name in space)
    for time in range(source.times):
        cut = tuple(slice(1, n) for n in source.space)
        found = source.at(time)(cut)
        seen = canonical[time] if "t" in order else canonical
        seen = np.moveaxis(seen, 0, -1) if "c" in order else seen[..., None]
        np.testing.assert_array_equal(found, seen[cut][None])


@pytest.mark.parametrize("order", ["".join(p) for p in permutations("tczy")])
def test_axes_back(order):
    image = np.arange(2 * 3 * 4).reshape(1, 2, 3, 4)
    block = axes.from_image(image, order)
    assert block.shape == tuple({"t": 1, "z": 2, "y": 3, "c": 4}[name] for name in order)
    np.testing.assert_array_equal(axes.to_image(block, order), image)


@pytest.mark.parametrize(
    ("shape", "order", "say"),
    [((4, 5), "zyx", "each of the source's 2 axes"), ((4, 5), "tc", "at least one"), ((4, 5), "yy", "'yy'"),
     ((4, 5), "yq", "'yq'"), ((2, 3, 4, 5), None, "'czyx'")],
)  # fmt: skip
def test_bad_axes_are_refused(shape, order, say):
    with pytest.raises(ValueError, match=say) as refusal:
        open_source(np.zeros(shape), axes=order)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_zarr_arrays(zarr_format, place, tmp_path):
    uri = str(tmp_path / "a.zarr") if place == "disk" else f"memory://{uuid.uuid4().hex}/a.zarr"
    zarr.create_array(uri, data=STORED[0, 0], chunks=(2, 3, 4), zarr_format=zarr_format)
    for source in (open_source(uri), open_source(zarr.open_array(uri, mode="r"))):
        assert source.zarr_format == zarr_format
        np.testing.assert_array_equal(
            source.at(0)((slice(0, 4), slice(1, 5), slice(0, 6)))[0, ..., 0], STORED[0, 0, :, 1:]
        )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_ome_zarr(zarr_format, tmp_path):
    scales = [[1.0, 1, 4, 2, 3], [1.0, 1, 4, 4, 6]]
    whole = [{"type": "scale", "scale": [0.5, 1, 1, 1, 1]}, {"type": "translation", "translation": [0, 0, 7, 0, 0]}]
    uri = ome(tmp_path / "a.zarr", STORED, "tczyx", zarr_format, scales, coordinateTransformations=whole)
    source = open_source(uri)
    assert (source.axes, source.space, source.times, source.channels) == ("tczyx", (4, 5, 6), 2, 3)
    assert source.geometry.scale == {"t": 0.5, "c": 1, "z": 4, "y": 2, "x": 3}
    assert source.geometry.translation == {"t": 0, "c": 0, "z": 7, "y": 0, "x": 0}
    assert source.geometry.units["z"] == "nm"
    coarse = open_source(uri, level=1)
    assert coarse.space == (4, 3, 3)
    assert coarse.geometry.scale["x"] == 6
    again = pickle.loads(pickle.dumps(coarse))
    assert (again.space, again.geometry) == (coarse.space, coarse.geometry)
    with pytest.raises(ValueError, match="as the source's metadata say"):
        open_source(uri, axes="tczxy")
    with pytest.raises(ValueError, match="`level`"):
        open_source(uri, level=2)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_that_are_older_than_the_array(zarr_format, tmp_path):
    """The array has grown since: by them its second half would be left out without a word."""
    uri = ome(tmp_path / "a.zarr", STORED[:1], "tczyx", zarr_format, [[1.0] * 5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Zarr v3 does not specify them
        zarr.consolidate_metadata(str(uri))
    shutil.rmtree(tmp_path / "a.zarr" / "0")
    zarr.create_array(uri, name="0", data=STORED, zarr_format=zarr_format)
    group: Any = zarr.open_group(uri, mode="r")
    assert group["0"].shape[0] == 1  # the control
    for given in (uri, group, zarr.storage.LocalStore(uri), tmp_path / "a.zarr" / "0"):
        assert open_source(given).times == len(STORED)
    with pytest.raises(ValueError, match=r"the array that is stored now, of shape \(2, 3, 4, 5, 6\).*open it anew"):
        open_source(group["0"])


def test_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STORED[0, 0].astype(np.uint16), photometric="minisblack")
    with pytest.raises(ValueError, match=r"'QYX'.*axes='zyx' for planes.*axes='tyx' for time"):
        open_source(tmp_path / "a.tif")  # it names its first axis by no letter of ours
    source = open_source(tmp_path / "a.tif", axes="zyx")
    found = source.at(0)((slice(0, 4), slice(0, 5), slice(0, 6)))
    np.testing.assert_array_equal(found[0, ..., 0], STORED[0, 0])
    source.array.store.close()  # or the file stays open until the process ends


def test_axes_and_pixel_sizes_of_tiff(tmp_path):
    stack, ome_name = STORED[0].astype(np.uint16), tmp_path / "b.ome.tif"
    named = {"axes": "TYX", "spacing": 2.5, "unit": "um", "finterval": 3.0}
    tifffile.imwrite(tmp_path / "a.tif", stack[0], imagej=True, resolution=(10.0, 5.0), metadata=named)
    tifffile.imwrite(ome_name, stack, metadata={"axes": "CZYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "nm"})
    films, image = open_source(tmp_path / "a.tif"), open_source(ome_name)
    assert (films.axes, films.times, films.space) == ("tyx", 4, (5, 6))
    assert {name: films.geometry.scale[name] for name in "tyx"} == {"t": 3.0, "y": 0.2, "x": 0.1}
    assert (films.geometry.units["x"], films.geometry.units["t"]) == ("micrometer", "second")
    assert (image.axes, image.channels, image.space) == ("czyx", 3, (4, 5, 6))
    assert (image.geometry.scale, image.geometry.units) == ({"x": 0.25}, {"x": "nanometer"})
    np.testing.assert_array_equal(image.at(0)((slice(0, 4),) * 3)[0], np.moveaxis(stack, 0, -1)[:4, :4, :4])
    other = open_source(
        tmp_path / "a.tif", axes="zyx"
    )  # what is asked for goes first, without sizes that belong elsewhere
    assert (other.axes, other.geometry.scale) == ("zyx", {})
    with pytest.raises(ValueError, match="`level`"):
        open_source(ome_name, level=1)
    for opened in (films, image, other):
        opened.array.store.close()


@pytest.mark.parametrize("stored", [">u2", "<u2", ">f4", ">f8"])
def test_pixels_are_in_the_byte_order_of_the_machine(stored):
    source = open_source(STORED[0, 0].astype(stored))
    found = source.at(0)((slice(0, 4), slice(0, 5), slice(0, 6)))
    assert source.dtype.isnative
    assert found.dtype.isnative
    assert found.dtype == source.dtype == np.dtype(stored).newbyteorder("=")
    np.testing.assert_array_equal(found[0, ..., 0], STORED[0, 0])


def test_images_in_a_group_are_named(tmp_path):
    group = zarr.create_group(tmp_path / "g.zarr")
    group.create_group("notes")
    with pytest.raises(ValueError, match="groups notes"):
        open_source(tmp_path / "g.zarr")
    ome(tmp_path / "g.zarr" / "first", STORED, "tczyx", 3, [[1] * 5])
    ome(tmp_path / "g.zarr" / "second", STORED, "tczyx", 3, [[1] * 5])
    with pytest.raises(ValueError, match="images first, second"):
        open_source(tmp_path / "g.zarr")


def test_what_is_no_image_is_refused(tmp_path):
    zarr.create_group(tmp_path / "g.zarr").create_array("raw", data=STORED[0, 0])
    for source, say in ((tmp_path / "none.zarr", "none at"), (tmp_path / "g.zarr", "arrays raw"), (3, "found int")):
        with pytest.raises(ValueError, match=say) as refusal:
            open_source(source)
        assert "\n" not in str(refusal.value)
    np.testing.assert_array_equal(open_source(tmp_path / "g.zarr" / "raw").array[:], STORED[0, 0])


def test_unwritten_chunks_are_the_fill_value(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(4, 4), chunks=(2, 2), dtype="int16", fill_value=7)[:2, :2] = 1
    found = open_source(tmp_path / "a.zarr").at(0)((slice(0, 4), slice(0, 4)))[0, ..., 0]
    np.testing.assert_array_equal(found, np.pad(np.ones((2, 2)), (0, 2), constant_values=7))


def test_axes_are_those_that_the_source_was_opened_with():
    source = open_source(STORED[0, 0], axes="zyx")
    assert open_source(source) is open_source(source, axes="ZYX") is source
    with pytest.raises(ValueError, match=r"`axes`: expected 'zyx'.*`open_source`"):
        open_source(source, axes="xyz")
