"""Every format is seen as the same images by path, URI or object, or refused in a sentence that says what to do."""

from __future__ import annotations

import io
import pickle
import re
import uuid
import zipfile
from contextlib import suppress
from typing import Any

import fsspec
import h5py
import ml_dtypes
import numpy as np
import pytest
import tensorstore
import tifffile
import zarr

from proofs_tests.support.bad_calls import sentence_faults
from shiftjax.volume import VolumeError, new_target, open_source
from shiftjax.volume._sources.opening import with_missing

VOLUME = np.random.default_rng(0).integers(0, 255, (12, 20, 24)).astype(np.uint8)
WHOLE = tuple(slice(0, n) for n in VOLUME.shape)


def seen(source):
    """The pixels (z, y, x) of a source of three axes of space."""
    return source.at(0)(WHOLE)[0, ..., 0]


def close(source):
    """So that no file stays open until the process ends."""
    source.array.store.close()


@pytest.mark.parametrize("place", ["disk", "memory"])
def test_hdf5(place, tmp_path):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        raw = file.create_dataset("volumes/raw", data=VOLUME, chunks=(4, 4, 4))
        raw.attrs["element_size_um"] = [2.0, 0.5, 0.25]
        for dimension, label in zip(raw.dims, "tyx", strict=True):
            dimension.label = label
    uri = str(path) if place == "disk" else f"memory://{uuid.uuid4().hex}/data.h5"
    if place == "memory":
        with fsspec.open(uri, "wb") as file:
            file.write(path.read_bytes())
    source = open_source(f"{uri}/volumes/raw")
    assert (source.axes, source.times, source.geometry.scale) == ("tyx", 12, {})
    np.testing.assert_array_equal(source.at(3)(WHOLE[1:])[0, ..., 0], VOLUME[3])
    one = open_source(uri)  # the only dataset needs no name
    again = pickle.loads(pickle.dumps(one)) if place == "disk" else one
    np.testing.assert_array_equal(again.at(5)(WHOLE[1:])[0, ..., 0], VOLUME[5])
    for opened in (source, one, again):
        if opened.array:  # closed once, if they are one
            opened.array.file.close()


def test_hdf5_names_and_sizes(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("raw", "labels"):
            file[name] = VOLUME
        file["raw"].attrs["axistags"] = '{"axes": [{"key": "z"}, {"key": "y"}, {"key": "x"}]}'
        file["raw"].attrs["element_size_um"] = [2.0, 0.5, 0.25]
    source = open_source(tmp_path / "a.h5" / "raw")
    assert (source.axes, source.assumed, source.geometry.scale) == ("zyx", False, {"z": 2.0, "y": 0.5, "x": 0.25})
    np.testing.assert_array_equal(seen(source), VOLUME)
    source.array.file.close()
    for name, say in (("a.h5", "datasets labels, raw .*name one"), ("a.h5/none", "none at"), ("no.h5", "none at")):
        with pytest.raises(ValueError, match=say) as refusal:
            open_source(f"{tmp_path}/{name}")
        assert not sentence_faults(refusal.value)


@pytest.mark.parametrize("ending", [".zip", ".ozx"])
def test_zipped_zarr(ending, tmp_path):
    path = tmp_path / f"a{ending}"
    store = zarr.storage.ZipStore(path, mode="w")
    zarr.create_array(store, data=VOLUME, chunks=(5, 5, 5), dimension_names=list("zyx"))
    store.close()
    source = open_source(path)
    np.testing.assert_array_equal(seen(source), VOLUME)
    np.testing.assert_array_equal(seen(pickle.loads(pickle.dumps(source))), VOLUME)
    with zipfile.ZipFile(tmp_path / f"b{ending}", "w") as archive:
        archive.writestr("folder/zarr.json", "{}")
    with pytest.raises(ValueError, match="zip the contents of the Zarr folder") as refusal:
        open_source(tmp_path / f"b{ending}")
    assert not sentence_faults(refusal.value)


def test_tensorstore_reads_a_missing_chunk_as_zeros_only_where_it_may(tmp_path):
    for driver in ("n5", "zarr3"):
        spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(tmp_path / driver)}}
        layout = tensorstore.ChunkLayout(chunk_shape=(4, 4))
        made = tensorstore.open(spec, create=True, dtype=tensorstore.uint8, shape=(8, 4), chunk_layout=layout).result()
        made[:4] = 7  # the other chunk is never written
        filled = tensorstore.open(spec, read=True).result()
        strict = tensorstore.open({**spec, "fill_missing_data_reads": False}, read=True).result()
        upper, whole = (slice(0, 4), slice(0, 4)), (slice(0, 8), slice(0, 4))
        for source in (strict, tmp_path / "n5"):
            for opened in (
                open_source(source, axes="yx", missing="error"),
                with_missing(open_source(source, axes="yx"), "error"),
            ):
                assert (opened.at(0)(upper) == 7).all()
                with pytest.raises(VolumeError, match="cannot read pixels"):
                    opened.at(0)(whole)
        assert (open_source(filled, axes="yx").at(0)(whole)[0, 4:] == 0).all()  # control
        with pytest.raises(ValueError, match="`missing`: expected 'fill' for a TensorStore that fills what is missing"):
            open_source(filled, axes="yx", missing="error")


@pytest.mark.parametrize("zarr_format", ["n5", "zarr", "zarr3"])
def test_tensorstore(zarr_format, tmp_path):
    spec: Any = {"driver": zarr_format, "kvstore": {"driver": "file", "path": str(tmp_path / "a")}}
    store = tensorstore.open(spec, create=True, dtype=tensorstore.uint8, shape=VOLUME.shape).result()
    store[...] = VOLUME
    source = open_source(store)
    assert (source.dtype, source.axes, source.assumed) == (np.uint8, "zyx", True)
    np.testing.assert_array_equal(seen(source), VOLUME)
    np.testing.assert_array_equal(seen(pickle.loads(pickle.dumps(source))), VOLUME)
    shifted = store[tensorstore.d[:].translate_by[100]]  # a domain that begins elsewhere
    np.testing.assert_array_equal(seen(open_source(shifted)), VOLUME)
    named = store[tensorstore.d[:].label["t", "y", "x"]]
    assert open_source(named).axes == "tyx"


def test_n5_by_path(tmp_path):
    """Programs that write N5 list x first, others z, and the file does not tell: it is asked for."""
    spec: Any = {"driver": "n5", "kvstore": {"driver": "file", "path": str(tmp_path / "a.n5" / "raw")}}
    tensorstore.open(spec, create=True, dtype=tensorstore.uint8, shape=VOLUME.T.shape).result()[...] = VOLUME.T
    with pytest.raises(ValueError, match=r"axes='zyx', or axes='xyz'") as refusal:
        open_source(tmp_path / "a.n5" / "raw")
    assert not sentence_faults(refusal.value)
    np.testing.assert_array_equal(seen(open_source(tmp_path / "a.n5" / "raw", axes="xyz")), VOLUME)
    (tmp_path / "a.n5" / "attributes.json").write_text('{"n5": "2.0.0"}')
    with pytest.raises(ValueError, match="a group with raw"):
        open_source(tmp_path / "a.n5")


def test_a_folder_of_tiff_files(tmp_path):
    for number, plane in enumerate(VOLUME):  # 10 after 9, not after 1
        tifffile.imwrite(tmp_path / f"plane {number}[1].tif", plane)
    with pytest.raises(ValueError, match=r"a folder of 12 TIFF files.*axes='zyx' for planes") as refusal:
        open_source(tmp_path)
    assert not sentence_faults(refusal.value)
    np.testing.assert_array_equal(seen(open_source(tmp_path, axes="zyx")), VOLUME)
    assert open_source(tmp_path, axes="tyx").times == 12
    assert not open_source(tmp_path, axes="zyx").note()
    (tmp_path / "plane 9[1].tif").rename(tmp_path / "away")
    say = r"do not count evenly: between plane 8\[1\]\.tif and plane 10\[1\]\.tif one may be missing"
    assert re.search(say, open_source(tmp_path, axes="zyx").note())
    (tmp_path / "away").rename(tmp_path / "plane 9[1].tif")
    tifffile.imwrite(tmp_path / "plane 7[1].tif", VOLUME[0, :5])
    with pytest.raises(VolumeError, match=r"plane 7\[1\].tif holds uint8 of shape \(5, 24\)"):
        seen(open_source(tmp_path, axes="zyx"))
    with pytest.raises(ValueError, match="patterns are not expanded"):
        open_source(tmp_path / "*.tif")
    with pytest.raises(ValueError, match="put the files into a folder"):
        open_source([str(path) for path in tmp_path.iterdir()])


OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {own}><Image ID="Image:0"><Pixels ID="Pixels:0"
DimensionOrder="XYZCT" Type="uint8" SizeX="24" SizeY="20" SizeZ="12" SizeC="1" SizeT="1">{planes}</Pixels></Image></OME>
"""


def ome_files(folder, *, uuids=True):
    """The volume as an image in two files, each of which describes the whole of it, as Bio-Formats writes them."""
    ids = [f"urn:uuid:0000000{k}-0000-0000-0000-000000000000" for k in range(2)]
    data = '<TiffData FirstZ="{}" IFD="{}" PlaneCount="1"><UUID FileName="f{}.ome.tif">{}</UUID></TiffData>'
    planes = "".join(data.format(z, z % 6, z // 6, ids[z // 6]) for z in range(12))
    for k in range(2):
        described = OME.format(own=f'UUID="{ids[k]}"' if uuids else "", planes=planes)
        options: dict[str, Any] = {"photometric": "minisblack", "metadata": None, "description": described}
        tifffile.imwrite(folder / f"f{k}.ome.tif", VOLUME[6 * k : 6 * k + 6], **options)


@pytest.mark.parametrize("uuids", [True, False])
def test_an_ome_image_in_several_files_of_which_one_is_gone_is_refused(uuids, tmp_path):
    """tifffile gives zeros for its planes."""
    ome_files(tmp_path, uuids=uuids)
    for name in ("f0", "f1"):
        whole = open_source(tmp_path / f"{name}.ome.tif")
        np.testing.assert_array_equal(seen(whole), VOLUME)
        close(whole)
    with pytest.raises(ValueError, match=r"images of their own, found '.*f0.ome.tif', which is .* with f1.ome.tif"):
        open_source(tmp_path, axes="tzyx")  # each file would be the whole image once more
    uri = f"memory://{uuid.uuid4().hex}/f0.ome.tif"
    with fsspec.open(uri, "wb") as file:
        file.write((tmp_path / "f0.ome.tif").read_bytes())
    with pytest.raises(ValueError, match=r"holds its whole image, found one beside f1.ome.tif .*copy all of them"):
        open_source(uri)
    other = tmp_path / "f1.ome.tif"
    data = other.read_bytes()
    other.write_bytes(data[:400])
    with pytest.raises(ValueError, match=r"a whole TIFF file, found '.*f1.ome.tif' of 400 bytes"):
        open_source(tmp_path / "f0.ome.tif")
    other.unlink()
    with tifffile.TiffFile(tmp_path / "f0.ome.tif") as file:  # control
        assert (file.series[0].asarray() == 0).all(axis=(1, 2)).sum() == 6
    with pytest.raises(
        ValueError, match=r"all files of the OME image .*, found no .*f1.ome.tif; bring it back"
    ) as told:
        open_source(tmp_path / "f0.ome.tif")
    assert not sentence_faults(told.value)


@pytest.mark.parametrize("renamed", [True, False])
def test_an_ome_image_in_one_file_may_have_another_name(renamed, tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", VOLUME, metadata={"axes": "ZYX"}, photometric="minisblack")
    if renamed:
        (tmp_path / "a.ome.tif").rename(tmp_path / "b.ome.tif")
    source = open_source(next(tmp_path.iterdir()))
    np.testing.assert_array_equal(seen(source), VOLUME)
    close(source)


@pytest.mark.parametrize("kind", [{"imagej": True}, {"ome": True}, {"bigtiff": True, "ome": True}])
def test_a_tiff_that_was_cut_off_is_refused(kind, tmp_path):
    """tifffile takes the pages that are left for a smaller image."""
    path, smaller = tmp_path / "a.tif", 0
    tifffile.imwrite(path, VOLUME, photometric="minisblack", metadata={"axes": "ZYX"}, **kind)
    data = path.read_bytes()
    source = open_source(path)
    np.testing.assert_array_equal(seen(source), VOLUME)
    close(source)
    for part in range(1, 20):
        path.write_bytes(data[: len(data) * part // 20])
        try:
            found = open_source(path, axes="zyx")
        except ValueError:
            with suppress(tifffile.TiffFileError), tifffile.TiffFile(path) as file:
                smaller += file.series[0].shape != VOLUME.shape
            continue
        try:
            np.testing.assert_array_equal(seen(found), VOLUME)  # all pixels are there
        except VolumeError:  # the pages are, but not their pixels
            pass
        finally:
            close(found)
    assert smaller > 3  # control


def test_tiff_in_other_file_systems(tmp_path):
    memory = io.BytesIO()
    tifffile.imwrite(memory, VOLUME, imagej=True, metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"})
    uri = f"memory://{uuid.uuid4().hex}/a.tif"
    with fsspec.open(uri, "wb") as file:
        file.write(memory.getvalue())
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.tif", memory.getvalue())
    for address in (uri, f"zip://a.tif::{tmp_path}/all.zip"):
        source = open_source(address)
        assert (source.axes, source.geometry.scale["z"]) == ("zyx", 2.0)
        np.testing.assert_array_equal(seen(source), VOLUME)
    with pytest.raises(ValueError, match="`source`: expected a TIFF file, found none at") as refusal:
        open_source("memory://nothing/here.tif")
    assert not sentence_faults(refusal.value)


def test_samples_of_a_pixel_are_channels(tmp_path):
    """Whatever else an RGB page may be called, its samples are no slices."""
    rgb = np.moveaxis(VOLUME[:3], 0, -1)
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", VOLUME[:3], photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "c.tif", np.stack([rgb] * 4), photometric="rgb", imagej=True, metadata={"axes": "ZYXS"})
    for name, axes, space in (("a", "yxc", (20, 24)), ("b", "cyx", (20, 24)), ("c", "zyxc", (4, 20, 24))):
        source = open_source(tmp_path / f"{name}.tif")
        assert (source.axes, source.space, source.channels) == (axes, space, 3)
        close(source)
    tifffile.imwrite(tmp_path / "d.tif", np.stack([rgb] * 4), photometric="rgb", imagej=True)  # called channels by it
    with pytest.raises(ValueError, match=r"'CYXS'.*axes='zyxc' for planes of a stack, or axes='tyxc' for time points"):
        open_source(tmp_path / "d.tif")
    source = open_source(tmp_path / "d.tif", axes="zyxc")
    assert (source.space, source.channels) == ((4, 20, 24), 3)
    close(source)
    with pytest.raises(ValueError, match="`axes`: expected 'yxc', as the source's metadata say"):
        open_source(tmp_path / "a.tif", axes="zyx")


def test_a_file_is_known_by_what_is_in_it(tmp_path):
    tifffile.imwrite(tmp_path / "image.bak", VOLUME[0])
    source = open_source(tmp_path / "image.bak")
    assert source.space == (20, 24)
    close(source)
    np.save(tmp_path / "a.npy", VOLUME)
    with pytest.raises(ValueError, match=r"numpy.load\(path, mmap_mode='r'\)"):
        open_source(tmp_path / "a.npy")
    np.testing.assert_array_equal(seen(open_source(np.load(tmp_path / "a.npy", mmap_mode="r"))), VOLUME)


class Says:
    """An array that says what it is, and gives something that may differ from it."""

    def __init__(self, shape, dtype, give=None):
        self.shape, self.dtype, self.give = shape, np.dtype(dtype), give

    def __getitem__(self, index):
        return self.give(VOLUME[index])


@pytest.mark.parametrize(
    ("give", "say"),
    [
        (lambda block: block / 255, r"says that these are uint8 of shape \(12, 20, 24\), but gives float64"),
        (lambda block: block.astype(np.int64) + 255, "but gives int64"),
        (lambda block: block[:1, :1, :1], r"but gives uint8 of shape \(1, 1, 1\)"),
        (lambda block: block[:-1], r"but gives uint8 of shape \(11, 20, 24\)"),
        (lambda block: np.ma.masked_array(block, block > 9), "the mask would be dropped"),
    ],
)
def test_an_array_that_is_not_what_it_says_is_refused(give, say):
    """A wrong `dtype=` of dask's `map_blocks`, netCDF4's scales and masks, a dataset that has shrunk."""
    with pytest.raises(VolumeError, match=say):
        seen(open_source(Says(VOLUME.shape, np.uint8, give)))
    np.testing.assert_array_equal(seen(open_source(Says(VOLUME.shape, ">u1", lambda block: block))), VOLUME)
    unmasked = Says(VOLUME.shape, np.uint8, lambda block: np.ma.masked_array(block, mask=False))
    np.testing.assert_array_equal(seen(open_source(unmasked)), VOLUME)


def test_a_virtual_dataset_whose_parts_are_gone_is_refused(tmp_path):
    """HDF5 itself gives zeros for them, without a word."""
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["raw"] = VOLUME[6:]
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file["half"] = VOLUME[:6]
        layout = h5py.VirtualLayout(VOLUME.shape, np.uint8)
        layout[:6] = h5py.VirtualSource(file["half"])
        layout[6:] = h5py.VirtualSource("part.h5", "raw", VOLUME[6:].shape)
        file.create_virtual_dataset("raw", layout)
    source = open_source(tmp_path / "whole.h5" / "raw")
    np.testing.assert_array_equal(seen(source), VOLUME)
    source.array.file.close()
    (tmp_path / "part.h5").unlink()
    with h5py.File(tmp_path / "whole.h5") as file:
        assert not file["raw"][6:].any()  # the control
        for given in (tmp_path / "whole.h5" / "raw", file["raw"]):
            with pytest.raises(ValueError, match=r"all files of the virtual HDF5 dataset, found no .*part\.h5"):
                open_source(given)


def test_what_would_lose_something_is_refused(tmp_path):
    for given, say in (
        (np.ma.masked_array(VOLUME, mask=VOLUME > 9), "without a mask"),
        (np.zeros(3, [("a", "f4")]), "an array of numbers"),
        (np.zeros((3, 4), "datetime64[s]"), "an array of numbers"),
        (np.zeros((3, 4), "timedelta64[s]"), "an array of numbers"),  # an integer, says NumPy
        (np.zeros((3, 4), ml_dtypes.int4), "an array of numbers"),
        (np.zeros((0, 4)), "at least one pixel"),
        (Says((np.nan, 4), np.uint8), "of a known length"),  # as of a selection by dask
        (Says(None, np.uint8), "of a known length"),  # as of an empty dataset of HDF5
    ):
        with pytest.raises(ValueError, match=say):
            open_source(given)


@pytest.mark.parametrize("name", ["o.zip", "o.ozx", "o.tif", "o.h5", "http://host/o", "simplecache::s3://b/o"])
def test_targets_that_are_no_folders_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match=r"^`target`: expected a") as refusal:
        new_target(name if ":" in name else tmp_path / name)
    assert not sentence_faults(refusal.value)
